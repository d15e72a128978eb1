"""The patch embedding as a matrix product gives what transformers' convolution gives."""

import pytest
import tiny
import torch

from dishvl_lib.vlm import patch_product

# The sums run over 1,176 products in another order: this is float32's own spread.
RELATIVE = 5e-5


def rows_and_gradient(embedding, patches):
    embedding.zero_grad()
    rows = embedding(patches)
    rows.square().sum().backward()
    return rows.detach(), embedding.proj.weight.grad.clone()


@pytest.fixture(scope="module")
def both():
    embedding = tiny.model().model.model.visual.patch_embed
    patches = torch.randn(12, 1176, generator=torch.Generator().manual_seed(0))
    convolved = rows_and_gradient(embedding, patches)
    patch_product.bind(embedding)
    assert embedding.proj.forward.__func__ is patch_product.product
    return convolved, rows_and_gradient(embedding, patches)


def test_rows_are_the_same(both):
    (convolved, _), (product, _) = both
    assert (product - convolved).norm() <= RELATIVE * convolved.norm()


def test_gradients_are_the_same(both):
    (_, convolved), (_, product) = both
    assert product.shape == convolved.shape
    assert (product - convolved).norm() <= RELATIVE * convolved.norm()
