"""Data-parallel training on CPU: every core gets a process, for Paddle runs a step on one core.

pip's Paddle is the CPU build, on a machine with a GPU too. Without given weights, a PP-LCNet there
trains for hours on 100,000 photos: a step at 224 pixels is long beside what the processes exchange
for it (weights and gradients, some 10 MB), so that further cores divide its time. In the demo's
small steps two processes gain 1.3x. On a GPU there is one.

Processes, not threads: Paddle's dynamic graph corrupts memory when two threads run it.
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import numpy as np
import paddle

SMALLEST_SHARE = 4  # photos; batch normalisation learns nothing from fewer
Net = TypeVar("Net", bound=paddle.nn.Layer)


def cores_to_use(most: int = 8) -> int:
    """How many replicas pay off: 1 on a GPU, else this process' cores, at most `most`."""
    if paddle.device.get_device().startswith("gpu"):
        return 1
    return max(1, min(most, len(os.sched_getaffinity(0))))


def smoothed_cross_entropy(
    logits: paddle.Tensor, labels: paddle.Tensor, smoothing: float = 0.1
) -> paddle.Tensor:
    """Cross-entropy of (N, classes) logits with label smoothing, mean over the batch."""
    log_probability = paddle.nn.functional.log_softmax(logits, axis=1)
    right = paddle.nn.functional.nll_loss(log_probability, labels)
    return (1 - smoothing) * right - smoothing * log_probability.mean()


class Replicas(Generic[Net]):
    """One network that learns (`net`) and copies in other processes that take shares of each batch.

    Gradients are averaged by photos, so a step equals a step on the whole batch, but for batch
    normalisation, which sees a share at a time (as it does on several GPUs). `build` must be
    picklable. Call `close` at the end.
    """

    def __init__(self, build: Callable[[], Net], count: int):
        self.net: Net = build()
        started = [_start_worker(build) for _ in range(count - 1)]
        self.workers = [connection for connection, _ in started]
        self.processes = [process for _, process in started]

    def copy_out(self) -> None:
        """Parameters and running statistics of `net` to the other replicas."""
        self._ask([("load", _state(self.net))] * len(self.workers))

    def backward(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Mean loss of the batch; its gradients are left in the parameters of `net`."""
        share_here, *others = self._shares(len(labels), SMALLEST_SHARE)
        parameters = [parameter.numpy() for parameter in _trained(self.net)] if others else []
        for worker, share in zip(self.workers, others, strict=False):
            weight = len(share) / len(labels)
            worker.send(("backward", (parameters, images[share], labels[share], weight)))
        weight = len(share_here) / len(labels)
        loss = _backward(self.net, images[share_here], labels[share_here], weight)
        for worker in self.workers[: len(others)]:
            other_loss, gradients = _receive(worker)
            loss += other_loss
            for parameter, gradient in zip(_trained(self.net), gradients, strict=True):
                total = _gradient(parameter)
                total.set_value(total.numpy() + gradient)
        return loss

    def average_statistics(self) -> None:
        """Running means and variances of batch normalisation become the average of all replicas."""
        of_others = self._ask([("statistics", None)] * len(self.workers))
        statistics = [_statistics(self.net), *of_others]
        for name, value in self.net.state_dict().items():
            if name in statistics[0]:
                value.set_value(np.mean([of_one[name] for of_one in statistics], axis=0))
        self.copy_out()

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) -> (N, classes) in evaluation mode, by the state last copied out."""
        share_here, *others = self._shares(len(images), 1)
        for worker, share in zip(self.workers, others, strict=False):
            worker.send(("logits", images[share]))
        parts = [_logits(self.net, images[share_here])]
        parts += [_receive(worker) for worker in self.workers[: len(others)]]
        return np.concatenate(parts)

    def close(self) -> None:
        """Ends the other processes and waits for them, or exit would end them with noise."""
        for worker in self.workers:
            worker.close()
        for process in self.processes:
            process.join(5)
            if process.is_alive():
                process.kill()
        self.workers = []
        self.processes = []

    def _shares(self, n: int, smallest: int) -> list[np.ndarray]:
        """The numbers 0..n-1, split among the replicas.

        Fewer take part when shares would get too small.
        """
        return np.array_split(np.arange(n), max(1, min(1 + len(self.workers), n // smallest)))

    def _ask(self, messages: list[tuple]) -> list[Any]:
        for worker, message in zip(self.workers, messages, strict=True):
            worker.send(message)
        return [_receive(worker) for worker in self.workers]


def _start_worker(build: Callable[[], paddle.nn.Layer]) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, build), daemon=True)
    process.start()
    there.close()
    return here, process


def _receive(worker: Connection) -> Any:
    try:
        return worker.recv()
    except EOFError:
        raise RuntimeError(
            "a training process ended early (out of memory?): train again, or with replicas=1"
        ) from None


def _serve(connection: Connection, build: Callable[[], paddle.nn.Layer]) -> None:
    """The other process: answers messages until the connection closes."""
    net = build()
    while True:
        try:
            kind, content = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        connection.send(_answer(net, kind, content))


def _answer(net: paddle.nn.Layer, kind: str, content: Any) -> Any:
    if kind == "load":
        net.set_state_dict(content)
        return None
    if kind == "statistics":
        return _statistics(net)
    if kind == "logits":
        return _logits(net, content)
    parameters, images, labels, share = content
    for parameter, value in zip(_trained(net), parameters, strict=True):
        parameter.set_value(value)
    loss = _backward(net, images, labels, share)
    gradients = [_gradient(parameter).numpy() for parameter in _trained(net)]
    net.clear_gradients()
    return loss, gradients


def _trained(net: paddle.nn.Layer) -> list[paddle.Tensor]:
    """Parameters with gradients; batch normalisation's running statistics have none."""
    return [parameter for parameter in net.parameters() if not parameter.stop_gradient]


def _gradient(parameter: paddle.Tensor) -> paddle.Tensor:
    """The gradient of a trained parameter after a backward pass."""
    gradient = parameter.grad
    assert gradient is not None, f"{parameter.name} has no gradient"
    return gradient


def _statistics(net: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {
        name: value
        for name, value in _state(net).items()
        if name.endswith(("._mean", "._variance"))
    }


def _state(net: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in net.state_dict().items()}


def _backward(net: paddle.nn.Layer, images: np.ndarray, labels: np.ndarray, share: float) -> float:
    net.train()
    value = smoothed_cross_entropy(net(paddle.to_tensor(images)), paddle.to_tensor(labels)) * share
    value.backward()
    return float(value)


def _logits(net: paddle.nn.Layer, images: np.ndarray) -> np.ndarray:
    net.eval()
    with paddle.no_grad():
        return net(paddle.to_tensor(images)).numpy()
