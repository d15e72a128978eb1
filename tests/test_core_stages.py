"""Stages: done is done, changed is refused or moved aside, and nothing half-made is taken for a result."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import paths, records, settings, stages

SOURCE = 'run_name: str = "demo"  # x\nupstream_run: str = ""  # x\nimage_root: str = "builtin"  # x\nlanguage: str = "en"  # x\nsize: int = 3  # x\nnames_csv: str = ""  # x\n'


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path / "project")
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    for stage in paths.STAGES:
        cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [SOURCE]}
        (tmp_path / "project" / "notebooks" / f"{stage}.ipynb").write_text(json.dumps({"cells": [cell]}))


def params(**changed):
    return {"run_name": "r", "upstream_run": "", "image_root": "builtin", "language": "en", "size": 3, "names_csv": "", **changed}


def make(name, content="one", **changed) -> stages.Stage:
    """Start and finish a stage that writes one file."""
    stage = stages.start(name, params(**changed))
    stage.make("made.jsonl", lambda: [{"content": content}])
    stage.finish({"ok": 1}, image_root=changed.get("root", "/nowhere"))
    return stage


def refusal(function, *args, **kwargs) -> str:
    with pytest.raises((stages.StageError, settings.SettingsError, records.RecordError)) as error:
        function(*args, **kwargs)
    return str(error.value)


def tree(folder):
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def old(run="r", stage="01_annotation"):
    return sorted(paths.run_folder(run).glob(f"{stage}.old-*"))


def test_the_marker_is_written_last_and_holds_everything(own_outputs):
    stage = stages.start("01", params())
    stage.make("a.csv", lambda: pd.DataFrame({"x": ["1"]}))
    (stage.folder / "deep").mkdir()
    stage.path("deep/b.txt").write_text("b")
    for hidden in (".part", ".ipynb_checkpoints/c.txt"):
        stage.path(hidden).parent.mkdir(exist_ok=True)
        stage.path(hidden).write_text("no result")
    assert not stage.path("_SUCCESS.json").exists() and stage.path("_STARTED.json").exists()
    stage.finish({"files": 3, "ok": 2}, {"USD": 0.5}, image_root="/photos")
    marker = records.read_json(stage.path("_SUCCESS.json"))
    assert set(marker["outputs"]) == {"a.csv", "deep/b.txt"}
    assert marker["outputs"]["a.csv"]["sha256"] == records.sha256_file(stage.path("a.csv")) and marker["outputs"]["a.csv"]["bytes"] == 4
    assert (
        marker["parameters"] == params() and marker["counts"] == {"files": 3, "ok": 2} and marker["cost"] == {"USD": 0.5} and marker["image_root"] == "/photos"
    )
    assert marker["inputs"] == {} and marker["versions"]["pandas"] and marker["seconds"] >= 0 and marker["stage"] == "01_annotation"


def test_a_finished_stage_asked_again_does_nothing(capsys):
    folder = make("01").folder
    before = tree(folder)
    again = stages.start("01", params())
    assert again.done and again.make("made.jsonl", lambda: pytest.fail("made again")) == [{"content": "one"}]
    again.finish({"ok": 7})
    assert tree(folder) == before and "nothing was changed" in capsys.readouterr().out


def test_how_it_is_shown_is_no_reason_to_make_it_again():
    make("01")
    assert stages.start("01", params(language="zh")).done


def test_a_changed_parameter_is_refused_with_the_key_and_changes_nothing():
    folder = make("01").folder
    before = tree(folder)
    message = refusal(stages.start, "01", params(size=4))
    assert "size: 3 -> 4" in message and "run_name" in message and "upstream_run" in message and "--redo 01" in message and "names_csv" not in message
    assert tree(folder) == before and old() == []
    assert refusal(stages.refuse_changed, "01_annotation", params(size=4)) == message
    assert stages.state(params(size=4), "01_annotation") == "changed parameters"


def test_the_predecessor_must_have_finished():
    message = refusal(stages.start, "02", params())
    assert "01_annotation has not finished" in message and "notebooks/01_annotation.ipynb" in message and "upstream_run" in message
    stages.start("01", params())
    assert "01_annotation has not finished" in refusal(stages.start, "02", params()), "a started stage is not a finished one"
    assert not paths.stage_folder("r", "02").exists()


def test_a_changed_predecessor_moves_the_old_result_aside(capsys):
    make("01")
    second = make("02", "from one").folder
    stages.move_aside(paths.stage_folder("r", "01"))
    make("01", "two")
    assert stages.state(params(), "02_similar_dishes") == "changed inputs"
    again = stages.start("02", params())
    assert not again.done and not again.path("made.jsonl").exists() and "01_annotation/made.jsonl" in capsys.readouterr().out
    (aside,) = old(stage=second.name)
    assert records.read_jsonl(aside / "made.jsonl") == [{"content": "from one"}] and (aside / "_SUCCESS.json").exists()


def test_the_same_result_made_again_leaves_what_follows_alone():
    make("01")
    make("02")
    stages.move_aside(paths.stage_folder("r", "01"))
    make("01")
    assert stages.start("02", params()).done


@pytest.mark.parametrize("harm, word", [(lambda file: file.unlink(), "is gone"), (lambda file: file.write_text('{"content": "two"}\n'), "was changed")])
def test_a_deleted_or_edited_output_is_noticed(harm, word):
    file = make("01").path("made.jsonl")
    make("02")
    harm(file)
    for name in ("01", "02"):
        message = refusal(stages.start, name, params())
        assert word in message and str(file) in message and "--redo 01" in message
    assert stages.state(params(), "01_annotation") == "changed inputs"


def test_a_touched_output_is_the_same_and_a_disguised_edit_is_found_by_verify():
    file = make("01").path("made.jsonl")
    before = file.stat()
    os.utime(file, ns=(1, 1))
    assert stages.start("01", params()).done
    file.write_text(file.read_text().replace("one", "two"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    stages.check_outputs(file.parent)
    assert "was changed" in refusal(stages.check_outputs, file.parent, thorough=True)


def test_a_killed_stage_goes_on_and_one_with_other_parameters_is_moved_aside(capsys):
    stages.start("01", params()).make("made.jsonl", lambda: [{"content": "half"}])
    again = stages.start("01", params())
    assert not again.done and again.make("made.jsonl", lambda: pytest.fail("made again")) == [{"content": "half"}]
    assert stages.state(params(), "01_annotation") == "unfinished"
    other = stages.start("01", params(size=4))
    assert not other.path("made.jsonl").exists() and (old()[0] / "made.jsonl").exists()
    assert "other parameters or inputs" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "key"), [("04_training", "dataloader_num_workers"), ("05_evaluation", "batch_size")])
def test_what_only_says_how_may_change_between_a_kill_and_the_resume(name, key):
    """Fewer workers or smaller batches are what a run that was killed for want of memory needs."""
    wanted = {**params(), key: 8}
    assert stages.content_parameters(name, wanted) == stages.content_parameters(name, {**wanted, key: 2})
    assert stages.content_parameters(name, wanted) != stages.content_parameters(name, {**wanted, "size": 4})


def test_training_resumes_with_whatever_may_change():
    from dishvl_lib.training import run

    assert stages.MANNER["04_training"] <= run.FREE


def test_a_folder_in_which_a_process_works_stays_where_it_is():
    from dishvl_lib.training import launch

    stage = stages.start("01", params())
    with launch.only_one(stage.folder):
        assert "a process still works in" in refusal(stages.start, "01", params(size=4)) and not old()
        assert stages.start("01", params()).folder == stage.folder, "to attach to it is no harm"
    stages.start("01", params(size=4))
    assert len(old()) == 1


def test_files_of_unknown_origin_are_moved_aside():
    folder = paths.stage_folder("r", "01")
    folder.mkdir(parents=True)
    (folder / "made.jsonl").write_text('{"content": "whose?"}\n')
    assert make("01").make("made.jsonl", list) == [{"content": "one"}]
    assert (old()[0] / "made.jsonl").exists()


def test_two_moves_in_one_second_keep_both():
    for _ in range(3):
        make("01")
        stages.move_aside(paths.stage_folder("r", "01"))
    assert len(old()) == 3 and stages.move_aside(paths.stage_folder("r", "01")) is None
    assert stages.state(params(), "01_annotation") == "missing"


def test_upstream_run_lends_the_stages_that_a_run_does_not_make():
    make("01", "theirs", run_name="first")
    stage = stages.start("02", params(upstream_run="first"))
    assert records.read_jsonl(stage.input("01_annotation", "made.jsonl")) == [{"content": "theirs"}] and stage.folder == paths.stage_folder("r", "02")
    make("01", "mine")
    assert stages.find_stage(params(upstream_run="first"), "01_annotation") == paths.stage_folder("r", "01"), "one's own comes first"


def test_new_decisions_and_an_edited_names_csv_make_the_stage_run_again(tmp_path):
    given = tmp_path / "names.csv"
    given.write_text("folder,name\na,鱼\n")
    make("01", names_csv=str(given))
    assert stages.state(params(names_csv=str(given)), "01_annotation") == "done"
    given.write_text("folder,name\na,肉\n")
    assert stages.state(params(names_csv=str(given)), "01_annotation") == "changed inputs"
    given.write_text("folder,name\na,鱼\n")
    records.write_text(paths.decisions_file("r", "names"), "folder,name\na,虾\n")
    assert not stages.start("01", params(names_csv=str(given))).done and len(old()) == 1


def test_an_edited_menu_of_a_site_makes_the_evaluation_run_again(tmp_path):
    menu = tmp_path / "menu.csv"
    menu.write_text("name\n鱼\n")
    sites = [{"name": "b", "image_root": "x", "menu_csv": str(menu)}, {"name": "c", "image_root": "y", "menu_csv": "builtin"}]
    before = stages.inputs_of("05_evaluation", {"sites": sites}, {})
    assert list(before) == [f"menu_csv: {menu}"] and stages.inputs_of("04_training", {"sites": sites}, {}) == {}
    menu.write_text("name\n虾\n")
    assert stages.inputs_of("05_evaluation", {"sites": sites}, {}) != before


def test_a_misspelt_injected_parameter_stops_before_anything_is_written():
    message = refusal(stages.start, "01", params(In=["", "# Parameters\nsise = 5"], sise=5))
    assert "unknown parameter 'sise'; did you mean size?" in message and not paths.run_folder("r").exists()


def test_make_keeps_each_form_and_several_files_together():
    stage = stages.start("01", params())
    table, rejected = stage.make(("t.parquet", "r.csv"), lambda: (pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"n": ["x"]})))
    assert table.n.tolist() == [1, 2] and rejected.n.tolist() == ["x"]
    assert stage.make("v.json", dict, a=1) == {"a": 1}
    stage.make("f.npz", dict, feature=np.eye(2), image_id=np.array(["a", "b"]))
    assert stage.path("f.npz").exists() and not list(stage.folder.glob(".*"))
    stage.path("r.csv").unlink()
    assert stage.make(("t.parquet", "r.csv"), lambda: (pd.DataFrame({"n": [3]}), pd.DataFrame({"n": ["y"]})))[0].n.tolist() == [3], "both or neither"
    stage.finish()
    follower = stages.start("02", params())
    assert follower.arrays("01_annotation", "f.npz")["feature"].tolist() == [[1, 0], [0, 1]]


def test_a_failing_function_leaves_no_file():
    stage = stages.start("01", params())
    with pytest.raises(ZeroDivisionError):
        stage.make("x.jsonl", lambda: [{"a": 1 / 0}])
    with pytest.raises(ValueError):
        stage.make(("a.json", "b.json"), lambda: ({"a": 1}, {"b": float("nan")}))
    assert not stage.path("x.jsonl").exists() and not stage.path("b.json").exists() and not list(stage.folder.glob(".*"))


def test_make_file_is_made_once():
    stage = stages.start("01", params())
    stage.make_file("r.html", lambda path, text: path.write_text(text), text="a")
    assert stage.make_file("r.html", lambda path, text: pytest.fail("again"), text="b").read_text() == "a"


def test_photos_are_where_stage_01_found_them_or_where_they_moved(tmp_path):
    first, moved = tmp_path / "first", tmp_path / "moved"
    first.mkdir()
    make("01", root=str(first))
    assert stages.start("02", params(image_root=str(moved))).image_root() == first
    shutil.move(first, moved)
    assert stages.start("02", params(image_root=str(moved))).image_root() == moved


def test_a_torn_marker_is_named():
    folder = make("01").folder
    (folder / "_SUCCESS.json").write_text('{"stage":')
    assert "_SUCCESS.json is not valid JSON" in refusal(stages.start, "01", params())
