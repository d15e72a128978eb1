"""`dishvl demo` on drawn dishes or on a folder of photos: which of the profile's values are
replaced.
"""

import pytest

from dishvl_lib import cli
from dishvl_lib.core import settings


def test_the_drawn_demo_is_the_profile_itself():
    assert cli.demo_overrides() == {}
    assert cli.demo_overrides(run_name="mine") == {"run_name": "mine"}


def test_a_folder_of_photos_has_no_outside_sites_and_is_passed_more_often(tmp_path):
    folder = tmp_path / "canteen"
    folder.mkdir()
    overrides = cli.demo_overrides(str(folder))
    drawn = settings.load_profile("demo")
    own = settings.load_profile("demo", overrides)
    assert own["01_annotation"]["image_root"] == str(folder)
    assert own["01_annotation"]["sites"] == []
    assert own["01_annotation"]["run_name"] == "demo_canteen"
    assert own["04_training"]["num_train_epochs"] > drawn["04_training"]["num_train_epochs"]
    assert own["04_training"]["photo_augmentation"] == "views"
    for stage in ("02_similar_dishes", "03_dataset"):
        changed = {name for name, value in own[stage].items() if value != drawn[stage][name]}
        assert changed == {"image_root", "sites", "run_name"}, "PP-LCNet and the exam stay the same"


def test_a_run_name_of_ones_own_is_kept(tmp_path):
    assert cli.demo_overrides(str(tmp_path), "mine")["run_name"] == "mine"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(settings.SettingsError, match="--image-root: no folder"):
        cli.demo_overrides(str(tmp_path / "nowhere"))
