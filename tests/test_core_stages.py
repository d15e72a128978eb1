"""Stages: done is done, changed is refused or moved aside, and nothing half-made is taken for a
result.
"""

import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from toys import another_process_holding

from dishvl_lib.core import (
    dependencies,
    locks,
    markers,
    paths,
    records,
    redo,
    rules,
    settings,
    stages,
)
from dishvl_lib.core import params as declarations
from dishvl_lib.core.parameter import Parameter, Role

ANYTHING = rules.Rule()


def toy(name, kind, default, rule=ANYTHING, role=Role.CONTENT):
    return Parameter(name, kind, default, "help", rule, role)


COMMON = (
    (toy("run_name", "str", "demo", role=Role.DISPLAY_ONLY), paths.ALL_STAGES),
    (toy("upstream_run", "str", "", role=Role.DISPLAY_ONLY), paths.ALL_STAGES),
    (toy("image_root", "str", "builtin"), ("01_annotation",)),
    (toy("language", "str", "en", role=Role.DISPLAY_ONLY), paths.ALL_STAGES),
    (toy("size", "int", 3), paths.ALL_STAGES),
    (toy("budget", "dict", {}, role=Role.RUNTIME_ONLY), paths.ALL_STAGES),
)
ANY_FILE = rules.NamedFile(rules.any_content)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path / "project")
    declared = {stage: (toy("names_csv", "str", ""),) for stage in paths.ALL_STAGES}
    declared["01_annotation"] = (toy("names_csv", "str", "", ANY_FILE),)
    monkeypatch.setattr(declarations, "COMMON", COMMON)
    monkeypatch.setattr(declarations, "OWN", declared)
    (tmp_path / "project").mkdir()


def params(**changed):
    return {
        "run_name": "r",
        "upstream_run": "",
        "image_root": "builtin",
        "language": "en",
        "size": 3,
        "names_csv": "",
        "budget": {},
        **changed,
    }


def make(name, content="one", **changed) -> stages.Stage:
    """Start and finish a stage that writes one file."""
    stage = stages.start(name, params(**changed))
    stage.make("dishes.jsonl", lambda: [{"content": content}])
    stage.finish({"ok": 1}, image_root=changed.get("root", "/nowhere"), best={})
    return stage


def refusal(function, *args, **kwargs) -> str:
    with pytest.raises((stages.StageError, settings.SettingsError, records.RecordError)) as error:
        function(*args, **kwargs)
    return str(error.value)


def tree(folder):
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


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
    assert not stage.path("_SUCCESS.json").exists()
    assert stage.path("_STARTED.json").exists()
    stage.finish({"files": 3, "ok": 2}, {"USD": 0.5}, image_root="/photos")
    marker = records.read_json(stage.path("_SUCCESS.json"))
    assert set(marker["outputs"]) == {"a.csv", "deep/b.txt"}
    assert marker["outputs"]["a.csv"]["sha256"] == records.sha256_file(stage.path("a.csv"))
    assert marker["outputs"]["a.csv"]["bytes"] == len(b"\xef\xbb\xbfx\n1\n")
    assert marker["parameters"] == params()
    assert marker["counts"] == {"files": 3, "ok": 2}
    assert marker["cost"] == {"USD": 0.5}
    assert marker["image_root"] == "/photos"
    assert marker["inputs"] == {}
    assert marker["versions"]["pandas"]
    assert marker["seconds"] >= 0
    assert marker["stage"] == "01_annotation"


def test_notes_are_a_stages_last_lines_and_stand_in_its_marker(capsys):
    stage = stages.start("01", params())
    stage.make("a.csv", lambda: pd.DataFrame({"x": ["1"]}))
    stage.finish(notes=["one dish has no name", "a folder is empty"], image_root="/photos")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["note: one dish has no name", "note: a folder is empty"]
    marker = records.read_json(stage.path("_SUCCESS.json"))
    assert marker["notes"] == ["one dish has no name", "a folder is empty"]


def test_a_finished_stage_asked_again_does_nothing(capsys):
    folder = make("01").folder
    before = tree(folder)
    again = stages.start("01", params())
    assert again.done
    assert again.make("dishes.jsonl", lambda: pytest.fail("made again")) == [{"content": "one"}]
    again.finish({"ok": 7})
    assert tree(folder) == before
    assert "nothing was changed" in capsys.readouterr().out


def test_how_it_is_shown_is_no_reason_to_make_it_again():
    make("01")
    assert stages.start("01", params(language="zh")).done


def test_a_changed_parameter_is_refused_with_the_key_and_changes_nothing():
    folder = make("01").folder
    before = tree(folder)
    message = refusal(stages.start, "01", params(size=4))
    assert "size: 3 -> 4" in message
    assert "run_name" in message
    assert "upstream_run" in message
    assert "--redo 01" in message
    assert "names_csv" not in message
    assert tree(folder) == before
    assert old() == []
    assert refusal(stages.refuse_changed, "01_annotation", params(size=4)) == message
    assert stages.state(params(size=4), "01_annotation") == "changed parameters"


def test_the_predecessor_must_have_finished():
    message = refusal(stages.start, "02", params())
    assert "01_annotation has not finished" in message
    assert "notebooks/01_annotation.ipynb" in message
    assert "upstream_run" in message
    stages.start("01", params())
    assert "01_annotation has not finished" in refusal(stages.start, "02", params()), (
        "a started stage is not a finished one"
    )
    assert not paths.stage_folder("r", "02").exists()


def test_a_changed_predecessor_moves_the_old_result_aside(capsys):
    make("01")
    second = make("02", "from one").folder
    stages.move_aside(paths.stage_folder("r", "01"))
    make("01", "two")
    assert stages.state(params(), "02_similar_dishes") == "changed inputs"
    again = stages.start("02", params())
    assert not again.done
    assert not again.path("dishes.jsonl").exists()
    assert "01_annotation/dishes.jsonl" in capsys.readouterr().out
    (aside,) = old(stage=second.name)
    assert records.read_jsonl(aside / "dishes.jsonl") == [{"content": "from one"}]
    assert (aside / "_SUCCESS.json").exists()


def test_the_same_result_made_again_leaves_what_follows_alone():
    make("01")
    make("02")
    stages.move_aside(paths.stage_folder("r", "01"))
    make("01")
    assert stages.start("02", params()).done


@pytest.mark.parametrize(
    "harm, word",
    [
        (lambda file: file.unlink(), "is gone"),
        (lambda file: file.write_text('{"content": "two"}\n'), "was changed"),
    ],
)
def test_a_deleted_or_edited_output_is_noticed(harm, word):
    file = make("01").path("dishes.jsonl")
    make("02")
    harm(file)
    for name in ("01", "02"):
        message = refusal(stages.start, name, params())
        assert word in message
        assert str(file) in message
        assert "--redo 01" in message
    assert stages.state(params(), "01_annotation") == "changed inputs"


def test_a_touched_output_is_the_same_and_a_disguised_edit_is_found_by_verify():
    file = make("01").path("dishes.jsonl")
    before = file.stat()
    os.utime(file, ns=(1, 1))
    assert stages.start("01", params()).done
    file.write_text(file.read_text().replace("one", "two"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    markers.check_outputs(file.parent)
    assert "was changed" in refusal(markers.check_outputs, file.parent, thorough=True)


def test_a_killed_stage_goes_on_and_one_with_other_parameters_is_moved_aside(capsys):
    stages.start("01", params()).make("dishes.jsonl", lambda: [{"content": "half"}])
    again = stages.start("01", params())
    assert not again.done
    assert again.make("dishes.jsonl", lambda: pytest.fail("made again")) == [{"content": "half"}]
    assert stages.state(params(), "01_annotation") == "unfinished"
    other = stages.start("01", params(size=4))
    assert not other.path("dishes.jsonl").exists()
    assert (old()[0] / "dishes.jsonl").exists()
    assert "other parameters or inputs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "key"), [("04_training", "dataloader_num_workers"), ("05_evaluation", "batch_size")]
)
def test_what_only_says_how_may_change_between_a_kill_and_the_resume(monkeypatch, name, key):
    """Fewer workers or smaller batches are what a run that was killed for want of memory needs."""
    monkeypatch.undo()
    wanted = {**declarations.defaults(name), key: 8}
    content = dependencies.content_parameters(name, wanted)
    assert content == dependencies.content_parameters(name, {**wanted, key: 2})
    assert content != dependencies.content_parameters(name, {**wanted, "seed": 4})


def test_training_resumes_with_whatever_may_change(monkeypatch, tmp_path):
    from dishvl_lib.training import config, run

    monkeypatch.undo()
    monkeypatch.setattr(run.qwen, "identity", str)
    given = declarations.defaults("04_training")
    places = dict.fromkeys(config.PLACES, str(tmp_path / "x"))
    (tmp_path / "x").write_text("x")
    begun = run.belongs(config.from_parameters(given, **places))
    texts = {"hostfile": "hosts", "report_to": "wandb"}
    for key in declarations.with_role("04_training", Role.RUNTIME_ONLY) - {"max_missing_share"}:
        other = texts[key] if key in texts else given[key] + 1
        assert run.belongs(config.from_parameters({**given, key: other}, **places)) == begun, key
    assert run.belongs(config.from_parameters({**given, "seed": 1}, **places)) != begun


def test_a_folder_in_which_a_process_works_stays_where_it_is():
    stage = stages.start("01", params())
    with another_process_holding(stages.training_lock_file(stage.folder)) as training:
        message = refusal(stages.start, "01", params(size=4))
        assert f"is being made by process {training.pid}" in message
        assert not old()
        assert stages.start("01", params()).folder == stage.folder, "to attach to it is no harm"
    stages.start("01", params(size=4))
    assert len(old()) == 1


def test_a_stage_that_another_process_makes_is_refused_until_that_process_ends():
    stage = stages.start("01", params())
    locks.release(stages.lock_file(stage.folder))
    before = tree(stage.folder)
    with another_process_holding(stages.lock_file(stage.folder)) as other:
        for values in (params(), params(size=4)):
            message = refusal(stages.start, "01", values)
            assert f"process {other.pid} on {socket.gethostname()} since 20" in message
            assert "restart that notebook's kernel" in message
        assert f"process {other.pid}" in refusal(stages.move_aside, stage.folder)
        assert f"process {other.pid}" in refusal(stages.refuse_busy, stage.folder)
        assert tree(stage.folder) == before
    assert not stages.start("01", params()).done
    assert old() == []


def test_a_finished_stage_is_shown_whoever_holds_its_lock():
    stage = make("01")
    with another_process_holding(stages.lock_file(stage.folder)):
        assert stages.start("01", params()).done


def test_a_finished_stage_lets_go_of_its_lock_and_a_failed_one_keeps_it():
    stage = stages.start("01", params())
    assert locks.mine(stages.lock_file(stage.folder))
    stage.finish(image_root="/nowhere")
    assert not locks.mine(stages.lock_file(stage.folder))
    with pytest.raises(ZeroDivisionError):
        stages.start("02", params()).make("x.json", lambda: 1 / 0)
    assert locks.mine(stages.lock_file(paths.stage_folder("r", "02")))


def test_two_processes_that_begin_at_once_make_one_stage_once(own_outputs, tmp_path):
    """One of them makes it, the others are refused or find it finished; nothing is moved aside and
    nothing is mixed.
    """
    program = f"""
import pathlib, sys, time
from dishvl_lib.core import params, paths, stages
paths.PROJECT_ROOT = pathlib.Path({str(paths.PROJECT_ROOT)!r})
try:
    stage = stages.start("01", params.defaults("01") | {{"run_name": "r", "seed": int(sys.argv[1]) % 2}})
    stage.make("dishes.jsonl", lambda: [{{"content": sys.argv[1]}}])
    time.sleep(0.3)
    stage.make("catalog.parquet", lambda: __import__("pandas").DataFrame({{"content": [sys.argv[1]]}}))
    stage.finish(image_root="/nowhere")
except stages.StageError as error:
    sys.exit(str(error))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    outputs = [process.communicate(timeout=60)[1] for process in processes]
    folder = paths.stage_folder("r", "01")
    (row,) = records.read_jsonl(folder / "dishes.jsonl")
    assert records.read_table(folder / "catalog.parquet").content.tolist() == [row["content"]]
    assert markers.read(folder)["parameters"]["seed"] == int(row["content"]) % 2
    assert old() == []
    refused = [text for text in outputs if text]
    assert all(
        "is being made by process" in text or "has finished in" in text for text in refused
    ), refused
    assert processes[int(row["content"])].returncode == 0


def test_an_earlier_stage_made_again_while_a_later_one_works_is_noticed():
    make("01")
    stage = stages.start("02", params())
    stages.move_aside(paths.stage_folder("r", "01"))
    make("01", "two")
    assert "changed while it worked (01_annotation/dishes.jsonl)" in refusal(stage.finish)
    assert not markers.finished(stage.folder)
    stages.start("02", params()).finish()
    assert len(old(stage="02_similar_dishes")) == 1


def test_a_stage_depends_on_the_files_it_reads_and_on_no_other():
    """exports/ of 03 was once an input of 04: adding an export moved a finished training aside."""
    first = stages.start("01", params())
    first.make("dishes.jsonl", lambda: [{"content": "one"}])
    first.make("extra.csv", lambda: pd.DataFrame({"x": ["1"]}))
    first.finish(image_root="/nowhere")
    follower = make("02")
    assert set(follower.begun["inputs"]) == {"01_annotation/dishes.jsonl"}
    first.path("extra.csv").unlink()
    assert stages.start("02", params()).done
    with pytest.raises(ValueError, match="01_annotation/extra.csv, which is not declared"):
        follower.input("01_annotation", "extra.csv")


def test_an_upgrade_by_itself_changes_nothing():
    """A run of an earlier version recorded every file, and had other parameters."""
    make("01")
    folder = make("02").folder
    marker = markers.read(folder)
    marker["inputs"]["01_annotation/extra.csv"] = "0" * 64
    del marker["parameters"]["size"]
    marker["parameters"]["given_up"] = 7
    records.write_json(folder / "_SUCCESS.json", marker)
    assert stages.start("02", params()).done
    assert stages.state(params(), "02_similar_dishes") == "done"
    assert "size: 3 -> 4" in refusal(stages.start, "02", params(size=4))


def test_a_file_that_a_stage_has_come_to_read_is_no_change_until_it_was_recorded():
    before = {"03_dataset/test.jsonl": "a"}
    now = {**before, "03_dataset/validation.jsonl": "b"}
    assert dependencies.changed_inputs("05_evaluation", before, now) == []
    recorded = {**before, "03_dataset/validation.jsonl": "c"}
    changed = dependencies.changed_inputs("05_evaluation", recorded, now)
    assert changed == ["03_dataset/validation.jsonl"]


def test_another_language_writes_the_report_anew_and_nothing_else():
    for name in paths.STAGES[:4]:
        stages.start(name, params()).finish(image_root="/nowhere", best={})
    stage = stages.start("05", params())
    stage.make("metrics.json", dict, a=1)
    stage.make_file("report.html", lambda path: path.write_text("en"))
    stage.finish({"ok": 1})
    before = markers.read(stage.folder)
    assert stages.state(params(language="zh"), "05_evaluation") == "done, shown otherwise"
    again = stages.start("05", params(language="zh"))
    assert again.make("metrics.json", lambda: pytest.fail("made again")) == {"a": 1}
    again.make_file("report.html", lambda path: path.write_text("中文"))
    again.finish({"ok": 2})
    after = markers.read(stage.folder)
    assert stage.path("report.html").read_text() == "中文"
    assert after["outputs"]["metrics.json"] == before["outputs"]["metrics.json"]
    assert {key for key in after if after[key] != before[key]} == {"outputs", "parameters"}
    markers.check_outputs(stage.folder, thorough=True)
    assert stages.state(params(language="zh"), "05_evaluation") == "done"


def test_files_of_unknown_origin_are_moved_aside():
    folder = paths.stage_folder("r", "01")
    folder.mkdir(parents=True)
    (folder / "dishes.jsonl").write_text('{"content": "whose?"}\n')
    assert make("01").make("dishes.jsonl", list) == [{"content": "one"}]
    assert (old()[0] / "dishes.jsonl").exists()


def test_two_moves_in_one_second_keep_both():
    for _ in range(3):
        make("01")
        stages.move_aside(paths.stage_folder("r", "01"))
    assert len(old()) == 3
    assert stages.move_aside(paths.stage_folder("r", "01")) is None
    assert stages.state(params(), "01_annotation") == "missing"


def test_upstream_run_lends_the_stages_that_a_run_does_not_make():
    make("01", "theirs", run_name="first")
    stage = stages.start("02", params(upstream_run="first"))
    assert records.read_jsonl(stage.input("01_annotation", "dishes.jsonl")) == [
        {"content": "theirs"}
    ]
    assert stage.folder == paths.stage_folder("r", "02")
    make("01", "mine")
    assert stages.find_stage(params(upstream_run="first"), "01_annotation") == paths.stage_folder(
        "r", "01"
    ), "one's own comes first"


def test_a_making_lasts_over_kills_and_new_decisions_and_ends_with_a_redo():
    killed = stages.start("01", params()).making
    assert killed
    assert stages.start("01", params()).making == killed
    make("01")
    records.write_text(paths.decisions_file("r", "names"), "folder,name\na,鱼\n")
    assert stages.start("01", params()).making == killed, "decisions cost nothing"
    stages.move_aside(paths.stage_folder("r", "01"))
    assert stages.start("01", params()).making != killed


def test_a_stage_begun_with_other_parameters_is_another_making():
    first = stages.start("01", params()).making
    assert stages.start("01", params(size=4)).making != first


def test_a_folder_of_an_earlier_version_has_no_making():
    folder = stages.start("01", params()).folder
    begun = records.read_json(folder / "_STARTED.json")
    del begun["making"]
    records.write_json(folder / "_STARTED.json", begun)
    assert stages.start("01", params()).making == ""


def test_new_decisions_and_an_edited_names_csv_make_the_stage_run_again(tmp_path):
    given = tmp_path / "names.csv"
    given.write_text("folder,name\na,鱼\n")
    make("01", names_csv=str(given))
    assert stages.state(params(names_csv=str(given)), "01_annotation") == "done"
    given.write_text("folder,name\na,肉\n")
    assert stages.state(params(names_csv=str(given)), "01_annotation") == "changed inputs"
    given.write_text("folder,name\na,鱼\n")
    records.write_text(paths.decisions_file("r", "names"), "folder,name\na,虾\n")
    assert not stages.start("01", params(names_csv=str(given))).done
    assert len(old()) == 1


def test_an_edited_menu_of_a_site_makes_the_evaluation_run_again(tmp_path):
    menu = tmp_path / "menu.csv"
    menu.write_text("name\n鱼\n")
    sites = [
        {"name": "b", "image_root": "x", "menu_csv": str(menu)},
        {"name": "c", "image_root": "y", "menu_csv": "builtin"},
    ]
    before = dependencies.inputs_of("05_evaluation", {"sites": sites}, {})
    assert list(before) == [f"menu_csv: {menu}"]
    assert dependencies.inputs_of("04_training", {"sites": sites}, {}) == {}
    menu.write_text("name\n虾\n")
    assert dependencies.inputs_of("05_evaluation", {"sites": sites}, {}) != before


def test_a_misspelt_injected_parameter_stops_before_anything_is_written():
    message = refusal(stages.start, "01", params(In=["", "# Parameters\nsise = 5"], sise=5))
    assert "unknown parameter 'sise'; did you mean size?" in message
    assert not paths.run_folder("r").exists()


def test_make_keeps_each_form_and_several_files_together():
    stage = stages.start("01", params())
    table, rejected = stage.make(
        ("t.parquet", "r.csv"), lambda: (pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"n": ["x"]}))
    )
    assert table.n.tolist() == [1, 2]
    assert rejected.n.tolist() == ["x"]
    assert stage.make("v.json", dict, a=1) == {"a": 1}
    assert not list(stage.folder.glob(".*"))
    stage.path("r.csv").unlink()
    assert stage.make(
        ("t.parquet", "r.csv"), lambda: (pd.DataFrame({"n": [3]}), pd.DataFrame({"n": ["y"]}))
    )[0].n.tolist() == [3], "both or neither"


def test_arrays_come_back_as_they_were():
    make("01")
    stage = stages.start("02", params())
    stage.make("features.npz", dict, feature=np.eye(2), image_id=np.array(["a", "b"]))
    stage.finish()
    follower = stages.start("03", params())
    assert follower.arrays("02_similar_dishes", "features.npz")["feature"].tolist() == [
        [1, 0],
        [0, 1],
    ]


def test_a_failing_function_leaves_no_file():
    stage = stages.start("01", params())
    with pytest.raises(ZeroDivisionError):
        stage.make("x.jsonl", lambda: [{"a": 1 / 0}])
    with pytest.raises(ValueError):
        stage.make(("a.json", "b.json"), lambda: ({"a": 1}, {"b": float("nan")}))
    assert not stage.path("x.jsonl").exists()
    assert not stage.path("b.json").exists()
    assert not list(stage.folder.glob(".*"))


def test_make_file_is_made_once():
    stage = stages.start("01", params())
    stage.make_file("r.html", lambda path, text: path.write_text(text), text="a")
    assert (
        stage.make_file("r.html", lambda path, text: pytest.fail("again"), text="b").read_text()
        == "a"
    )


def test_photos_are_where_stage_01_found_them_or_where_they_moved(tmp_path):
    first = tmp_path / "first"
    moved = tmp_path / "moved"
    first.mkdir()
    make("01", root=str(first))
    assert stages.start("02", params(image_root=str(moved))).image_root() == first
    shutil.move(first, moved)
    assert stages.start("02", params(image_root=str(moved))).image_root() == moved


def test_a_torn_marker_is_named():
    folder = make("01").folder
    (folder / "_SUCCESS.json").write_text('{"stage":')
    assert "_SUCCESS.json is damaged (is not valid JSON" in refusal(stages.start, "01", params())


def long_training(seconds=36_000):
    """A finished 04_training that took so long; its run."""
    for name in ("01", "02", "03"):
        make(name)
    folder = make("04").folder
    marker = markers.read(folder)
    records.write_json(folder / stages.SUCCESS, marker | {"seconds": seconds})
    return folder


def changed_dataset():
    """Stage 03 made again, with other questions."""
    stages.move_aside(paths.stage_folder("r", "03_dataset"))
    stage = stages.start("03", params())
    stage.make("train.jsonl", lambda: [{"content": "others"}])
    stage.finish()


def test_a_long_training_is_not_made_again_unasked():
    folder = long_training()
    before = tree(folder)
    changed_dataset()
    with pytest.raises(redo.RedoNeeded) as refusal:
        stages.start("04", params())
    message = str(refusal.value)
    for part in (
        "03_dataset/train.jsonl",
        "10 h 00 min",
        "dishvl run PROFILE --from 04 --to 04 --redo 04",
        "undo the change",
    ):
        assert part in message
    assert tree(folder) == before
    with pytest.raises(redo.RedoNeeded):
        stages.check_ready(params(), "04_training")


def test_the_word_for_it_makes_a_long_training_again():
    folder = long_training()
    changed_dataset()
    stages.move_aside(folder)
    again = stages.start("04", params())
    assert not again.done
    assert again.changed == []


def test_what_is_quick_is_made_again_by_itself_and_pays_nothing():
    folder = long_training(seconds=599)
    changed_dataset()
    again = stages.start("04", params(budget={"USD": 5.0}))
    assert not again.done
    assert again.folder == folder
    assert again.changed == ["03_dataset/train.jsonl"]
    assert again.budget == {}
    # A resume after a kill knows it still.
    locks.release(stages.lock_file(folder))
    assert stages.start("04", params(budget={"USD": 5.0})).budget == {}


def test_a_first_making_may_pay_its_budget():
    assert stages.start("01", params(budget={"USD": 5.0})).budget == {"USD": 5.0}


def test_hours_of_an_unfinished_training_are_not_put_aside_unasked():
    for name in ("01", "02", "03"):
        make(name)
    folder = stages.start("04", params()).folder
    rows = [{"step": 1, "elapsed_s": 10.0}, {"step": 2, "elapsed_s": 7200.0}, {"step": 3}]
    records.write_jsonl(folder / redo.TRAINING_LOG, rows)
    assert not stages.start("04", params()).done, "it goes on as it was begun"
    changed_dataset()
    with pytest.raises(redo.RedoNeeded, match=r"2 h 00 min of training would be put aside"):
        stages.start("04", params())


def test_a_training_is_not_touched_by_another_text_of_a_dish():
    stage = stages.start("01", params())
    dish = {"dish_id": "d1", "name": "红烧鱼", "introduction": "one"}
    stage.make("dishes.jsonl", lambda: [dish])
    stage.finish({"ok": 1}, image_root="/nowhere")
    for name in ("02", "03", "04"):
        make(name)
    stages.move_aside(stage.folder)
    stage = stages.start("01", params())
    stage.make("dishes.jsonl", lambda: [dish | {"introduction": "two"}])
    stage.finish({"ok": 1}, image_root="/nowhere")
    assert stages.state(params(), "04_training") == "done"
    stages.move_aside(stage.folder)
    stage = stages.start("01", params())
    stage.make("dishes.jsonl", lambda: [dish | {"name": "清蒸鱼"}])
    stage.finish({"ok": 1}, image_root="/nowhere")
    assert stages.changed_inputs(params(), "04_training") == ["01_annotation/dishes.jsonl#names"]


def test_what_is_looked_at_for_advice_makes_no_training_again():
    stage = stages.start("01", params())
    stage.make("catalog.parquet", lambda: pd.DataFrame({"width": ["1"]}))
    stage.finish({"ok": 1}, image_root="/nowhere")
    for name in ("02", "03", "04"):
        make(name)
    stages.move_aside(stage.folder)
    stage = stages.start("01", params())
    stage.make("catalog.parquet", lambda: pd.DataFrame({"width": ["2"]}))
    stage.finish({"ok": 1}, image_root="/nowhere")
    training = stages.start("04", params())
    assert training.done
    assert training.table("01_annotation", "catalog.parquet").width.tolist() == ["2"]
