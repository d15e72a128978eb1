"""A depthwise convolution as a product with band matrices gives what Paddle's own gives."""

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from dishvl_lib.similarity import depthwise, pplcnet  # noqa: E402

CASES = [
    # batch, channels, height, width, kernel, stride
    (3, 4, 10, 10, 5, 1),
    (3, 4, 10, 10, 5, 2),
    (2, 3, 5, 5, 5, 1),
    (2, 3, 7, 9, 3, 2),
    (1, 2, 5, 3, 5, 2),
    (2, 8, 16, 16, 3, 1),
    (2, 2, 1, 1, 3, 2),
]


def output_and_gradients(convolution, pixels):
    convolution.clear_gradients()
    x = paddle.to_tensor(pixels, stop_gradient=False)
    y = convolution(x)
    (y * y + y).mean().backward()
    return y.numpy(), x.grad.numpy(), convolution.weight.grad.numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["output", "of_the_map", "of_the_kernel"])
def test_a_small_map_is_convolved_exactly(case, place, monkeypatch):
    batch, channels, height, width, kernel, stride = case
    paddle.seed(0)
    convolution = depthwise.DepthwiseConv2D(
        channels, channels, kernel, stride, kernel // 2, groups=channels, bias_attr=False
    )
    shape = (batch, channels, height, width)
    pixels = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    product = output_and_gradients(convolution, pixels)
    monkeypatch.setattr(depthwise, "LARGEST_SIDE", 0)
    plain = output_and_gradients(convolution, pixels)
    np.testing.assert_allclose(product[place], plain[place], rtol=1e-5, atol=1e-6)


def test_only_small_maps_take_the_product(monkeypatch):
    def refused(*_):
        raise AssertionError("the product was taken")

    monkeypatch.setattr(depthwise._BandProduct, "apply", refused)
    convolution = depthwise.DepthwiseConv2D(2, 2, 3, 1, 1, groups=2, bias_attr=False)
    side = depthwise.LARGEST_SIDE + 1
    assert convolution(paddle.zeros([1, 2, 8, side])).shape == [1, 2, 8, side]
    with pytest.raises(AssertionError, match="the product was taken"):
        convolution(paddle.zeros([1, 2, 8, 8]))


def test_an_exported_graph_has_the_plain_convolution(tmp_path):
    convolution = depthwise.DepthwiseConv2D(2, 2, 3, 1, 1, groups=2, bias_attr=False)
    convolution.eval()
    pixels = paddle.rand([1, 2, 8, 8])
    shape = paddle.static.InputSpec([None, 2, 8, 8])
    graph = paddle.jit.to_static(convolution, input_spec=[shape], full_graph=True)
    paddle.jit.save(graph, str(tmp_path / "graph"))
    loaded = paddle.jit.load(str(tmp_path / "graph"))
    np.testing.assert_allclose(loaded(pixels).numpy(), convolution(pixels).numpy(), atol=1e-6)


def test_a_step_of_the_net_is_the_same(monkeypatch):
    photos = np.random.default_rng(1).standard_normal((4, 3, 80, 80)).astype(np.float32)
    gradients = []
    for largest_side in (depthwise.LARGEST_SIDE, 0):
        monkeypatch.setattr(depthwise, "LARGEST_SIDE", largest_side)
        net = pplcnet.seeded(0, scale=0.25, class_num=3, dropout=0.0)
        net.train()
        net(paddle.to_tensor(photos)).square().mean().backward()
        gradients.append(net.blocks5[0].pw_conv.conv.weight.grad.numpy())
    scale = np.abs(gradients[1]).max()
    np.testing.assert_allclose(gradients[0] / scale, gradients[1] / scale, atol=1e-4)
