"""PP-LCNet features by Paddle's inference engine (oneDNN on CPU), with the plain network as the fallback."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle

from dishvl_lib.similarity.pplcnet import PPLCNet

AGREEMENT = 1e-3


class _Features(paddle.nn.Layer):
    def __init__(self, net: PPLCNet):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.features(x)


def plain(net: PPLCNet) -> Callable[[np.ndarray], np.ndarray]:
    """float32 (N, 3, S, S) -> (N, D) by the network as it is, in evaluation mode."""
    net.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return net.features(paddle.to_tensor(batch)).numpy()

    return run


def fast(net: PPLCNet, image_size: int, folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same through an exported graph in `folder` (made when absent) and `threads` engine threads.

    The engine is compared with the plain network on one random batch; when it differs, or cannot be made on this
    machine, the plain network is returned and a message says so.
    """
    reference = plain(net)
    try:
        run = _predictor(_exported(net, image_size, folder), threads)
        probe = np.random.default_rng(0).standard_normal((2, 3, image_size, image_size)).astype(np.float32)
        difference = _relative_difference(run(probe), reference(probe))
    except Exception as error:  # export and engine raise Paddle's own, undocumented classes
        print(f"features: the inference engine is not usable ({type(error).__name__}), the plain network is slower")
        return reference
    if not difference <= AGREEMENT:
        print(f"features: the inference engine differs by {difference:.2g}, the plain network is used instead")
        return reference
    return run


def _exported(net: PPLCNet, image_size: int, folder: Path) -> Path:
    prefix = folder / "features"
    if not (folder / "complete").exists():
        shape = [None, 3, image_size, image_size]
        static = paddle.jit.to_static(_Features(net), input_spec=[paddle.static.InputSpec(shape)], full_graph=True)
        static.eval()
        folder.mkdir(parents=True, exist_ok=True)
        paddle.jit.save(static, str(prefix))
        (folder / "complete").touch()
    return prefix


def _predictor(prefix: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    config = paddle.inference.Config(f"{prefix}.json", f"{prefix}.pdiparams")
    config.disable_glog_info()
    if paddle.device.is_compiled_with_cuda():
        config.enable_use_gpu(256, 0)
    else:
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    predictor = paddle.inference.create_predictor(config)
    source = predictor.get_input_handle(predictor.get_input_names()[0])
    target = predictor.get_output_handle(predictor.get_output_names()[0])

    def run(batch: np.ndarray) -> np.ndarray:
        source.copy_from_cpu(batch)
        predictor.run()
        return target.copy_to_cpu()

    return run


def _relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-12))
