"""The one-pass loss under a frozen head: equal to logits and cross-entropy, and used only where it
may be.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dishvl_lib.vlm import label_loss


def frozen(entries, width, **options):
    torch.manual_seed(0)
    head = nn.Linear(width, entries, bias=False, **options).requires_grad_(False)
    head.weight.mul_(20)  # far from uniform
    return head


def both(head, rows, labels, weights):
    """[(losses, gradient of the rows)] of the one-pass way and of the plain one."""
    results = []
    for losses in (
        label_loss.label_losses,
        lambda *given: F.cross_entropy(given[0](given[1]).float(), given[2], reduction="none"),
    ):
        leaf = rows.clone().requires_grad_()
        of_rows = losses(head, leaf, labels)
        (of_rows * weights).sum().backward()
        results.append((of_rows.detach(), leaf.grad))
    return results


@pytest.mark.parametrize(
    ("entries", "n"), [(label_loss.LARGE, 1), (40_000, 8), (32_771, 5), (2 * label_loss.LARGE, 300)]
)
def test_losses_and_gradients_are_those_of_the_logits(entries, n):
    head = frozen(entries, 24)
    rows = 3 * torch.randn(n, 24)
    labels = torch.randint(entries, (n,))
    assert label_loss._one_pass(head, rows)
    (losses, gradient), (wanted, wanted_gradient) = both(head, rows, labels, torch.rand(n))
    torch.testing.assert_close(losses, wanted, atol=1e-4, rtol=1e-5)
    assert (gradient - wanted_gradient).norm() <= 1e-5 * wanted_gradient.norm()


def test_a_row_that_is_not_a_number_spoils_no_other():
    head = frozen(label_loss.LARGE, 8)
    rows = torch.randn(3, 8)
    rows[1] = float("nan")
    assert torch.isfinite(
        label_loss.label_losses(head, rows, torch.tensor([1, 2, 3]))
    ).tolist() == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "changed",
    [
        lambda head: head.requires_grad_(True),
        lambda head: head.bfloat16(),
        lambda head: nn.Linear(8, label_loss.LARGE),
        lambda head: frozen(100, 8),
        nn.Sequential,
    ],
    ids=["trained", "bfloat16", "bias", "small", "wrapped"],
)
def test_elsewhere_the_logits_are_computed(changed):
    head = changed(frozen(label_loss.LARGE, 8))
    dtype = next(head.parameters()).dtype
    rows = torch.randn(2, 8, dtype=dtype)
    assert not label_loss._one_pass(head, rows)
    plain = F.cross_entropy(head(rows).float(), torch.tensor([1, 2]), reduction="none")
    assert torch.equal(label_loss.label_losses(head, rows, torch.tensor([1, 2])), plain)
