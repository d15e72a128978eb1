"""A tiny Qwen2.5-VL with random weights and a few drawn photos: toys for the tests of vlm, training
and evaluation.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dishvl_lib.core import questions, records
from dishvl_lib.demo import base_model
from dishvl_lib.vlm import qwen

# A plain training, for tests that change one thing: neither the demo's nor a user's.
TRAINING = {
    "learning_rate": 1e-3,
    "merger_learning_rate": 0.0,
    "vision_learning_rate": 0.0,
    "min_pixels": 3136,
    "max_pixels": 3136,
    "questions_per_photo": 4,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 8,
    "num_processes": 1,
    "photo_augmentation": "none",
    "photo_cache_mb": 0,
    "validation_questions": 200,
    "eval_steps": 0,
    "weight_decay": 0.01,
    "warmup_ratio": 0.05,
    "adam_beta2": 0.999,
    "use_cpu": True,
}
NAMES = ("红烧鱼", "红烧鱼块", "番茄炒蛋", "素鸡(豆制品)", "麻婆豆腐")


@functools.cache
def _built(seed: int) -> qwen.Qwen:
    return base_model.new_model(
        NAMES, hidden_size=32, layers=2, vision_layers=2, image_size=56, seed=seed
    )


def model(seed: int = 0) -> qwen.Qwen:
    """Random weights in eval mode, the same for the same seed; a fresh copy of the module."""
    import copy

    loaded = copy.deepcopy(_built(seed))
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)  # far from uniform answers, so that equalities mean something
    loaded.model.eval()
    return loaded


def photo(seed: int = 0, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Coloured noise, smooth enough to survive JPEG."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def data_set(folder: Path, per_dish: int = 3) -> dict[str, Path]:
    """Photos and train.jsonl, validation.jsonl of NAMES under `folder`; returns the paths that a
    training needs.
    """
    (folder / "photos").mkdir(parents=True)
    rows = []
    for dish, name in enumerate(NAMES):
        for number in range(per_dish):
            path = f"{dish}_{number}.png"
            photo(dish * 100 + number % 2).save(folder / "photos" / path)
            for kind, menu in (("naming", []), ("menu", list(NAMES))):
                turns = [
                    {"from": "human", "value": questions.human_turn(f"{kind}-1", menu)},
                    {"from": "gpt", "value": name},
                ]
                rows.append(
                    {
                        "id": f"{kind}-{dish}-{number}",
                        "image": path,
                        "image_id": path,
                        "dish_id": str(dish),
                        "kind": kind,
                        "menu": menu,
                        "template": f"{kind}-1",
                        "conversations": turns,
                    }
                )
    records.write_jsonl(folder / "train.jsonl", rows)
    records.write_jsonl(folder / "validation.jsonl", rows[: 2 * len(NAMES)])
    return {
        "image_root": folder / "photos",
        "train_file": folder / "train.jsonl",
        "validation_file": folder / "validation.jsonl",
    }


def base_folder(folder: Path) -> Path:
    """A saved base model."""
    qwen.save(model(), folder)
    return folder


def wide_folder(folder: Path) -> Path:
    """A saved base model whose tensors are much larger than what a file says about them."""
    qwen.save(
        base_model.new_model(
            NAMES, hidden_size=192, layers=1, vision_layers=2, image_size=56, seed=0
        ),
        folder,
    )
    return folder
