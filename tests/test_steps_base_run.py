"""Stage 03 refuses a catalogue that tests on what the base model was trained on."""

import types

import pandas as pd
import pytest

from dishvl_lib.core import base_run
from dishvl_lib.core.stages import StageError
from dishvl_lib.steps import dataset as steps


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The run `first` trained on a and b, and tested on c."""
    photos = pd.DataFrame({"sha256": ["a", "b", "c"], "split": ["train", "train", "test"]})
    monkeypatch.setattr(base_run, "known_photos", {"first": photos}.__getitem__)


def stage(base_model="run:first", done=False):
    return types.SimpleNamespace(params={"base_model": base_model}, done=done)


def catalogue(*splits):
    rows = zip("abcd", splits, strict=False)
    return pd.DataFrame([(f"{sha}.jpg", sha, split) for sha, split in rows]).set_axis(
        ["path", "sha256", "split"], axis=1
    )


@pytest.mark.parametrize("split", ["validation", "test", "held_out", "site:b"])
def test_a_photo_that_was_trained_on_is_not_asked_about(split):
    with pytest.raises(StageError, match=r"1 photos .* run first was trained on them \(b.jpg\)"):
        steps._refuse_learned(stage(), catalogue("train", split, "test", "test"))


@pytest.mark.parametrize("split", ["train", "moved_out"])
def test_what_is_not_tested_here_is_no_leak(split):
    steps._refuse_learned(stage(), catalogue("train", split, "test", "test"))


def test_other_base_models_and_finished_stages_are_not_looked_at():
    leaking = catalogue("test", "test")
    steps._refuse_learned(stage("builtin"), leaking)
    steps._refuse_learned(stage(done=True), leaking)
