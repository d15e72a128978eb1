"""Goal 1: a training step on question trees, against the same questions as separate samples in one
batch.

python benchmarks/bench_question_trees.py      (2 threads, fp32, hidden 256, 4 vision and 8 language
layers, 1024 patches)
"""

import statistics
import time

import numpy as np
import torch
from PIL import Image

from dishvl_lib.core import questions
from dishvl_lib.demo import base_model
from dishvl_lib.vlm import freeze, inputs, trees

GOALS = {2: 1.6, 4: 2.9, 8: 4.6}
REPEATS = 5
NAMES = [
    f"{first}{second}{third}" for first in "红清蒜" for second in "烧炒蒸" for third in "鱼肉虾"
]


def main() -> None:
    """Print the ratio, the loss difference and the largest relative gradient difference for k = 2,
    4, 8.
    """
    torch.set_num_threads(2)
    loaded = base_model.new_model(
        NAMES, hidden_size=256, layers=8, vision_layers=4, image_size=448, seed=0
    )
    freeze.apply(
        loaded.model, {"visual": True, "merger": True, "language_model": False, "lm_head": False}
    )
    photo = inputs.photo_inputs(
        loaded,
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)),
    )
    for k, goal in GOALS.items():
        samples = [
            inputs.build(loaded, photo, questions.ask(f"naming-{1 + i % 8}"), NAMES[i])
            for i in range(k)
        ]
        compare(loaded.model, samples, goal)


def compare(model: torch.nn.Module, samples: list[inputs.Sample], goal: float) -> None:
    """`separate` is transformers' own model; the two ways of attention of a tree are measured
    beside it, in turns.
    """
    separate = inputs.collate(samples, 0)
    tree = trees.collate([trees.grow(samples)], 0)
    batches = {"separate": separate, "dense": tree, "segments": tree}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in batches}
    results = {}
    for _ in range(REPEATS + 1):
        for name, batch in batches.items():
            unbind(model)
            if name != "separate":
                trees.bind(model, name)
            taken, *results[name] = step(model, batch)
            seconds[name].append(taken)
    medians = {
        name: [statistics.median(kind) for kind in zip(*taken[1:], strict=True)]
        for name, taken in seconds.items()
    }
    loss, gradients = results["separate"]
    for name in ("dense", "segments"):
        tree_loss, tree_gradients = results[name]
        apart = max(
            float((a - b).norm() / a.norm())
            for a, b in zip(gradients, tree_gradients, strict=True)
            if a.norm() > 0
        )
        wall, cores = (
            slow / fast for slow, fast in zip(medians["separate"], medians[name], strict=True)
        )
        print(
            f"k={len(samples)}: separate {medians['separate'][0]:.3f} s, tree ({name}) "
            f"{medians[name][0]:.3f} s, {wall:.2f}x, in core-seconds {cores:.2f}x (goal "
            f"{goal}); "
            f"loss differs by {abs(loss - tree_loss):.1e}, gradients by {apart:.1e}"
        )


def unbind(model: torch.nn.Module) -> None:
    """transformers' own forwards again."""
    for module in model.modules():
        module.__dict__.pop("forward", None)
    model.config.text_config._attn_implementation = "sdpa"


def step(
    model: torch.nn.Module, batch: dict[str, torch.Tensor]
) -> tuple[tuple[float, float], float, list[torch.Tensor]]:
    """((seconds, core-seconds) of a forward and backward pass, loss, gradients). Other work on the
    machine disturbs core-seconds less.
    """
    model.zero_grad()
    started = time.perf_counter()
    used = time.process_time()
    loss = model(**batch)["loss"]
    loss.backward()
    taken = time.perf_counter() - started, time.process_time() - used
    return taken, loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


if __name__ == "__main__":
    main()
