"""Goals 9 to 12 on a GPU, at the 7B's shapes with random weights: one table that anybody with a GPU
can fill in.

python benchmarks/bench_gpu.py --size 7b --device cuda          (make bench-gpu)
python benchmarks/bench_gpu.py --size tiny --device cpu --photos 2 --repeats 2

Both sides of every ratio are measured in one run, in turns. The table goes to outputs/bench_gpu.csv
too. `official` is the way of the official fine-tuning script: one question a photo, transformers'
own layers, logits at every place, an output head that trains, and all in bfloat16. Ours keeps
trained weights in float32 and computes in bfloat16, as stage 04 does.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import random_models
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from dishvl_lib import Recognizer
from dishvl_lib.core import paths, questions, records
from dishvl_lib.demo import base_model
from dishvl_lib.vlm import choose, freeze, inputs, qwen, trees

NAMES = [
    f"{first}{second}{third}" for first in "红清蒜" for second in "烧炒蒸" for third in "鱼肉虾"
]
PHOTO_SIDE = 448
GOALS = {
    "training, one question a photo": (32.0, "photos/s"),
    "training, two questions a photo": (50.0, "questions/s"),
    "training against the official way": (2.5, "times the questions/s"),
    "menus of 20 scored": (40.0, "photos/s"),
}


@dataclass(frozen=True)
class Rate:
    """How fast a training step is. `memory_gb`: the most that was allocated on the GPU; 0 on a
    CPU.
    """

    photos: float
    questions: float
    memory_gb: float


def main() -> int:
    options = _arguments()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "there is no GPU that torch can use here; --size tiny --device cpu tries the "
            "script itself"
        )
    loaded = _random_model(options.size, device)
    photos = [_photo(loaded, number) for number in range(options.photos)]
    table = [
        *_equality(loaded, photos[0], device),
        *_training(loaded, photos, device, options.repeats),
        *_menus(loaded, photos, options.repeats),
    ]
    report = pd.DataFrame(table, columns=["what", "measured", "unit", "goal", "memory_gb"])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(
        f"{options.size} with random weights on {name}, bfloat16, {options.photos} photos of "
        f"{PHOTO_SIDE}x{PHOTO_SIDE} a step"
    )
    print(report.to_string(index=False))
    records.write_table(paths.outputs() / "bench_gpu.csv", report)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(random_models.SIZES), default="7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, default=8, help="photos a step")
    parser.add_argument(
        "--repeats",
        type=int,
        default=8,
        help="measured steps of each kind; the first one is left out",
    )
    return parser.parse_args()


def _random_model(size: str, device: torch.device) -> qwen.Qwen:
    """A model of this size in bfloat16 on the device, with the demo's tokenizer."""
    loaded = base_model.new_model(
        NAMES, hidden_size=64, layers=1, vision_layers=1, image_size=PHOTO_SIDE, seed=0
    )
    ids = {
        name: loaded.tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("image_pad", "video_pad", "vision_start", "vision_end", "im_end", "endoftext")
    }
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            loaded.model = Qwen2_5_VLForConditionalGeneration(
                random_models.configuration(size, ids)
            ).eval()
    finally:
        torch.set_default_dtype(before)
    return loaded


def _photo(loaded: qwen.Qwen, seed: int) -> inputs.Photo:
    noise = np.random.default_rng(seed).integers(
        0, 256, (PHOTO_SIDE, PHOTO_SIDE, 3), dtype=np.uint8
    )
    return inputs.photo_inputs(loaded, Image.fromarray(noise))


def _samples(loaded: qwen.Qwen, photo: inputs.Photo, count: int) -> list[inputs.Sample]:
    """`count` questions about a photo: its name, then menus of 20."""
    asked = [
        questions.ask("naming-1"),
        *(questions.ask(f"menu-{1 + number % 3}", NAMES[:20]) for number in range(count - 1)),
    ]
    return [
        inputs.build(loaded, photo, question, NAMES[number % len(NAMES)])
        for number, question in enumerate(asked)
    ]


def _equality(loaded: qwen.Qwen, photo: inputs.Photo, device: torch.device) -> list[tuple]:
    """How far the tree's losses lie from the plain model's, and its two ways of attention from each
    other, in bfloat16.
    """
    samples = _samples(loaded, photo, 4)
    plain = torch.stack(
        [_plain_loss(loaded.model, _on(inputs.collate([sample], 0), device)) for sample in samples]
    )
    counts = torch.tensor(
        [sum(label != inputs.IGNORE for label in sample.labels) for sample in samples],
        device=device,
    )
    whole = (plain * counts).sum() / counts.sum()
    batch = _on(trees.collate([trees.grow(samples)], 0), device)
    losses = {}
    for way in ("dense", "segments"):
        trees.bind(loaded.model, way)
        with torch.no_grad():
            losses[way] = loaded.model(**batch)["loss"].float()
        _unbind(loaded.model)
    apart = float(abs(losses["dense"] - whole) / whole)
    ways = float(abs(losses["dense"] - losses["segments"]) / losses["dense"])
    return [
        ("loss of a tree of 4 against 4 plain samples", f"{apart:.1e}", "relative", "", ""),
        ("segments against dense", f"{ways:.1e}", "relative", "", ""),
    ]


@torch.no_grad()
def _plain_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).loss.float()


def _training(
    loaded: qwen.Qwen, photos: Sequence[inputs.Photo], device: torch.device, repeats: int
) -> list[tuple]:
    """Steps of ours with one, two and four questions a photo, and of the official way."""
    rates = {}
    for count in (1, 2, 4):
        batch = _on(
            trees.collate([trees.grow(_samples(loaded, photo, count)) for photo in photos], 0),
            device,
        )
        freeze.apply(
            loaded.model,
            {"visual": True, "merger": True, "language_model": False, "lm_head": False},
        )
        trees.bind(loaded.model, "auto")
        with _trained_in_float32(loaded.model), torch.autocast(device.type, torch.bfloat16):
            rates[count] = _rate(
                loaded.model, batch, len(photos), len(photos) * count, device, repeats
            )
        _unbind(loaded.model)
    freeze.apply(
        loaded.model, {"visual": True, "merger": True, "language_model": False, "lm_head": True}
    )
    batch = _on(inputs.collate([_samples(loaded, photo, 1)[0] for photo in photos], 0), device)
    official = _rate(loaded.model, batch, len(photos), len(photos), device, repeats)
    rows = [
        ("training, one question a photo", rates[1].photos, rates[1]),
        ("training, two questions a photo", rates[2].questions, rates[2]),
        ("training, four questions a photo", rates[4].questions, rates[4]),
        ("training, the official way", official.questions, official),
        ("training against the official way", rates[4].questions / official.questions, rates[4]),
    ]
    return [
        (what, f"{value:.3g}", *_goal(what), f"{rate.memory_gb:.1f}") for what, value, rate in rows
    ]


@contextlib.contextmanager
def _trained_in_float32(model: torch.nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    try:
        yield
    finally:
        for parameter in trained:
            parameter.grad = None
            parameter.data = parameter.data.bfloat16()


def _goal(what: str) -> tuple[str, str]:
    """(unit, goal) of a row."""
    goal, unit = GOALS.get(what, ("", "questions/s"))
    return unit, str(goal)


def _rate(
    model: torch.nn.Module,
    batch: dict[str, torch.Tensor],
    photos: int,
    questions_: int,
    device: torch.device,
    repeats: int,
) -> Rate:
    """Forward, backward and AdamW on the trained parameters, the median of `repeats` steps."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        result = model(**batch)
        loss = result["loss"] if isinstance(result, dict) else result.loss
        loss.backward()
        optimizer.step()

    seconds = _median_seconds(step, device, repeats)
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0
    model.eval()
    model.zero_grad()
    return Rate(photos / seconds, questions_ / seconds, memory)


def _menus(loaded: qwen.Qwen, photos: Sequence[inputs.Photo], repeats: int) -> list[tuple]:
    """Exact log-probabilities of 20 entries for each photo."""
    ours = Recognizer(loaded, {}).qwen
    menu = NAMES[:20]
    question = questions.ask("menu-1", menu)
    device = next(loaded.model.parameters()).device

    def score() -> None:
        for photo in photos:
            choose.log_probabilities(ours, photo, question, menu)

    seconds = _median_seconds(score, device, repeats)
    what = "menus of 20 scored"
    return [(what, f"{len(photos) / seconds:.3g}", *_goal(what), "")]


def _median_seconds(function: Callable[[], None], device: torch.device, repeats: int) -> float:
    taken = []
    for _ in range(repeats + 1):
        _finish(device)
        started = time.perf_counter()
        function()
        _finish(device)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


def _finish(device: torch.device) -> None:
    """Wait for the GPU: what was asked of it is not yet done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _on(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    moved = {key: value.to(device) for key, value in batch.items()}
    moved["pixel_values"] = moved["pixel_values"].to(torch.bfloat16)
    return moved


def _unbind(model: torch.nn.Module) -> None:
    """transformers' own forwards again."""
    for module in model.modules():
        with contextlib.suppress(KeyError):
            del module.__dict__["forward"]
    model.config.text_config._attn_implementation = "sdpa"


if __name__ == "__main__":
    sys.exit(main())
