"""What is counted between two rows of metrics.jsonl: losses by kind, and work done a second."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import torch

SIZES = ("photos", "questions", "tokens")


class Throughput:
    """Losses, photos, questions and tokens since the last reading.

    `kinds`: of every row of the training file. Sums stay on the device until they are read, so
    that no step waits.
    """

    def __init__(self, kinds: Sequence[str], device: torch.device):
        self.names = sorted(set(kinds))
        self.kind = torch.tensor([self.names.index(kind) for kind in kinds], device=device)
        self.device = device
        self.reset()

    def reset(self) -> None:
        self.loss = torch.zeros(len(self.names), dtype=torch.float64, device=self.device)
        self.tokens = torch.zeros_like(self.loss)
        self.sizes = torch.zeros(len(SIZES), dtype=torch.float64, device=self.device)
        self.since = time.perf_counter()
        self.idle = 0.0

    def add(self, losses: torch.Tensor, rows: torch.Tensor, sizes: torch.Tensor) -> None:
        """Count a batch.

        `losses`, `rows` (supervised tokens,): each token's loss and the row it belongs to. `sizes`
        (3,): photos, questions, tokens.
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
        """loss_KIND, and photos, questions and tokens a second of all processes; counts anew."""
        sums = sum_over_processes(torch.cat([self.loss, self.tokens, self.sizes])).tolist()
        seconds = max(time.perf_counter() - self.since - self.idle, 1e-9)
        n = len(self.names)
        self.reset()
        figures = {}
        for name, loss, tokens in zip(self.names, sums[:n], sums[n : 2 * n], strict=True):
            if tokens:
                figures[f"loss_{name}"] = loss / tokens
        for name, size in zip(SIZES, sums[2 * n :], strict=True):
            figures[f"{name}_per_second"] = round(size / seconds, 3)
        return figures


def gpu_use(device: torch.device) -> dict[str, int]:
    """{gpu_utilisation: percent of the last moment in which the GPU worked}.

    {} on a CPU, and where torch cannot ask the driver: that needs the package nvidia-ml-py.
    """
    if device.type != "cuda":
        return {}
    try:
        return {"gpu_utilisation": torch.cuda.utilization(device)}
    except Exception:  # the driver's library has its own for all that a GPU may not tell
        return {}


def memory_gb(device: torch.device) -> float:
    """The most that was allocated on the GPU so far, in GB.

    On a CPU the process' resident memory now.
    """
    if device.type == "cuda":
        used = torch.cuda.max_memory_allocated(device)
    else:
        used = psutil.Process().memory_info().rss
    return round(used / 1e9, 3)
