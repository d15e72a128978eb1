"""A net's features by Paddle's inference engine (oneDNN on CPU), or by the plain network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle

from dishvl_lib.core import caches

AGREEMENT = 1e-3


class _Features(paddle.nn.Layer):
    def __init__(self, net: paddle.nn.Layer):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.features(x)


class Engine:
    """float32 (N, 3, S, S) -> (N, D) by the graph in `folder`, with `threads` or on the GPU.

    It can be sent to another process, which opens the graph anew with one thread: there, processes
    are the threads.
    """

    def __init__(self, folder: Path, threads: int):
        self.folder = folder
        self.on_gpu = paddle.device.is_compiled_with_cuda()
        predictor = paddle.inference.create_predictor(self._config(threads))
        self.source = predictor.get_input_handle(predictor.get_input_names()[0])
        self.target = predictor.get_output_handle(predictor.get_output_names()[0])
        self.predictor = predictor

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.source.copy_from_cpu(batch)
        self.predictor.run()
        return self.target.copy_to_cpu()

    def __reduce__(self) -> tuple:
        return Engine, (self.folder, 1)

    def _config(self, threads: int) -> paddle.inference.Config:
        config = paddle.inference.Config(
            f"{self.folder / 'features'}.json", f"{self.folder / 'features'}.pdiparams"
        )
        config.disable_glog_info()
        if self.on_gpu:
            config.enable_use_gpu(256, 0)
        else:
            config.enable_mkldnn()
            config.set_cpu_math_library_num_threads(threads)
        return config


def plain(net: paddle.nn.Layer) -> Callable[[np.ndarray], np.ndarray]:
    """float32 (N, 3, S, S) -> (N, D) by the network as it is, in evaluation mode.

    `net` is one of this room's, which have `features`.
    """
    net.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return net.features(paddle.to_tensor(batch)).numpy()

    return run


def fast(
    net: paddle.nn.Layer, image_size: int, folder: Path, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The same through an `Engine` with `threads` threads over a graph in `folder`.

    The graph is exported when absent. The engine is compared with the plain network on one random
    batch; when it differs, or cannot be made on this machine, the plain network is returned and a
    message says so.
    """
    reference = plain(net)
    try:
        caches.folder(folder, lambda part: _export(net, image_size, part), "the inference engine")
        run = Engine(folder, threads)
        probe = (
            np.random.default_rng(0)
            .standard_normal((2, 3, image_size, image_size))
            .astype(np.float32)
        )
        difference = _relative_difference(run(probe), reference(probe))
    except Exception as error:  # export and engine raise Paddle's own, undocumented classes
        print(
            f"features: the inference engine is not usable ({type(error).__name__}), the "
            "plain network is slower"
        )
        return reference
    if not difference <= AGREEMENT:
        print(
            f"features: the inference engine differs by {difference:.2g}, the plain network "
            "is used instead"
        )
        return reference
    return run


def _export(net: paddle.nn.Layer, image_size: int, folder: Path) -> None:
    shape = [None, 3, image_size, image_size]
    static = paddle.jit.to_static(
        _Features(net), input_spec=[paddle.static.InputSpec(shape)], full_graph=True
    )
    static.eval()
    folder.mkdir(parents=True, exist_ok=True)
    paddle.jit.save(static, str(folder / "features"))


def _relative_difference(features: np.ndarray, reference: np.ndarray) -> float:
    largest = max(np.abs(reference).max(), 1e-12)
    return float(np.abs(features - reference).max() / largest)
