"""What a run would do is said before it does it: what is done, what would be made again and why,
and figures of a stale stage are said to be that.
"""

import shutil

import papermill
import pytest
from toys import fill

from dishvl_lib import cli, plan, run
from dishvl_lib.core import markers, paths, records, redo, settings, stages
from dishvl_lib.training import launch

FILES = {
    "01_annotation": ("dishes.jsonl", "catalog.parquet"),
    "02_similar_dishes": ("similar_dishes.csv",),
    "03_dataset": ("train.jsonl", "validation.jsonl", "test.jsonl"),
    "04_training": ("best/config.json",),
    "05_evaluation": ("predictions.jsonl",),
}


@pytest.fixture
def values(own_outputs):
    return settings.load_profile("demo", {"run_name": "r"})


def finish(values, stage, content="one", seconds=30.0):
    """A stage that has finished with these parameters; its files hold `content`."""
    started = stages.start(stage, values[stage])
    for name in FILES[started.name]:
        row = {"dish_id": "d", "name": "红烧鱼", "content": content}
        records.write_jsonl(started.path(name), [row])
    measured = {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9], "chance": 0.1}
    if started.name == "05_evaluation":
        records.write_json(started.path("metrics.json"), {"tuned": {"naming": measured}})
    started.finish({"ok": 1}, image_root="/nowhere", best={})
    marker = markers.read(started.folder)
    records.write_json(started.folder / stages.SUCCESS, marker | {"seconds": seconds})


@pytest.fixture
def finished(values):
    """A run of which everything has finished; the training took 9.5 hours."""
    for stage in paths.STAGES:
        finish(values, stage, seconds=34_200.0 if stage == "04_training" else 30.0)
    return values


def make_otherwise(values, stage):
    stages.move_aside(paths.stage_folder("r", stage))
    finish(values, stage, content="two")


def planned(values, redone=()):
    return {line[:2]: line for line in plan.lines(values, paths.STAGES, redone)}


def test_a_new_run_says_that_every_stage_would_run(values):
    for line in planned(values).values():
        assert line.endswith("would run")


def test_a_finished_run_has_nothing_to_do(finished):
    for line in planned(finished).values():
        assert line.endswith("done")


def test_a_changed_dataset_says_why_what_follows_would_be_made_again(finished):
    make_otherwise(finished, "03_dataset")
    lines = planned(finished)
    assert lines["03"].endswith("done")
    for part in ("03_dataset/train.jsonl", "changed", "9 h 30 min", "wants --redo 04"):
        assert part in lines["04"]


def test_a_stage_that_would_be_redone_makes_what_follows_depend_on_it(finished):
    lines = planned(finished, redone=["03_dataset"])
    assert "would be made again (--redo 03); it took 30 s the last time" in lines["03"]
    assert "made again only if 03 write other files than before" in lines["04"]
    assert "wants --redo 04" in lines["04"]


def test_other_parameters_are_refused_in_the_plan_too(finished):
    finished["03_dataset"]["menu_size"] = 7
    line = planned(finished)["03"]
    assert "is refused" in line
    assert "menu_size: 10 -> 7" in line


def test_a_stage_whose_files_were_changed_is_refused_in_the_plan_too(finished):
    (paths.stage_folder("r", "03_dataset") / "test.jsonl").unlink()
    line = planned(finished)["03"]
    assert "is refused: " in line
    assert "test.jsonl is gone since the stage finished" in line


def test_dry_run_starts_nothing(own_outputs, capsys):
    assert cli.main(["run", "demo", "--set", "run_name=r", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("would run") == 5
    assert "Nothing was started" in printed
    assert not (own_outputs / "r").exists()


def test_a_run_ends_with_exit_code_3_before_it_trains_again(finished, capsys, monkeypatch):
    make_otherwise(finished, "03_dataset")
    monkeypatch.setattr(run, "_execute", lambda *_: pytest.fail("something was started"))
    monkeypatch.setattr(run.sys.stdin, "isatty", lambda: False)
    status = cli.main(["run", "demo", "--set", "run_name=r", "--from", "04", "--to", "04"])
    assert status == cli.WANTS_REDO
    message = capsys.readouterr().err
    assert "--from 04 --to 04 --redo 04" in message
    assert "9 h 30 min" in message
    assert markers.finished(paths.stage_folder("r", "04_training"))


def test_the_word_covers_what_follows(finished, monkeypatch):
    make_otherwise(finished, "03_dataset")
    started = []

    def executed(stage, values):
        started.append(stage)
        finish({stage: values}, stage, content="two")

    monkeypatch.setattr(run, "_execute", executed)
    run.run(finished, first="04", again=["04"])
    assert started == ["04_training", "05_evaluation"]
    assert not stages.Stage.changed.fget(stages.start("05", finished["05_evaluation"]))


@pytest.mark.parametrize(("typed", "is_made"), [("04", True), ("", False), ("yes", False)])
def test_on_a_terminal_it_is_asked(finished, monkeypatch, typed, is_made):
    make_otherwise(finished, "03_dataset")
    started = []
    monkeypatch.setattr(run, "_execute", lambda stage, _: started.append(stage))
    monkeypatch.setattr(run.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(run.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: typed)
    if is_made:
        run.run(finished, first="04", last="04")
        assert started == ["04_training"]
        return
    with pytest.raises(redo.RedoNeeded):
        run.run(finished, first="04", last="04")
    assert started == []


def test_figures_of_a_stale_stage_are_said_to_be_that(finished, own_outputs):
    assert "is stale" not in run.summary(own_outputs / "r")
    make_otherwise(finished, "03_dataset")
    summary = run.summary(own_outputs / "r")
    assert "04_training is stale: 03_dataset/train.jsonl" in summary
    assert "05_evaluation is stale" in summary


def test_what_follows_a_stale_stage_is_stale_too(finished, own_outputs):
    """A training on other questions: the evaluation's files are all as they were."""
    stages.move_aside(paths.stage_folder("r", "02_similar_dishes"))
    finish(finished, "02_similar_dishes", content="two")
    sentences = plan.stale_stages(own_outputs / "r")
    assert sentences[0].startswith("03_dataset is stale")
    assert any("04_training was made from a 03_dataset that is stale" in line for line in sentences)


def test_status_without_a_run_lists_them(finished, own_outputs, capsys):
    (own_outputs / "cache").mkdir(exist_ok=True)
    assert cli.main(["status"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("r ")
    assert "05_evaluation finished" in printed
    assert "cache" not in printed
    make_otherwise(finished, "03_dataset")
    assert cli.main(["status", "r"]) == 0
    assert "04_training is stale" in capsys.readouterr().out


def test_status_of_no_run_says_how_to_make_one(own_outputs, capsys):
    shutil.rmtree(own_outputs, ignore_errors=True)
    assert cli.main(["status"]) == 0
    assert "dishvl demo makes one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        ("process 7 on host till", ("goes on", "process 7", "dishvl stop r", "dishvl status r")),
        ("", ("run the same command again",)),
    ],
)
def test_ctrl_c_says_whether_a_training_goes_on(own_outputs, monkeypatch, capsys, maker, words):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", interrupted)
    monkeypatch.setattr(launch, "running", lambda _: maker)
    assert cli.main(["run", "demo", "--set", "run_name=r"]) == 130
    message = capsys.readouterr().err
    for word in words:
        assert word in message


def test_dry_run_says_what_the_annotation_would_cost(own_outputs, tmp_path, capsys):
    fill(tmp_path / "photos", {"红烧鱼": 2, "土豆丝": 1})
    chosen = [f"image_root={tmp_path / 'photos'}", "run_name=r"]
    flags = [word for value in chosen for word in ("--set", value)]
    assert cli.main(["run", "qwen2_5_vl_7b", "--dry-run", *flags]) == 0
    printed = capsys.readouterr().out
    assert "3 photos of 2 dishes" in printed
    assert "USD" in printed
    assert not (own_outputs / "r").exists()


def test_a_stage_that_would_pay_again_ends_with_exit_code_3_too(own_outputs, monkeypatch, capsys):
    def refused(*_, **__):
        sentence = "01_annotation would be made again, and servers would be paid"
        raise papermill.PapermillExecutionError(1, 1, "", "RedoNeeded", sentence, [])

    monkeypatch.setattr(papermill, "execute_notebook", refused)
    assert cli.main(["run", "demo", "--set", "run_name=r", "--to", "01"]) == cli.WANTS_REDO
    assert "servers would be paid" in capsys.readouterr().err
