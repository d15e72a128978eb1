"""What is counted between two rows of metrics.jsonl: loss per kind of question, photos, questions
and tokens a second.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import torch


class Tally:
    """`kinds`: of every row of the training file. Sums stay on the device until they are read, so
    that no step waits.
    """

    def __init__(self, kinds: Sequence[str], device: torch.device):
        self.names = sorted(set(kinds))
        self.kind = torch.tensor([self.names.index(one) for one in kinds], device=device)
        self.device = device
        self.reset()

    def reset(self) -> None:
        self.loss, self.tokens = (
            torch.zeros(len(self.names), dtype=torch.float64, device=self.device) for _ in range(2)
        )
        self.sizes = torch.zeros(3, dtype=torch.float64, device=self.device)
        self.since = time.perf_counter()
        self.idle = 0.0

    def add(self, losses: torch.Tensor, rows: torch.Tensor, sizes: torch.Tensor) -> None:
        """`losses`, `rows` (supervised tokens,): each token's loss and the row it belongs to;
        `sizes` (3,): photos, questions, tokens.
        """
        kind = self.kind[rows]
        self.loss.index_add_(0, kind, losses.double())
        self.tokens.index_add_(0, kind, torch.ones_like(losses, dtype=torch.float64))
        self.sizes += sizes

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Validating and saving do not count as training time."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.idle += time.perf_counter() - started

    def read(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """loss_KIND, photos_per_second, questions_per_second, tokens_per_second of all processes;
        then counts anew.
        """
        sums = sum_over_processes(torch.cat([self.loss, self.tokens, self.sizes])).tolist()
        seconds = max(time.perf_counter() - self.since - self.idle, 1e-9)
        loss = sums[: len(self.names)]
        tokens = sums[len(self.names) : -3]
        sizes = sums[-3:]
        self.reset()
        made = {
            f"loss_{name}": one / n
            for name, one, n in zip(self.names, loss, tokens, strict=True)
            if n
        }
        return made | {
            f"{what}_per_second": round(one / seconds, 3)
            for what, one in zip(("photos", "questions", "tokens"), sizes, strict=True)
        }


def memory_gb(device: torch.device) -> float:
    """The most that was allocated on the GPU so far, in GB; on a CPU the process' resident memory
    now.
    """
    used = (
        torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else psutil.Process().memory_info().rss
    )
    return round(used / 1e9, 3)
