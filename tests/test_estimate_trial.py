"""The trial behind `dishvl estimate --trial`: a rate from real steps, or one sentence."""

import pytest
import tiny

from dishvl_lib.estimate import trial
from dishvl_lib.training import config


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    given = dict(
        num_train_epochs=5,
        per_device_train_batch_size=5,
        early_stopping_patience=2,
    )
    return config.from_parameters(
        {**tiny.TRAINING, **given},
        base_model=tiny.base_folder(folder / "base"),
        output_folder=folder / "untouched",
        **tiny.data_set(folder / "data"),
    )


def test_a_rate_or_a_sentence_and_nothing_is_left(settings, monkeypatch):
    """Early stopping, which wants validations that a trial has not, is left out of it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert trial.photos_per_second(settings) > 0
    with pytest.raises(
        trial.TrialFailed,
        match="without a result; training cannot go on: RecordError: .*none.jsonl",
    ):
        trial.photos_per_second(settings.model_copy(update={"train_file": "none.jsonl"}))
    assert not config.Path(settings.output_folder).exists()
