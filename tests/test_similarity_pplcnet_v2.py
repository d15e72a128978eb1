"""PP-LCNetV2 against PaddleClas' golden vectors, built from files of weights."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from similarity_rule import rule_input, rule_state  # noqa: E402

from dishvl_lib.similarity import engine, features, pplcnet, pplcnet_v2, weights  # noqa: E402
from dishvl_lib.similarity.pplcnet_v2 import Form  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "data" / "pplcnet_v2_golden.json").read_text("utf-8"))[
    "networks"
]
FORMS = {
    "small": Form(0.75, (2, 2, 4, 2), class_num=5),
    "base": Form(class_num=5),
    "large": Form(1.25, (2, 2, 8, 2), class_num=5),
    "shitu": Form(expansion=512, recognition=True, neck=True),
}


def named(name, form):
    """Our parameter under PaddleClas' name."""
    if not form.recognition:
        return name
    inner = name.removeprefix("neck.")
    return f"neck.feat_bn.{inner}" if inner != name else f"backbone.{name}"


def rule(net, form):
    """The golden vectors' parameters, under our names; they go by PaddleClas'."""
    theirs = {named(name, form): name for name in net.state_dict()}
    shapes = {their: tuple(net.state_dict()[name].shape) for their, name in theirs.items()}
    return {theirs[name]: value for name, value in rule_state(shapes).items()}


@pytest.mark.parametrize("size", FORMS)
def test_names_shapes_and_outputs_are_those_of_paddleclas(size):
    form = FORMS[size]
    net = pplcnet_v2.PPLCNetV2(form)
    state = rule(net, form)
    listed = sorted((named(name, form), list(value.shape)) for name, value in state.items())
    names = "\n".join(f"{name} {shape}" for name, shape in listed)
    assert hashlib.sha256(names.encode()).hexdigest() == GOLDEN[size]["names_sha256"]
    net.set_state_dict(state)
    net.eval()
    with paddle.no_grad():
        output = net(paddle.to_tensor(rule_input())).numpy()
    expected = np.array(GOLDEN[size]["output"])
    assert np.abs(output[:, :8] - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def shitu(tmp_path_factory):
    """A file as PP-ShiTuV2's training writes it, head included."""
    form = FORMS["shitu"]
    state = rule(pplcnet_v2.PPLCNetV2(form), form)
    stored = {named(name, form): value for name, value in state.items()}
    stored["head.fc.weight"] = np.zeros((512, 9), np.float32)
    file = tmp_path_factory.mktemp("weights") / "general_PPLCNetV2_base.pdparams"
    file.write_bytes(pickle.dumps(stored, protocol=4))
    return file


@pytest.mark.parametrize("size", FORMS)
def test_the_form_is_read_from_the_parameters(size):
    net = pplcnet_v2.PPLCNetV2(FORMS[size])
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    form = pplcnet_v2.form_of(state, "file")
    expected = FORMS[size]
    assert (form.scale, form.depths, form.expansion) == (
        expected.scale,
        expected.depths,
        expected.expansion,
    )
    assert form.recognition == expected.recognition
    assert form.neck == expected.neck


def test_features_come_from_such_a_file_whatever_scale_is_set(shitu):
    net = features.network(shitu, scale=0.25)
    assert net.feature_size == 512
    output = engine.plain(net)(rule_input())
    expected = np.array(GOLDEN["shitu"]["output"])
    assert np.abs(output[:, :8] - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_inference_engine_agrees(shitu, tmp_path, capsys):
    net = features.network(shitu, scale=0.25)
    fast = engine.fast(net, 64, tmp_path / "engine", threads=1)
    assert isinstance(fast, engine.Engine), capsys.readouterr().out


def test_parameters_of_another_width_are_refused(shitu):
    state = weights.our_names(weights.load_pdparams(shitu))
    state["stem.0.conv.weight"] = np.zeros((17, 3, 3, 3), np.float32)
    with pytest.raises(weights.WeightsError, match="no PP-LCNetV2 that is known here: 17"):
        pplcnet_v2.form_of(state, shitu)


def test_a_training_does_not_begin_from_it(shitu):
    with pytest.raises(weights.WeightsError, match="give it as `weights`"):
        pplcnet.load_weights(pplcnet.PPLCNet(0.25), shitu)
