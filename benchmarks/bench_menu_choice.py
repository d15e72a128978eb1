"""Goal 2: the log-probabilities of 20 menu entries in one forward, against one forward per entry
and one greedy generate.

python benchmarks/bench_menu_choice.py        (2 threads, fp32, hidden 256, 4 vision and 8 language
layers, 1024 patches)
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

ENTRIES = 20
ROUNDS = 11


def main() -> None:
    """Print both ratios, the medians of the sides, which take turns, in seconds, and the largest
    difference between the two ways of scoring.
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
    photo = inputs.photo_inputs(
        ours,
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (448, 448, 3), dtype=np.uint8)),
    )
    question = questions.ask("menu-1", menu)
    one = choose.log_probabilities(ours, photo, question, menu)
    many = torch.stack([forward(plain, photo, question, entry) for entry in menu])
    sides = {
        "one forward over the trie": lambda: choose.log_probabilities(ours, photo, question, menu),
        "one forward per entry": lambda: [forward(plain, photo, question, entry) for entry in menu],
        "one greedy generate": lambda: generate(plain, photo, question),
        "four menus, one forward": lambda: choose.log_probabilities_many(
            ours, photo, [(question, menu)] * 4
        ),
        "four greedy generates": lambda: [generate(plain, photo, question) for _ in range(4)],
    }
    rounds = [{name: timed(side) for name, side in sides.items()} for _ in range(ROUNDS)]
    seconds = {name: statistics.median(one[name] for one in rounds[1:]) for name in sides}
    for name, value in seconds.items():
        print(f"{name:<28}{value:8.3f} s")
    trie, each, greedy, four, four_greedy = seconds.values()
    print(
        f"trie against one forward per entry: {each / trie:.1f}x (goal 15); trie against "
        f"generate: {trie / greedy:.2f} of its time (goal 0.9)"
    )
    print(f"four menus on one photo against four generates: {four_greedy / four:.2f}x (goal 2.4)")
    print(
        f"largest difference of the log-probabilities: {(one - many).abs().max():.1e} (goal 1e-4)"
    )


@torch.inference_mode()
def forward(loaded, photo: inputs.Photo, question: str, entry: str) -> torch.Tensor:
    """transformers' plain forward for one entry."""
    batch = inputs.collate(
        [inputs.build(loaded, photo, question, entry)], loaded.tokenizer.pad_token_id
    )
    labels = batch.pop("labels")[:, 1:]
    logits = loaded.model(**batch).logits[:, :-1].log_softmax(-1)
    rows = labels != inputs.IGNORE
    return logits[rows].gather(1, labels[rows][:, None]).sum()


@torch.inference_mode()
def generate(loaded, photo: inputs.Photo, question: str) -> None:
    """Four tokens, as a dish's name has on average."""
    batch = inputs.collate([inputs.build(loaded, photo, question)], loaded.tokenizer.pad_token_id)
    batch.pop("labels")
    loaded.model.generate(**batch, max_new_tokens=4, min_new_tokens=4, do_sample=False)


def timed(side) -> float:
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
