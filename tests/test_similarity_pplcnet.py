"""PP-LCNet against PaddleClas' golden vectors, and `.pdparams` that are refused."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from similarity_rule import rule_input, rule_state  # noqa: E402

from dishvl_lib.similarity import pplcnet, weights  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "data" / "pplcnet_golden.json").read_text("utf-8"))[
    "networks"
]


def shapes_of(net) -> dict:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("scale", sorted(GOLDEN, key=float))
def test_names_shapes_and_outputs_are_those_of_paddleclas(scale):
    net = pplcnet.PPLCNet(float(scale), class_num=5)
    state = rule_state(shapes_of(net))
    names = "\n".join(f"{name} {list(value.shape)}" for name, value in sorted(state.items()))
    assert hashlib.sha256(names.encode()).hexdigest() == GOLDEN[scale]["names_sha256"]
    net.set_state_dict(state)
    net.eval()
    with paddle.no_grad():
        logits = net(paddle.to_tensor(rule_input())).numpy()
    np.testing.assert_allclose(logits, GOLDEN[scale]["logits"], rtol=1e-4, atol=1e-4)


def test_saved_weights_come_back_exactly(tmp_path):
    net = pplcnet.seeded(1, scale=0.25, class_num=3)
    pplcnet.save_weights(net.state_dict(), tmp_path / "net.pdparams")
    loaded = pplcnet.load_pdparams(tmp_path / "net.pdparams")
    assert {name: value.shape for name, value in loaded.items()} == shapes_of(net)
    assert all(
        np.array_equal(value.numpy(), loaded[name]) for name, value in net.state_dict().items()
    )
    other = pplcnet.seeded(2, scale=0.25, class_num=3)
    assert pplcnet.weights_hash(other) != pplcnet.weights_hash(net)
    assert pplcnet.load_weights(other, tmp_path / "net.pdparams") == []
    assert pplcnet.weights_hash(other) == pplcnet.weights_hash(net)


def test_recognition_model_keys_fit(tmp_path):
    net = pplcnet.PPLCNet(0.25, class_num=0, embedding_size=8)
    state = rule_state(shapes_of(net))
    foreign = {
        f"backbone.{name}": value
        for name, value in state.items()
        if not name.startswith("embedding")
    }
    foreign |= {
        "neck.fc.weight": state["embedding.weight"],
        "neck.fc.bias": state["embedding.bias"],
    }
    foreign["head.weight"] = np.zeros((8, 9), np.float32)
    pplcnet.save_weights(foreign, tmp_path / "rec.pdparams")
    messages = pplcnet.load_weights(net, tmp_path / "rec.pdparams")
    assert len(messages) == 1
    assert "fc." in messages[0]
    assert np.array_equal(net.embedding.weight.numpy(), state["embedding.weight"])


def test_class_head_of_another_count_is_left_out_with_a_message(tmp_path):
    pplcnet.save_weights(
        pplcnet.PPLCNet(0.25, class_num=7).state_dict(), tmp_path / "seven.pdparams"
    )
    messages = pplcnet.load_weights(pplcnet.PPLCNet(0.25, class_num=3), tmp_path / "seven.pdparams")
    assert len(messages) == 1
    assert "(1280, 7)" in messages[0]
    assert "(1280, 3)" in messages[0]


def test_weights_of_another_scale_are_named(tmp_path):
    pplcnet.save_weights(pplcnet.PPLCNet(0.5, class_num=3).state_dict(), tmp_path / "half.pdparams")
    with pytest.raises(weights.WeightsError, match=r"half\.pdparams.*of another shape.*scale"):
        pplcnet.load_weights(pplcnet.PPLCNet(0.25, class_num=3), tmp_path / "half.pdparams")


def test_missing_and_unexpected_names_are_listed(tmp_path):
    state = dict(pplcnet.PPLCNet(0.25, class_num=3).state_dict())
    state["surprise"] = state.pop("last_conv.weight")
    pplcnet.save_weights(state, tmp_path / "odd.pdparams")
    with pytest.raises(
        weights.WeightsError, match=r"1 missing \(last_conv.weight\); 1 unexpected \(surprise\)"
    ):
        pplcnet.load_weights(pplcnet.PPLCNet(0.25, class_num=3), tmp_path / "odd.pdparams")


class Evil:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_evil_pickle_is_refused_and_does_nothing(tmp_path):
    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"fc.weight": Evil(tmp_path / "owned")}))
    with pytest.raises(weights.WeightsError, match=r"evil\.pdparams.*mkdir"):
        pplcnet.load_pdparams(tmp_path / "evil.pdparams")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({"fc.weight": "text"})]
)
def test_damaged_files_are_one_clear_error(tmp_path, content):
    (tmp_path / "bad.pdparams").write_bytes(content)
    with pytest.raises(weights.WeightsError, match=r"bad\.pdparams"):
        pplcnet.load_pdparams(tmp_path / "bad.pdparams")


def test_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="0.25"):
        pplcnet.PPLCNet(0.3)
