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


def stored(tmp_path, state, protocol=4, name="net.pdparams"):
    (tmp_path / name).write_bytes(pickle.dumps(state, protocol=protocol))
    return tmp_path / name


@pytest.fixture(scope="module")
def plain_state():
    return rule_state(shapes_of(pplcnet.PPLCNet(0.25, class_num=5)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path, plain_state, protocol):
    loaded = pplcnet.load_pdparams(stored(tmp_path, plain_state, protocol))
    assert loaded.keys() == plain_state.keys()
    assert all(np.array_equal(loaded[name], plain_state[name]) for name in plain_state)


def test_what_this_paddle_writes_with_protocol_2_is_read(tmp_path):
    net = pplcnet.seeded(0, scale=0.25, class_num=5)
    paddle.save(net.state_dict(), str(tmp_path / "net.pdparams"), protocol=2)
    assert pplcnet.load_weights(net, tmp_path / "net.pdparams") == []


def test_half_precision_becomes_float32(tmp_path, plain_state):
    half = {name: value.astype(np.float16) for name, value in plain_state.items()}
    loaded = pplcnet.load_pdparams(stored(tmp_path, half))
    assert {value.dtype for value in loaded.values()} == {np.dtype(np.float32)}
    assert all(np.allclose(loaded[name], plain_state[name], 1e-3, 1e-3) for name in plain_state)


def test_bfloat16_as_paddle_stores_it_becomes_float32(tmp_path):
    upper = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    loaded = pplcnet.load_pdparams(stored(tmp_path, {"w": upper}))
    assert loaded["w"].tolist() == [1.5, -2.0]


PREFIXES = {
    "a distilled net": lambda state: (
        {f"Teacher.{name}": value + 1 for name, value in state.items()}
        | {f"Student.{name}": value for name, value in state.items()}
    ),
    "a distilled recognition net": lambda state: {
        f"Student.backbone.{name}": value for name, value in state.items()
    },
    "a teacher alone": lambda state: {f"Teacher.{name}": value for name, value in state.items()},
    "a net of several devices": lambda state: {
        f"_layers.{name}": value for name, value in state.items()
    },
}


@pytest.mark.parametrize("prefixed", PREFIXES.values(), ids=PREFIXES.keys())
def test_names_of_trainings_fit(tmp_path, plain_state, prefixed):
    net = pplcnet.PPLCNet(0.25, class_num=5)
    pplcnet.load_weights(net, stored(tmp_path, prefixed(plain_state)))
    assert all(
        np.array_equal(value.numpy(), plain_state[name]) for name, value in net.state_dict().items()
    )


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("inference.pdiparams", b"\0" * 40, "an exported inference model; give the .pdparams"),
        ("net.pdopt", b"x", "an optimizer's state"),
        ("model.onnx", b"x", "an ONNX model"),
        ("weights.bin", b"PK\x03\x04rest", "a file of PyTorch's"),
    ],
)
def test_another_file_is_told_for_what_it_is(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(weights.WeightsError, match=words):
        pplcnet.load_pdparams(tmp_path / name)


def test_a_path_without_its_suffix_names_the_file(tmp_path, plain_state):
    stored(tmp_path, plain_state)
    with pytest.raises(weights.WeightsError, match=r"give .*net\.pdparams, with its suffix"):
        pplcnet.load_pdparams(tmp_path / "net")


def test_a_codec_other_than_latin1_is_refused(tmp_path):
    # What pickle.dumps writes for bytes, with another codec's name in it.
    program = pickle.dumps(b"\xff\xfe", protocol=2).replace(b"latin1", b"rot_13")
    (tmp_path / "odd.pdparams").write_bytes(program)
    with pytest.raises(weights.WeightsError, match="codec 'rot_13'"):
        pplcnet.load_pdparams(tmp_path / "odd.pdparams")
