"""Goal 4: the head and the loss where there is a label, against every row, at the 7B's vocabulary.

python benchmarks/bench_label_rows.py      (2 threads, fp32, vocabulary 152,064; hidden 256 as in
the other goals, and the 7B's 3584)

One question about a 448x448 photo is 316 rows, of which 8 are supervised. The head is frozen, as in
training. The side with every row is transformers' own loss function. With 3584, the time of 8 rows
is that of reading 2.2 GB of weights once, which no number of rows makes shorter.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers.loss.loss_utils import ForCausalLMLoss

from dishvl_lib.vlm.label_loss import label_losses

ROWS = 316
LABELS = 8
VOCABULARY = 152064
REPEATS = 7
GOAL = 30


def main() -> None:
    """Print seconds and peak bytes of both sides, their ratios, and how far loss and gradient are
    apart, for both widths.
    """
    torch.set_num_threads(2)
    for width in (256, 3584):
        torch.manual_seed(0)
        compare(
            nn.Linear(width, VOCABULARY, bias=False).requires_grad_(False),
            torch.randn(1, ROWS, width, requires_grad=True),
        )


def compare(head: nn.Linear, hidden: torch.Tensor) -> None:
    labels = torch.full((1, ROWS), -100)
    labels[:, -LABELS:] = torch.randint(VOCABULARY, (LABELS,))
    sides = {
        "every row": lambda: every_row(head, hidden, labels),
        "label rows": lambda: label_rows(head, hidden, labels),
    }
    (slow, slow_cores), (fast, fast_cores) = seconds(list(sides.values()), hidden)
    (much, loss, gradient), (little, our_loss, our_gradient) = (
        (peak_bytes(side), *loss_and_gradient(side, hidden)) for side in sides.values()
    )
    print(
        f"hidden {head.in_features}: every row {slow:.4f} s and {much / 2**20:.1f} MiB, "
        f"label rows {fast:.4f} s and {little / 2**20:.1f} MiB"
    )
    print(
        f"    {slow / fast:.1f}x faster, {slow_cores / fast_cores:.1f}x fewer core-seconds, "
        f"1/{much / little:.1f} of the memory (goal {GOAL} and 1/{GOAL})"
    )
    print(
        f"    loss differs by {abs(loss - our_loss):.1e}, the gradient by "
        f"{float((gradient - our_gradient).norm() / gradient.norm()):.1e} of its norm"
    )


def every_row(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return ForCausalLMLoss(head(hidden), labels, VOCABULARY)


def label_rows(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As in `trees.forward`."""
    wanted = labels[:, 1:]
    rows = wanted != -100
    return label_losses(head, hidden[:, :-1][rows], wanted[rows]).mean()


def seconds(sides: list[Callable[[], torch.Tensor]], hidden: torch.Tensor) -> list[list[float]]:
    """Median wall time and core-seconds of a forward and backward pass of each side; the sides take
    turns.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in sides]
    for _ in range(REPEATS + 1):
        for side, times in zip(sides, taken, strict=True):
            hidden.grad = None
            started = time.perf_counter()
            used = time.process_time()
            side().backward()
            times.append((time.perf_counter() - started, time.process_time() - used))
    return [[statistics.median(kind) for kind in zip(*times[1:], strict=True)] for times in taken]


def peak_bytes(side: Callable[[], torch.Tensor]) -> int:
    """The most bytes held at once by what the operations of a forward and backward pass
    allocate.
    """
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        side().backward()
    held = peak = 0
    for event in sorted(profile.events(), key=lambda event: event.time_range.end):
        held += event.self_cpu_memory_usage
        peak = max(peak, held)
    return peak


def loss_and_gradient(
    side: Callable[[], torch.Tensor], hidden: torch.Tensor
) -> tuple[float, torch.Tensor]:
    hidden.grad = None
    loss = side()
    loss.backward()
    return loss.item(), hidden.grad.clone()


if __name__ == "__main__":
    main()
