"""Makes the vision tower that the demo starts from: a classifier of random recipes without its
heads.

    python -m dishvl_lib.demo.pretrain             # about 25 minutes; replaces the shipped tower
    python -m dishvl_lib.demo.pretrain --output own.safetensors --recipes 40 --epochs 2

The recipes come from the demo's larder (`recipes.py`): none of its dishes, none of its random
numbers, none of the outside site's tables and plates. The mean of a photo's visual tokens goes
through one linear layer to the recipe's number and through another to the ingredients in it, which
many recipes share. The last photo of each recipe is held out and says how well that went.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
)

from dishvl_lib.core import paths, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.demo import base_model, recipes, shipped_weights, tower
from dishvl_lib.vlm import qwen, saved_activations

DRAWING_VERSION = 1
DRAWN_SIDE = 128  # px; a little more than the tower sees, so that crops stay sharp
MERGED = 2  # patches a side that the merger joins into one token


@dataclass(frozen=True)
class Settings:
    """What is drawn and how long it is learned; each recipe's last photo is held out."""

    recipes: int = 480
    photos_per_recipe: int = 12
    epochs: int = 18
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    ingredients_weight: float = 5.0
    seed: int = 0


class RecipeClassifier(nn.Module):
    """The demo's vision tower with its merger, and linear heads on the mean of a photo's tokens."""

    def __init__(self, visual: Qwen2_5_VisionTransformerPretrainedModel, num_recipes: int) -> None:
        super().__init__()
        width = visual.config.out_hidden_size
        self.visual = visual
        self.recipe = nn.Linear(width, num_recipes)
        self.ingredients = nn.Linear(width, len(recipes.MAIN))

    def forward(
        self,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of photos of one size, from their patches and grids.

        Returns (photos, recipes): which recipe it is, and (photos, ingredients): which of
        recipes.MAIN are in it.
        """
        tokens = self.visual(pixel_values, grid_thw=image_grid_thw).pooler_output
        per_photo = tokens.view(len(image_grid_thw), -1, tokens.shape[-1])
        mean = per_photo.mean(dim=1)
        return self.recipe(mean), self.ingredients(mean)


def ingredients_of(num_recipes: int) -> torch.Tensor:
    """(recipes, ingredients) float32: 1 where the recipe holds that ingredient of recipes.MAIN."""
    held = torch.zeros(num_recipes, len(recipes.MAIN))
    for number in range(num_recipes):
        for name in recipes.random_recipe(number).pieces:
            held[number, recipes.MAIN.index(name)] = 1
    return held


def draw(settings: Settings, processes: int = 2) -> np.ndarray:
    """The photos of all recipes; drawn once, then taken from the cache.

    Returns (recipes, photos, DRAWN_SIDE, DRAWN_SIDE, 3) uint8.
    """
    what = [DRAWING_VERSION, recipes.SEED, settings.recipes, settings.photos_per_recipe, DRAWN_SIDE]
    file = paths.cache("demo_recipes") / f"{records.fingerprint(what)[:12]}.npy"
    if not file.exists():
        sizes = (settings.recipes, settings.photos_per_recipe)
        print(f"drawing {sizes[0]} recipes x {sizes[1]} photos", flush=True)
        drawn = recipes.draw_recipes(*sizes, DRAWN_SIDE, processes)
        with records.atomic_path(file) as part, open(part, "wb") as out:
            np.save(out, drawn)
    return np.load(file)


def pixel_values(photos: torch.Tensor, processor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the image processor makes of photos that have their size already.

    photos: (photos, 3, height, width) in 0..1, height and width multiples of 28 px.
    Returns (patches, 1176) float32 and (photos, 3) grids.
    """
    mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
    std = torch.tensor(processor.image_std).view(1, 3, 1, 1)
    count, _, height, width = photos.shape
    side = processor.patch_size
    rows = height // side
    columns = width // side
    vertical = (rows // MERGED, MERGED, side)
    horizontal = (columns // MERGED, MERGED, side)
    split = ((photos - mean) / std).view(count, 3, *vertical, *horizontal)
    # Patches that the merger joins stand next to each other; one frame fills the temporal patch.
    ordered = split.permute(0, 2, 5, 3, 6, 1, 4, 7)
    patches = ordered.reshape(count * rows * columns, 3, 1, side * side)
    twice = patches.expand(-1, -1, processor.temporal_patch_size, -1)
    grids = torch.tensor([[1, rows, columns]] * count)
    return twice.reshape(len(patches), -1), grids


def augment(photos: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """Another view of each photo: another place of the camera, light, blur, grain, something in the
    way.

    photos: (photos, 3, any side, any side) in 0..1. Returns (photos, 3, side, side) in 0..1.
    """
    count = len(photos)
    moved = _another_viewpoint(photos, side, generator)
    brightness = 1 + 0.15 * _normal(generator, count, 1, 1, 1)
    tint = 0.06 * _normal(generator, count, 3, 1, 1)
    gain = brightness + tint
    contrast = 1 + 0.15 * _normal(generator, count, 1, 1, 1)
    saturation = 1 + 0.2 * _normal(generator, count, 1, 1, 1)
    level = moved.mean(dim=(1, 2, 3), keepdim=True)
    lit = ((moved - level) * contrast + level) * gain
    grey = lit.mean(dim=1, keepdim=True)
    coloured = grey + (lit - grey) * saturation
    blurred = F.avg_pool2d(coloured, 3, stride=1, padding=1, count_include_pad=False)
    softness = torch.rand(count, 1, 1, 1, generator=generator)
    soft = torch.where(softness < 0.3, blurred, coloured)
    strength = 0.03 * torch.rand(count, 1, 1, 1, generator=generator)
    grain = strength * torch.randn(soft.shape, generator=generator)
    return _hide_corner(soft + grain, generator).clamp(0, 1)


def _normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Normal numbers without their far tails."""
    return torch.randn(*shape, generator=generator).clamp(-2, 2)


def _another_viewpoint(photos: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """Mirrored, turned by any angle, 0.6-1.1 of the side in view, stretched and sheared."""
    count = len(photos)
    angle = 2 * torch.pi * torch.rand(count, generator=generator)
    zoom = 0.6 + 0.5 * torch.rand(count, generator=generator)
    stretch = 1 + 0.1 * _normal(generator, count)
    shear = 0.1 * _normal(generator, count)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = 0.12 * _normal(generator, count, 2)
    cosine = zoom * angle.cos()
    sine = zoom * angle.sin()
    first = torch.stack([mirror * cosine * stretch, -sine + shear, shift[:, 0]], dim=1)
    second = torch.stack([mirror * sine * stretch, cosine + shear, shift[:, 1]], dim=1)
    transform = torch.stack([first, second], dim=1)
    grid = F.affine_grid(transform, [count, 3, side, side], align_corners=False)
    return F.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)


def _hide_corner(photos: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One photo in six gets a rectangle of one colour: a spoon, a label, another plate."""
    side = photos.shape[-1]
    hidden = photos.clone()
    chosen = torch.rand(len(photos), generator=generator) < 0.17
    for photo in hidden[chosen].unbind():
        height, width = torch.randint(side // 6, side // 3, (2,), generator=generator).tolist()
        top, left = torch.randint(0, side - side // 3, (2,), generator=generator).tolist()
        photo[:, top : top + height, left : left + width] = torch.rand(3, 1, 1, generator=generator)
    return hidden


def as_floats(photos: np.ndarray | torch.Tensor) -> torch.Tensor:
    """(photos, side, side, 3) uint8 -> (photos, 3, side, side) float32 in 0..1."""
    return torch.as_tensor(photos).permute(0, 3, 1, 2).float() / 255


def train(model: RecipeClassifier, photos: np.ndarray, processor, settings: Settings) -> None:
    """Fits the classifier, in place; prints a line every 30 s.

    photos: (recipes, photos, side, side, 3) uint8, those that are learned from.
    """
    flat = torch.from_numpy(photos).flatten(0, 1)
    labels = torch.arange(len(photos)).repeat_interleave(photos.shape[1])
    held = ingredients_of(len(photos))
    batches = len(flat) // settings.batch_size
    steps = settings.epochs * batches
    optimizer, schedule = _optimizer(model, settings, steps)
    generator = torch.Generator().manual_seed(settings.seed)
    model.train()
    progress = Progress("vision tower", steps, "steps")
    for step in range(steps):
        if step % batches == 0:
            order = torch.randperm(len(flat), generator=generator)
        at = step % batches * settings.batch_size
        chosen = order[at : at + settings.batch_size]
        seen = augment(as_floats(flat[chosen]), tower.IMAGE_SIDE, generator)
        logits = model(*pixel_values(seen, processor))
        loss = _loss(logits, labels[chosen], held[labels[chosen]], settings)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        progress.advance(note=f"loss {loss.item():.3f}")
    progress.close()


def _optimizer(
    model: RecipeClassifier, settings: Settings, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps, pct_start=0.1
    )
    return optimizer, schedule


def _loss(
    logits: tuple[torch.Tensor, torch.Tensor],
    recipe: torch.Tensor,
    held: torch.Tensor,
    settings: Settings,
) -> torch.Tensor:
    """Which recipe it is, and which ingredients are in it, the latter weighted."""
    of_recipe, of_ingredients = logits
    loss = F.cross_entropy(of_recipe, recipe, label_smoothing=settings.label_smoothing)
    shared = F.binary_cross_entropy_with_logits(of_ingredients, held)
    return loss + settings.ingredients_weight * shared


@torch.no_grad()
def accuracy(
    model: RecipeClassifier,
    photos: np.ndarray,
    processor,
    batch_size: int = 64,
) -> tuple[int, int]:
    """(correct, n): how many of photos (recipes, photos, side, side, 3) uint8 get their recipe."""
    model.eval()
    side = tower.IMAGE_SIDE
    flat = torch.from_numpy(photos).flatten(0, 1)
    labels = torch.arange(len(photos)).repeat_interleave(photos.shape[1])
    correct = 0
    for start in range(0, len(flat), batch_size):
        chosen = slice(start, start + batch_size)
        batch = as_floats(flat[chosen])
        seen = F.interpolate(batch, size=(side, side), mode="bilinear", antialias=True)
        recipe, _ = model(*pixel_values(seen, processor))
        guesses = recipe.argmax(dim=1)
        correct += int((guesses == labels[chosen]).sum())
    return correct, len(flat)


def new_classifier(settings: Settings) -> tuple[RecipeClassifier, qwen.Qwen]:
    """A classifier around the demo's own random vision tower, and the model it belongs to."""
    sizes = {
        "hidden_size": tower.HIDDEN_SIZE,
        "layers": 1,
        "vision_layers": tower.VISION_LAYERS,
        "image_size": tower.IMAGE_SIDE,
    }
    built = base_model.new_model(["菜"], **sizes, seed=settings.seed)
    visual = built.model.model.visual
    saved_activations.batch_windows(visual)
    torch.manual_seed(settings.seed)
    return RecipeClassifier(visual, settings.recipes), built


def make_tower(settings: Settings, output: Path, processes: int = 2) -> dict[str, str]:
    """Draws, trains, measures and writes a tower to `output`; returns its metadata."""
    started = time.time()
    photos = draw(settings, processes)
    drawn_s = time.time() - started
    model, built = new_classifier(settings)
    train(model, photos[:, :-1], built.image_processor, settings)
    correct, n = accuracy(model, photos[:, -1:], built.image_processor)
    metadata = {
        **{key: str(value) for key, value in asdict(settings).items()},
        "recipes_seed": str(recipes.SEED),
        "image_side": str(tower.IMAGE_SIDE),
        "held_out_correct": str(correct),
        "held_out_n": str(n),
        "drawing_seconds": f"{drawn_s:.0f}",
        "training_seconds": f"{time.time() - started - drawn_s:.0f}",
        "torch": torch.__version__,
    }
    trained = model.visual.state_dict()
    weights = {name: value.detach().half().numpy() for name, value in trained.items()}
    shipped_weights.write(output, weights, metadata)
    return metadata


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pretrain the demo's vision tower on recipes.")
    parser.add_argument("--output", type=Path, default=tower.FILE, help="default: the shipped file")
    parser.add_argument("--processes", type=int, default=2, help="processes that draw")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    output = options.pop("output")
    processes = options.pop("processes")
    metadata = make_tower(Settings(**options), output, processes)
    for key, value in metadata.items():
        print(f"{key}: {value}")
    correct = int(metadata["held_out_correct"])
    n = int(metadata["held_out_n"])
    share = correct / n
    chance = 1 / n
    print(
        f"held-out photos of the same recipes: {correct} of {n} = {share:.3f}, chance {chance:.4f}"
    )
    megabytes = output.stat().st_size / 1e6
    print(f"written to {output} ({megabytes:.2f} MB), sha256 {records.sha256_file(output)}")


if __name__ == "__main__":
    main()
