"""The shipped start of detectors: small, whole, of trays of random recipes, and a net takes it."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from toys import copied_weights

from dishvl_lib import pretrain_detector
from dishvl_lib.core import paths, records
from dishvl_lib.demo import detector_start, recipes, trays
from dishvl_lib.detection import net, training


@pytest.fixture
def copied(tmp_path):
    return copied_weights(detector_start.FILE, tmp_path)


def test_the_shipped_start_is_small_whole_and_says_how_it_was_made():
    assert detector_start.FILE.stat().st_size <= 4_000_000
    assert detector_start.check() == records.sha256_file(detector_start.FILE)
    weights = load_file(detector_start.FILE)
    assert {array.dtype for array in weights.values()} == {np.dtype("float16")}
    assert all(np.isfinite(array).all() for array in weights.values())
    metadata = detector_start.metadata()
    assert metadata["recipes_seed"] == str(recipes.SEED)
    assert float(metadata["ap50"]) > 0.98


def test_a_net_takes_the_shipped_start():
    own = net.CentreNet()
    net.start_from(own, detector_start.FILE)
    stored = load_file(detector_start.FILE)
    for name, value in stored.items():
        assert (own.state_dict()[name].numpy() == value.astype(np.float32)).all(), name


@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_start_is_said(copied, damage):
    whole = copied.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    copied.write_bytes(flipped if damage is None else damage)
    with pytest.raises(detector_start.StartError, match="is damaged: its sha256"):
        detector_start.check(copied)


@pytest.mark.parametrize("suffix", [".safetensors", ".sha256"])
def test_a_missing_file_is_said_with_what_to_do(copied, suffix):
    copied.with_suffix(suffix).unlink()
    with pytest.raises(detector_start.StartError, match=f"{suffix} cannot be read.*pretrain"):
        detector_start.check(copied)


def test_a_start_is_made_by_the_script_that_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "outputs", lambda: tmp_path / "outputs")
    monkeypatch.setattr(trays.os, "sched_getaffinity", lambda process: {0})
    settings = training.TrainingSettings(epochs=1, size=64, batch_size=2)
    output = tmp_path / "own.safetensors"
    metadata = pretrain_detector.make_start(4, settings, output)
    assert metadata["trays"] == "4"
    assert detector_start.metadata(output) == metadata
    net.start_from(net.CentreNet(), output)
