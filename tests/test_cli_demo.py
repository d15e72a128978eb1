"""`dishvl demo` on drawn dishes or on a folder of photos: which of the profile's values are
replaced.
"""

import pytest

from dishvl_lib import cli
from dishvl_lib.core import paths, pretrained_weights, records, settings


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """The file of pretrained weights, which is there."""
    monkeypatch.setattr(pretrained_weights, "file", lambda: tmp_path / "weights.pth")


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
    assert own["04_training"]["view_strength"] > drawn["04_training"]["view_strength"]
    assert own["04_training"]["max_pixels"] > drawn["04_training"]["max_pixels"]
    size = {"min_pixels", "max_pixels"}  # what the model sees; all stages are told
    for stage, more in (("02_similar_dishes", {"net"}), ("03_dataset", {"min_cosine"})):
        changed = {name for name, value in own[stage].items() if value != drawn[stage][name]}
        place = {"image_root", "sites", "run_name"}
        assert changed == place | size | more, "the exam stays the same"


def test_a_folder_of_photos_is_compared_by_the_pretrained_net(tmp_path):
    assert cli.demo_overrides(str(tmp_path))["net"] == "efficientnet_lite0"


def test_without_the_package_a_net_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained_weights, "file", lambda: None)
    overrides = cli.demo_overrides(str(tmp_path))
    assert settings.load_profile("demo", overrides)["02_similar_dishes"]["net"] == "pplcnet"


@pytest.mark.parametrize(
    "stage, begun", [("01", {"min_cosine": 0.98}), ("02", {}), ("02", {"net": "pplcnet"})]
)
def test_a_run_that_was_begun_keeps_its_net(tmp_path, stage, begun):
    folder = paths.stage_folder("mine", stage)
    folder.mkdir(parents=True)
    records.write_json(folder / "_STARTED.json", {"parameters": begun, "inputs": {}})
    overrides = cli.demo_overrides(str(tmp_path), "mine")
    assert settings.load_profile("demo", overrides)["02_similar_dishes"]["net"] == "pplcnet"


@pytest.mark.parametrize("stage, key", [("01", "min_cosine"), ("02", "net")])
def test_a_run_that_was_begun_with_the_pretrained_net_needs_no_package_to_be_asked_again(
    tmp_path, monkeypatch, stage, key
):
    begun = cli.demo_overrides(str(tmp_path), "mine")
    folder = paths.stage_folder("mine", stage)
    folder.mkdir(parents=True)
    records.write_json(folder / "_STARTED.json", {"parameters": {key: begun[key]}})
    monkeypatch.setattr(pretrained_weights, "file", lambda: None)
    assert cli.demo_overrides(str(tmp_path), "mine") == begun


def test_a_run_name_of_ones_own_is_kept(tmp_path):
    assert cli.demo_overrides(str(tmp_path), "mine")["run_name"] == "mine"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(settings.SettingsError, match="--image-root: no folder"):
        cli.demo_overrides(str(tmp_path / "nowhere"))
