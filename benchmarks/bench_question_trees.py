"""Goal 1: a training step on question trees, against the same questions as separate samples in one batch.

python benchmarks/bench_question_trees.py      (2 threads, fp32, hidden 256, 4 vision and 8 language layers, 1024 patches)
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
REPEATS = 3
NAMES = [f"{first}{second}{third}" for first in "红清蒜" for second in "烧炒蒸" for third in "鱼肉虾"]


def main() -> None:
    """Print the ratio, the loss difference and the largest relative gradient difference for k = 2, 4, 8."""
    torch.set_num_threads(2)
    loaded = base_model.new_model(NAMES, hidden_size=256, layers=8, vision_layers=4, image_size=448, seed=0)
    freeze.apply(loaded.model, {"visual": True, "merger": True, "language_model": False, "lm_head": False})
    plain_forward = loaded.model.forward
    photo = inputs.photo_inputs(loaded, Image.fromarray(np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)))
    for k, goal in GOALS.items():
        samples = [inputs.build(loaded, photo, questions.ask(f"naming-{1 + i % 8}"), NAMES[i]) for i in range(k)]
        separate, tree = inputs.collate(samples, 0), trees.collate([trees.grow(samples)], 0)
        results = {}
        for name, batch in (("separate", separate), ("tree", tree)):
            loaded.model.forward = plain_forward
            if name == "tree":
                trees.bind(loaded.model)
            results[name] = measure(loaded.model, batch)
        (slow, loss, gradients), (fast, tree_loss, tree_gradients) = results["separate"], results["tree"]
        apart = max(float((a - b).norm() / a.norm()) for a, b in zip(gradients, tree_gradients, strict=True) if a.norm() > 0)
        print(
            f"k={k}: separate {slow:.3f} s, tree {fast:.3f} s, {slow / fast:.2f}x (goal {goal}); loss differs by {abs(loss - tree_loss):.1e}, gradients by {apart:.1e}"
        )


def measure(model, batch) -> tuple[float, float, list[torch.Tensor]]:
    """(median seconds of a forward and backward pass, loss, gradients)."""
    seconds = []
    for _ in range(REPEATS + 1):
        model.zero_grad()
        started = time.perf_counter()
        loss = model(**batch)["loss"]
        loss.backward()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]), loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


if __name__ == "__main__":
    main()
