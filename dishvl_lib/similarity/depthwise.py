"""Depthwise convolutions of small maps as matrix products, on a CPU.

Paddle's depthwise kernel for CPUs takes one product at a time: a PP-LCNet spent three quarters of a
training step in it, most of that in the 5x5 kernels of its last blocks. There the maps are so small
that the band matrix of a kernel is small too, and a product with it is several times as fast,
although most of its entries are zero. On larger maps it is not, and the plain convolution is used,
as it is on a GPU and in graphs that are exported.
"""

import functools
from typing import Any

import numpy as np
import paddle
from paddle import nn

LARGEST_SIDE = 16  # pixels: at 14 and 5x5 three times as fast, at 28 and 3x3 half as fast


class DepthwiseConv2D(nn.Conv2D):
    """`Conv2D` with one kernel a channel, square, of odd size and padded by half of it."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        is_run_here = paddle.in_dynamic_mode() and x.place.is_cpu_place()
        if is_run_here and max(x.shape[2:]) <= LARGEST_SIDE:
            return _BandProduct.apply(x, self.weight, self._stride[0])
        return super().forward(x)


class _BandProduct(paddle.autograd.PyLayer):
    """(N, C, H, W) and (C, 1, k, k) -> (N, C, h, w), h = ceil(H / stride).

    An output row is the k input rows above it, side by side, times the band matrix (k W, w) of the
    channel's kernel. Rows are gathered by numpy: Paddle copies parts of a tensor element by element.
    """

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, stride: int) -> paddle.Tensor:
        kernel = weight.shape[-1]
        n, channels, height, width = x.shape
        places = _places(kernel, stride, width)
        bands = (weight.reshape([channels, -1]) @ places).reshape([channels, kernel * width, -1])
        rows = paddle.to_tensor(_gathered(x.numpy(), kernel, stride))
        products = paddle.bmm(rows, bands).numpy()
        ctx.rows = rows
        ctx.bands = bands
        ctx.stride = stride
        ctx.shape = (n, channels, height, width)
        out_width = bands.shape[-1]
        return _channels_second(products.reshape(channels, n, -1, out_width))

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        _, channels, _, width = ctx.shape
        kernel = ctx.rows.shape[-1] // width
        of_products = np.ascontiguousarray(grad.numpy().transpose(1, 0, 2, 3))
        grad_products = paddle.to_tensor(of_products.reshape(channels, -1, of_products.shape[-1]))
        grad_bands = paddle.matmul(ctx.rows, grad_products, transpose_x=True)
        places = _places(kernel, ctx.stride, width)
        grad_weight = paddle.matmul(grad_bands.reshape([channels, -1]), places, transpose_y=True)
        grad_rows = paddle.matmul(grad_products, ctx.bands, transpose_y=True).numpy()
        grad_x = _scattered(grad_rows, kernel, ctx.stride, ctx.shape)
        return _channels_second(grad_x), grad_weight.reshape([channels, 1, kernel, kernel])


@functools.cache
def _places(kernel: int, stride: int, width: int) -> paddle.Tensor:
    """(k k, k W w): 1 where an entry of the kernel stands in the band matrix.

    Entry (i, j) meets column o * stride + j - k // 2 of input row i for output column o.
    """
    out_width = -(-width // stride)
    places = np.zeros((kernel, kernel, kernel, width, out_width), np.float32)
    for column in range(out_width):
        for offset in range(kernel):
            source = column * stride + offset - kernel // 2
            if 0 <= source < width:
                for row in range(kernel):
                    places[row, offset, row, source, column] = 1
    return paddle.to_tensor(places.reshape(kernel * kernel, -1))


def _gathered(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """(N, C, H, W) -> (C, N h, k W): the k input rows of each output row, side by side."""
    n, channels, height, width = x.shape
    half = kernel // 2
    # as long as the last stride reaches, so that every slice has as many rows
    padded = np.zeros((channels, n, height + 2 * half + stride, width), np.float32)
    padded[:, :, half : half + height] = x.transpose(1, 0, 2, 3)
    out_height = -(-height // stride)
    rows = np.empty((channels, n, out_height, kernel, width), np.float32)
    for row in range(kernel):
        rows[:, :, :, row] = padded[:, :, row : row + stride * out_height : stride]
    return rows.reshape(channels, n * out_height, kernel * width)


def _scattered(
    rows: np.ndarray, kernel: int, stride: int, shape: tuple[int, int, int, int]
) -> np.ndarray:
    """What `_gathered` took, added back in its places: (C, N h, k W) -> (C, N, H, W)."""
    n, channels, height, width = shape
    half = kernel // 2
    out_height = -(-height // stride)
    padded = np.zeros((channels, n, height + 2 * half + stride, width), np.float32)
    parts = rows.reshape(channels, n, out_height, kernel, width)
    for row in range(kernel):
        padded[:, :, row : row + stride * out_height : stride] += parts[:, :, :, row]
    return padded[:, :, half : half + height]


def _channels_second(maps: np.ndarray) -> paddle.Tensor:
    """(C, N, H, W) -> (N, C, H, W)."""
    return paddle.to_tensor(np.ascontiguousarray(maps.transpose(1, 0, 2, 3)))
