"""Training that starts from weights at hand: what is taken over, what starts fresh, what is
refused.
"""

import numpy as np
import pytest
from test_similarity_features import TRAINING, halves, toy  # noqa: F401

paddle = pytest.importorskip("paddle")

from dishvl_lib.similarity import classifier, pplcnet, weights  # noqa: E402

STILL = TRAINING | {"learning_rate": 1e-9, "epochs": 1}


def start_from(toy, tmp_path, **given):  # noqa: F811
    """(the weights at hand, what one epoch that changes next to nothing leaves)."""
    table, root = toy
    net = pplcnet.seeded(7, **{"scale": 0.25, "class_num": 5, **given})
    pplcnet.save_weights(net.state_dict(), tmp_path / "mine.pdparams")
    classifier.train(
        *halves(table),
        root,
        tmp_path / "net.pdparams",
        init_weights=tmp_path / "mine.pdparams",
        **STILL,
    )
    return weights.load_pdparams(tmp_path / "mine.pdparams"), weights.load_pdparams(
        tmp_path / "net.pdparams"
    )


def test_the_backbone_is_taken_over_and_the_heads_start_fresh(toy, tmp_path, capsys):  # noqa: F811
    mine, made = start_from(toy, tmp_path)
    for name in ("conv1.conv.weight", "blocks6.1.pw_conv.conv.weight", "last_conv.weight"):
        np.testing.assert_allclose(made[name], mine[name], atol=1e-6)
    said = capsys.readouterr().out
    assert made["fc.weight"].shape == (16, 3)
    assert "fc.* left out" in said
    assert "embedding.* left out" in said


def test_weights_of_another_scale_do_not_start_a_training(toy, tmp_path):  # noqa: F811
    with pytest.raises(weights.WeightsError, match="does not fit this PP-LCNet"):
        start_from(toy, tmp_path, scale=0.5)
