"""Stage 00 belongs to a chain only where a profile names trays."""

import pytest

from dishvl_lib import cli, plan, run
from dishvl_lib.core import dependencies, params, paths, settings
from dishvl_lib.detection import layouts


def profile(folder, **common):
    folder.mkdir()
    lines = ["base: demo", *(f"{key}: {value}" for key, value in common.items())]
    (folder / "common.yaml").write_text("\n".join(lines), "utf-8")
    return folder


def refusal(folder, **common):
    with pytest.raises(settings.SettingsError) as caught:
        settings.load_profile(profile(folder, **common))
    return str(caught.value)


@pytest.fixture
def with_trays():
    return settings.load_profile("demo_trays")


@pytest.fixture
def without():
    return settings.load_profile("demo")


def test_the_demo_has_no_trays(without):
    assert tuple(without) == paths.STAGES


def test_a_profile_with_trays_has_stage_00(with_trays):
    assert tuple(with_trays) == paths.ALL_STAGES
    assert set(with_trays[paths.TRAYS]) == set(params.of_stage(paths.TRAYS))


def test_the_chain_begins_with_the_profiles_first_stage(with_trays, without):
    assert run.stages_between(with_trays, "", "02")[0] == paths.TRAYS
    assert run.stages_between(without, "", "02")[0] == "01_annotation"


def test_stage_00_is_made_alone(with_trays):
    assert run.stages_between(with_trays, "00", "00") == (paths.TRAYS,)


def test_without_trays_stage_00_is_refused(without):
    with pytest.raises(run.RunError, match="set trays_root"):
        run.stages_between(without, "00", "05")


def test_a_notebook_without_trays_is_not_opened(capsys):
    assert cli.main(["open", "00", "demo", "--no-launch"]) == 1
    assert "set trays_root to open 00_trays" in capsys.readouterr().err


def test_what_is_read_of_stage_00(with_trays, without):
    assert dependencies.stages_read("01_annotation", with_trays["01_annotation"]) == [paths.TRAYS]
    assert dependencies.stages_read("01_annotation", without["01_annotation"]) == []
    assert paths.TRAYS in dependencies.stages_read("05_evaluation", with_trays["05_evaluation"])


def test_the_plan_shows_stage_00_only_with_trays(with_trays, without):
    shown = plan.lines(with_trays, run.stages_between(with_trays, "", "05"), [])
    assert shown[0].startswith("00_trays")
    assert len(shown) == 6
    assert len(plan.lines(without, run.stages_between(without, "", "05"), [])) == 5


def test_a_run_without_trays_has_five_stages(tmp_path):
    assert paths.stages_of(tmp_path) == paths.STAGES
    (tmp_path / paths.TRAYS).mkdir()
    assert paths.stages_of(tmp_path) == paths.ALL_STAGES


def test_two_sources_of_photos_are_refused(tmp_path):
    folder = profile(tmp_path / "p", trays_root="builtin")
    (folder / "01_annotation.yaml").write_text("photos_csv: photos.csv", "utf-8")
    with pytest.raises(settings.SettingsError, match="trays_root and photos_csv both say"):
        settings.load_profile(folder)


def test_the_notebook_as_it_stands_says_that_there_are_no_trays():
    with pytest.raises(settings.SettingsError, match="trays_root is empty.*begin with notebook 01"):
        settings.check_values(paths.TRAYS, params.defaults(paths.TRAYS))


def test_trays_want_something_that_finds_dishes(tmp_path):
    said = refusal(tmp_path / "p", trays_root=str(tmp_path))
    assert "needs tray_labels (boxes of the dishes on some trays), detector (an ONNX file)" in said


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("detector_size", 300, "must be a multiple of 32"),
        ("crop_margin", 0.1, "crop_margin must be at least 0.3 and at most 2"),
        ("detector_layout", "yolov9", "must be one of"),
        ("detection_threshold", 1.5, "must be at least 0 and at most 1"),
        ("detector_epochs", 0, "must be at least 1"),
    ],
)
def test_impossible_values_are_refused(tmp_path, key, value, sentence):
    folder = profile(tmp_path / "p", trays_root="builtin")
    (folder / "00_trays.yaml").write_text(f"{key}: {value}", "utf-8")
    with pytest.raises(settings.SettingsError, match=sentence):
        settings.load_profile(folder)


@pytest.mark.parametrize("line", ["keep_labels: [bowl]", "detector_layout: yolov8"])
def test_what_is_of_a_detector_of_ones_own_wants_one(tmp_path, line):
    folder = profile(tmp_path / "p", trays_root="builtin")
    (folder / "00_trays.yaml").write_text(line, "utf-8")
    with pytest.raises(settings.SettingsError, match="is of a detector of your own: name it"):
        settings.load_profile(folder)


def test_another_detector_in_a_folder_is_another_input(tmp_path):
    (tmp_path / "d.onnx").write_bytes(b"1")
    before = dependencies.inputs_of(paths.TRAYS, {"detector": str(tmp_path), "run_name": "r"}, {})
    (tmp_path / "d.onnx").write_bytes(b"2")
    after = dependencies.inputs_of(paths.TRAYS, {"detector": str(tmp_path), "run_name": "r"}, {})
    assert before != after


def test_values_of_stage_00_are_checked_without_trays_too(tmp_path):
    folder = profile(tmp_path / "p")
    (folder / "00_trays.yaml").write_text("crop_margn: 1.0", "utf-8")
    with pytest.raises(settings.SettingsError, match="did you mean crop_margin"):
        settings.load_profile(folder)


def test_a_folder_of_trays_that_is_not_there_is_said(tmp_path):
    values = settings.load_profile("demo", {"trays_root": str(tmp_path / "no"), "tray_labels": "x"})
    with pytest.raises(settings.SettingsError, match="trays_root names no folder"):
        settings.refuse_absent({paths.TRAYS: values[paths.TRAYS]})


def test_photos_of_single_dishes_are_not_missed_where_there_are_trays(tmp_path, with_trays):
    values = {**with_trays["01_annotation"], "image_root": str(tmp_path / "no")}
    assert params.absences("01_annotation", values) == []
    without = {**values, "trays_root": ""}
    assert "image_root names no folder" in params.absences("01_annotation", without)[0]


def test_frames_are_missed_by_stage_00_alone(tmp_path, with_trays):
    gone = {"trays_root": str(tmp_path / "no")}
    assert params.absences("01_annotation", {**with_trays["01_annotation"], **gone}) == []
    assert (
        "trays_root names no folder"
        in params.absences(paths.TRAYS, {**with_trays[paths.TRAYS], **gone})[0]
    )


def test_a_plan_goes_without_the_cost_of_annotating_crops_that_are_not_made(tmp_path, capsys):
    folder = profile(tmp_path / "p", run_name="r", trays_root=str(tmp_path))
    (folder / "00_trays.yaml").write_text(f"tray_labels: {tmp_path}", "utf-8")
    assert cli.main(["run", str(folder), "--dry-run"]) == 0
    assert "annotation: how many crops the trays give" in capsys.readouterr().out


def test_prices_that_are_no_numbers_are_refused_before_anything_runs(tmp_path, with_trays):
    prices = tmp_path / "prices.csv"
    prices.write_text("name,price\n米饭,cheap\n", "utf-8")
    values = {**with_trays["05_evaluation"], "prices_csv": str(prices)}
    with pytest.raises(settings.SettingsError, match="line 2: 'cheap' is no price"):
        settings.refuse_absent({"05_evaluation": values})


def test_without_the_packages_the_extra_is_named(monkeypatch, with_trays):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(settings.SettingsError, match=r"pip install 'dishvl\[trays\]'"):
        settings.refuse_absent({paths.TRAYS: with_trays[paths.TRAYS]})


def test_other_labels_in_a_folder_are_another_input(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("0 0.5 0.5 0.1 0.1", "utf-8")
    values = {"tray_labels": str(labels), "trays_root": str(tmp_path), "run_name": "r"}
    before = dependencies.inputs_of(paths.TRAYS, values, {})
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2", "utf-8")
    after = dependencies.inputs_of(paths.TRAYS, values, {})
    assert before.keys() == after.keys()
    assert before != after


def test_the_words_for_layouts_are_those_that_are_read():
    assert params.DETECTOR_LAYOUTS == ("", *layouts.LAYOUTS)
