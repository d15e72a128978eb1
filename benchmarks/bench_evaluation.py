"""Naming and a menu of 20 for each of several photos: one pass from one trunk, against two passes,
against two greedy generates.

python benchmarks/bench_evaluation.py        (2 threads, fp32, hidden 256, 4 vision and 8 language
layers, 1024 patches; names of 4 tokens and their end)
"""

import copy
import dataclasses
import statistics
import time

import numpy as np
import torch
from PIL import Image

from dishvl_lib import Recognizer
from dishvl_lib.core import questions
from dishvl_lib.demo import base_model
from dishvl_lib.vlm import choose, inputs

PHOTOS = 4
ENTRIES = 20
REPEATS = 7
TOKENS = 5


def main() -> None:
    """Print both ratios from the medians of interleaved runs, and whether all sides give the same
    answers.
    """
    torch.set_num_threads(2)
    menu = [
        f"{first}{second}{third}" for first in "红清蒜" for second in "烧炒蒸" for third in "鱼肉虾"
    ][:ENTRIES]
    loaded = base_model.new_model(
        menu, hidden_size=256, layers=8, vision_layers=4, image_size=448, seed=0
    )
    loaded.model.eval()
    plain = dataclasses.replace(
        loaded, model=copy.deepcopy(loaded.model)
    )  # transformers' own, for its side of the ratios
    ours = Recognizer(loaded, {}).qwen
    rng = np.random.default_rng(0)
    photos = [
        inputs.photo_inputs(
            ours, Image.fromarray(rng.integers(0, 256, (448, 448, 3), dtype=np.uint8))
        )
        for _ in range(PHOTOS)
    ]
    naming = questions.ask("naming-1")
    asked = (questions.ask("menu-1", menu), menu)
    sides = {
        "one pass": lambda: choose.answer_together(
            ours, [choose.PhotoQuery(photo, [naming], [asked]) for photo in photos], TOKENS
        ),
        "two passes of ours": lambda: (
            choose.answer_together(
                ours, [choose.PhotoQuery(photo, [naming]) for photo in photos], TOKENS
            ),
            choose.answer_together(
                ours, [choose.PhotoQuery(photo, menus=[asked]) for photo in photos]
            ),
        ),
        "two greedy generates": lambda: (
            generate(plain, photos, naming),
            generate(plain, photos, asked[0]),
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results = {}
    for _ in range(REPEATS + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            results[name] = side()
            seconds[name].append(time.perf_counter() - started)
    one, two, greedy = (statistics.median(values[1:]) for values in seconds.values())
    for name, values in seconds.items():
        print(f"{name:<24}{statistics.median(values[1:]):8.3f} s for {PHOTOS} photos")
    print(
        f"one pass against two of ours: {two / one:.2f}x (goal 1.35); against two greedy "
        f"generates: {greedy / one:.2f}x (goal 1.5)"
    )
    (named, scored) = results["two passes of ours"]
    (words, _) = results["two greedy generates"]
    apart = max(
        float((a.scores[0] - b.scores[0]).abs().max())
        for a, b in zip(results["one pass"], scored, strict=True)
    )
    print(
        "same names: "
        f"{[a.names[0] for a in results['one pass']] == [b.names[0] for b in named] == words}; "
        f"log-probabilities differ by {apart:.1e}"
    )


@torch.inference_mode()
def generate(loaded, photos, question: str) -> list[str]:
    """transformers' greedy answers to one question about each photo, in one batch."""
    batch = inputs.collate(
        [inputs.build(loaded, photo, question) for photo in photos],
        loaded.tokenizer.pad_token_id,
        left=True,
    )
    batch.pop("labels")
    ids = loaded.model.generate(
        **batch, max_new_tokens=TOKENS, do_sample=False, eos_token_id=loaded.end_token_id
    )
    return [
        loaded.tokenizer.decode(row, skip_special_tokens=True).strip()
        for row in ids[:, batch["input_ids"].shape[1] :]
    ]


if __name__ == "__main__":
    main()
