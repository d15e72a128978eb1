"""`dishvl new`: the copied profile takes the pretrained net where it can."""

import pytest

from dishvl_lib import cli, run
from dishvl_lib.core import paths, pretrained_weights, settings


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project of its own, with a folder of photos; the package of pretrained weights is there."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "params").mkdir()
    shipped = paths.profile_folders()
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(paths, "profile_folders", lambda: [tmp_path / "params", *shipped])
    monkeypatch.setattr(pretrained_weights, "file", lambda: tmp_path / "weights.pth")
    return tmp_path


def made(project, like):
    """The values of a new profile."""
    run.new_profile("mine", str(project / "photos"), like)
    return settings.load_profile("mine")


def net_and_cosine(values):
    return values["02_similar_dishes"]["net"], values["03_dataset"]["min_cosine"]


@pytest.mark.parametrize("like", ["qwen2_5_vl_7b", "qwen2_5_vl_7b_lora", "demo"])
def test_it_takes_the_pretrained_net(project, like):
    assert net_and_cosine(made(project, like)) == ("efficientnet_lite0", 0.92)


def test_its_comments_stay(project):
    made(project, "qwen2_5_vl_7b")
    text = (project / "params" / "mine" / "02_similar_dishes.yaml").read_text("utf-8")
    assert 'net: "efficientnet_lite0"  # ' in text
    assert text.count("net: ") == 1


def test_without_the_package_a_net_is_trained(project, monkeypatch):
    monkeypatch.setattr(pretrained_weights, "file", lambda: None)
    assert net_and_cosine(made(project, "demo")) == ("pplcnet", 0.98)


@pytest.mark.parametrize("key", ["weights", "init_weights", "preprocess_yaml"])
def test_a_profile_with_weights_of_its_own_keeps_them(project, key):
    own = project / "params" / "own"
    own.mkdir()
    (own / "common.yaml").write_text("base: demo\n")
    (own / "02_similar_dishes.yaml").write_text(f"{key}: net.pdparams\n")
    values = made(project, "own")
    assert net_and_cosine(values) == ("pplcnet", 0.98)
    assert values["02_similar_dishes"][key] == "net.pdparams"


def test_a_limit_that_was_chosen_stays(project):
    own = project / "params" / "own"
    own.mkdir()
    (own / "common.yaml").write_text("base: demo\n")
    (own / "03_dataset.yaml").write_text("min_cosine: 0.95\n")
    assert net_and_cosine(made(project, "own")) == ("efficientnet_lite0", 0.95)


@pytest.fixture
def trays(project):
    """(folder of photos of trays, labels), as options of the command."""
    (project / "frames").mkdir()
    (project / "labels.json").write_text("{}")
    return str(project / "frames"), str(project / "labels.json")


@pytest.mark.parametrize("like", ["qwen2_5_vl_7b", "demo_trays"])
def test_a_profile_for_trays_names_frames_and_labels(trays, like):
    run.new_tray_profile("mine", *trays, like)
    values = settings.load_profile("mine")
    assert values["01_annotation"]["trays_root"] == trays[0]
    assert values[paths.TRAYS]["tray_labels"] == trays[1]
    assert values[paths.TRAYS]["run_name"] == "mine"


def test_a_profile_for_trays_without_labels_wants_them_or_a_detector(trays):
    run.new_tray_profile("mine", trays[0], "", "demo")
    with pytest.raises(settings.SettingsError, match="trays_root needs tray_labels"):
        settings.load_profile("mine")


def test_labels_that_are_not_there_are_refused(trays, project):
    with pytest.raises(settings.SettingsError, match="--tray-labels: no file or folder gone"):
        run.new_tray_profile("mine", trays[0], "gone", "demo")
    assert not (project / "params" / "mine").exists()


def test_photos_of_dishes_go_with_no_profile_of_trays(project):
    with pytest.raises(settings.SettingsError, match="--like demo_trays takes its photos from"):
        run.new_profile("mine", str(project / "photos"), "demo_trays")


def test_labels_without_trays_are_refused(project, capsys):
    photos = str(project / "photos")
    options = ["--image-root", photos, "--tray-labels", photos]
    assert cli.main(["new", "mine", *options]) == 1
    assert "give --trays-root" in capsys.readouterr().err


def test_the_command_says_which_file_comes_first(trays, project, capsys):
    assert cli.main(["new", "mine", "--trays-root", trays[0]]) == 0
    assert "mine/00_trays.yaml first" in capsys.readouterr().out
