"""Data-parallel training on CPU: Paddle runs a step on one core, so every further core gets a
process of its own.

Processes, not threads: Paddle's dynamic graph corrupts memory when two threads run it.
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import paddle

SMALLEST_SHARE = 4


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


class Replicas:
    """One network that learns (`net`) and copies in other processes that take shares of each batch.

    Gradients are averaged by photos, so a step equals a step on the whole batch, but for batch
    normalisation, which sees a share at a time (as it does on several GPUs). `build` must be
    picklable. Call `close` at the end.
    """

    def __init__(self, build: Callable[[], paddle.nn.Layer], count: int):
        self.net = build()
        started = [_start_worker(build) for _ in range(count - 1)]
        self.workers = [connection for connection, _ in started]
        self.processes = [process for _, process in started]

    def copy_out(self) -> None:
        """Parameters and running statistics of `net` to the other replicas."""
        self._ask([("load", _state(self.net))] * len(self.workers))

    def backward(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Mean loss of the batch; its gradients are left in the parameters of `net`."""
        own, *others = self._shares(len(labels), SMALLEST_SHARE)
        if others:
            parameters = [parameter.numpy() for parameter in _trained(self.net)]
        for worker, share in zip(self.workers, others, strict=False):
            worker.send(
                ("backward", (parameters, images[share], labels[share], len(share) / len(labels)))
            )
        loss = _backward(self.net, images[own], labels[own], len(own) / len(labels))
        for worker in self.workers[: len(others)]:
            other_loss, gradients = _receive(worker)
            loss += other_loss
            for parameter, gradient in zip(_trained(self.net), gradients, strict=True):
                parameter.grad.set_value(parameter.grad.numpy() + gradient)
        return loss

    def average_statistics(self) -> None:
        """The running means and variances of batch normalisation become the average over all
        replicas.
        """
        others = self._ask([("statistics", None)] * len(self.workers))
        own = _statistics(self.net)
        mean = {name: np.mean([part[name] for part in (own, *others)], axis=0) for name in own}
        for name, value in self.net.state_dict().items():
            if name in mean:
                value.set_value(mean[name])
        self.copy_out()

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) -> (N, classes) in evaluation mode, by the state last copied out."""
        own, *others = self._shares(len(images), 1)
        for worker, share in zip(self.workers, others, strict=False):
            worker.send(("logits", images[share]))
        parts = [_logits(self.net, images[own])]
        return np.concatenate(parts + [_receive(worker) for worker in self.workers[: len(others)]])

    def close(self) -> None:
        """Ends the other processes and waits for them: one that is still there at exit would be
        ended with noise.
        """
        for worker in self.workers:
            worker.close()
        for process in self.processes:
            process.join(5)
            if process.is_alive():
                process.kill()
        self.workers = []
        self.processes = []

    def _shares(self, n: int, smallest: int) -> list[np.ndarray]:
        """The numbers 0..n-1, split among the replicas; fewer take part when shares would get too
        small.
        """
        return np.array_split(np.arange(n), max(1, min(1 + len(self.workers), n // smallest)))

    def _ask(self, messages: list[tuple]) -> list:
        for worker, message in zip(self.workers, messages, strict=True):
            worker.send(message)
        return [_receive(worker) for worker in self.workers]


def _start_worker(
    build: Callable[[], paddle.nn.Layer],
) -> tuple[Connection, multiprocessing.Process]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, build), daemon=True)
    process.start()
    there.close()
    return here, process


def _receive(worker: Connection) -> object:
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


def _answer(net: paddle.nn.Layer, kind: str, content: object) -> object:
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
    gradients = [parameter.grad.numpy() for parameter in _trained(net)]
    net.clear_gradients()
    return loss, gradients


def _trained(net: paddle.nn.Layer) -> list[paddle.Tensor]:
    """Parameters with gradients; Paddle counts the running statistics of batch normalisation among
    the others.
    """
    return [parameter for parameter in net.parameters() if not parameter.stop_gradient]


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
