"""Goal 4: the head and the loss where there is a label, against every row, at the 7B's vocabulary.

python benchmarks/bench_label_rows.py      (2 threads, fp32, hidden 3584, vocabulary 152,064; 6 GB of memory)

One question about a 448x448 photo is 316 rows, of which 8 are supervised. The head is frozen, as in training. The
side with every row is transformers' own loss function.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers.loss.loss_utils import ForCausalLMLoss

ROWS, LABELS, HIDDEN, VOCABULARY, REPEATS = 316, 8, 3584, 152064, 5
GOAL = 30


def main() -> None:
    """Print seconds and peak bytes of both sides, their ratios, and how far loss and gradient are apart."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False).requires_grad_(False)
    hidden = torch.randn(1, ROWS, HIDDEN, requires_grad=True)
    labels = torch.full((1, ROWS), -100)
    labels[:, -LABELS:] = torch.randint(VOCABULARY, (LABELS,))
    sides = {"every row": lambda: every_row(head, hidden, labels), "label rows": lambda: label_rows(head, hidden, labels)}
    found = {name: (seconds(side, hidden), peak_bytes(side), *loss_and_gradient(side, hidden)) for name, side in sides.items()}
    for name, (wall, peak, *_) in found.items():
        print(f"{name:<12}{wall:9.4f} s {peak / 2**20:9.1f} MiB at the peak")
    (slow, much, loss, gradient), (fast, little, our_loss, our_gradient) = found.values()
    print(f"{slow / fast:.1f}x faster, 1/{much / little:.1f} of the memory (goal {GOAL} and 1/{GOAL})")
    print(f"loss differs by {abs(loss - our_loss):.1e}, the gradient by {float((gradient - our_gradient).norm() / gradient.norm()):.1e} of its norm")


def every_row(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return ForCausalLMLoss(head(hidden), labels, VOCABULARY)


def label_rows(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As in `trees.forward`."""
    wanted = labels[:, 1:]
    rows = wanted != -100
    return nn.functional.cross_entropy(head(hidden[:, :-1][rows]).float(), wanted[rows])


def seconds(side: Callable[[], torch.Tensor], hidden: torch.Tensor) -> float:
    """Median wall time of a forward and backward pass."""
    taken = []
    for _ in range(REPEATS + 1):
        hidden.grad = None
        started = time.perf_counter()
        side().backward()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def peak_bytes(side: Callable[[], torch.Tensor]) -> int:
    """The most bytes held at once by what a forward and backward pass allocates."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        side().backward()
    held = peak = 0
    for event in sorted(profile.events(), key=lambda event: event.time_range.start):
        if event.name == "[memory]":
            held += event.self_cpu_memory_usage
            peak = max(peak, held)
    return peak


def loss_and_gradient(side: Callable[[], torch.Tensor], hidden: torch.Tensor) -> tuple[float, torch.Tensor]:
    hidden.grad = None
    loss = side()
    loss.backward()
    return loss.item(), hidden.grad.clone()


if __name__ == "__main__":
    main()
