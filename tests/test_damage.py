"""Damaged files of a run: every command answers in one sentence that names the file and what mends
it.
"""

import json

import numpy as np
import pandas as pd
import pytest

from dishvl_lib import cli
from dishvl_lib.core import markers, paths, records, settings, stages

RUN = "harmed"
COMMANDS = (
    ["status", RUN],
    ["verify", RUN],
    ["stop", RUN],
    ["run", "demo", "--set", f"run_name={RUN}"],
)
REMEDIES = (
    "--redo",
    "run the stage again",
    "run it again",
    "no training of run",
    "known are",
    "give ",
)


def cut(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def replace_by_folder(file):
    file.unlink()
    file.mkdir()


def change(**fields):
    """Set fields of a marker; None removes one."""

    def harm(file):
        marker = json.loads(file.read_text("utf-8"))
        kept = {key: value for key, value in {**marker, **fields}.items() if value is not None}
        file.write_text(json.dumps(kept), "utf-8")

    return harm


def write(content):
    return lambda file: file.write_bytes(content)


SUCCESS = markers.SUCCESS
# (file below the run's folder, what happens to it)
KINDS = {
    "marker empty": (f"01_annotation/{SUCCESS}", write(b"")),
    "marker cut": (f"02_similar_dishes/{SUCCESS}", cut),
    "marker of other bytes": (f"03_dataset/{SUCCESS}", write(b"\xff\xfe\x00\x01" * 50)),
    "marker a list": (f"04_training/{SUCCESS}", write(b"[]")),
    "marker null": (f"05_evaluation/{SUCCESS}", write(b"null")),
    "marker an empty object": (f"01_annotation/{SUCCESS}", write(b"{}")),
    "marker a number": (f"05_evaluation/{SUCCESS}", write(b"7")),
    "marker a folder": (f"03_dataset/{SUCCESS}", replace_by_folder),
    "marker of another stage": (f"02_similar_dishes/{SUCCESS}", change(stage="03_dataset")),
    "marker without outputs": (f"04_training/{SUCCESS}", change(outputs=None)),
    "marker with outputs as a list": (
        f"01_annotation/{SUCCESS}",
        change(outputs=["catalog.parquet"]),
    ),
    "marker with an output that is no record": (
        f"01_annotation/{SUCCESS}",
        change(outputs={"catalog.parquet": 3}),
    ),
    "marker without inputs": (f"03_dataset/{SUCCESS}", change(inputs=None)),
    "marker with inputs as text": (f"05_evaluation/{SUCCESS}", change(inputs="none")),
    "marker with parameters as text": (f"02_similar_dishes/{SUCCESS}", change(parameters="seed=0")),
    "marker without parameters": (f"04_training/{SUCCESS}", change(parameters=None)),
    "marker with seconds as text": (f"05_evaluation/{SUCCESS}", change(seconds="long")),
    "marker without counts": (f"05_evaluation/{SUCCESS}", change(counts=None)),
    "marker without a date": (f"01_annotation/{SUCCESS}", change(finished_at=None)),
    "marker without image_root": (f"01_annotation/{SUCCESS}", change(image_root=None)),
    "marker without best": (f"04_training/{SUCCESS}", change(best=None)),
    "catalogue gone": ("01_annotation/catalog.parquet", lambda file: file.unlink()),
    "catalogue cut": ("01_annotation/catalog.parquet", cut),
    "catalogue a folder": ("01_annotation/catalog.parquet", replace_by_folder),
    "features cut": ("02_similar_dishes/features.npz", cut),
    "look-alikes empty": ("02_similar_dishes/similar_dishes.csv", write(b"")),
    "questions of other bytes": ("03_dataset/test.jsonl", write(b"\x00" * 100)),
    "weights changed": ("04_training/best/model.safetensors", write(b"other")),
    "configuration gone": ("04_training/best/config.json", lambda file: file.unlink()),
    "figures not JSON": ("05_evaluation/metrics.json", write(b"{")),
    "report gone": ("05_evaluation/report.html", lambda file: file.unlink()),
    "training's rows of other bytes": (
        "04_training/metrics.jsonl",
        write(b'\xff{}\n[]\n7\n{"step": "x"}\n'),
    ),
    "lock of other bytes": (".03_dataset.lock", write(b"\xff\xfe")),
}


@pytest.fixture
def harmed(own_outputs):
    """The folder of a finished run with small files."""
    values = settings.load_profile("demo", {"run_name": RUN})
    tables = {
        "01_annotation": (
            "catalog.parquet",
            pd.DataFrame({"image_id": ["a"], "path": ["x/1.jpg"]}),
        ),
        "02_similar_dishes": (
            "similar_dishes.csv",
            pd.DataFrame({"dish_id": ["a"], "similar_id": ["b"], "rank": [1]}),
        ),
        "03_dataset": ("test.jsonl", [{"id": "q"}]),
        "04_training": ("metrics.jsonl", [{"step": 1, "max_steps": 2, "loss": 0.5}]),
        "05_evaluation": (
            "metrics.json",
            {
                "tuned": {
                    "naming": {
                        "n": 1,
                        "accuracy": 1.0,
                        "ci95": [0.2, 1.0],
                        "chance": 0.5,
                        "menu_size": None,
                    }
                }
            },
        ),
    }
    for name in paths.STAGES:
        stage = stages.start(name, values[name])
        filename, content = tables[name]
        stage.make(filename, lambda content=content: content)
        if name == "02_similar_dishes":
            stage.make(
                "features.npz",
                dict,
                image_id=np.array(["a"]),
                feature=np.eye(1, 4, dtype=np.float32),
            )
        if name == "04_training":
            records.write_text(stage.path("best/config.json"), "{}")
            records.write_text(stage.path("best/model.safetensors"), "weights")
        if name == "05_evaluation":
            records.write_text(stage.path("report.html"), "<html>")
        stage.finish({"ok": 1}, image_root="/photos", best={"temperature": 1.0})
    return own_outputs / RUN


def answers(capsys):
    """{command: (status, what was said)} of every command."""
    given = {}
    for command in COMMANDS:
        capsys.readouterr()
        status = cli.main(command)
        captured = capsys.readouterr()
        given[command[0]] = (status, captured.out + captured.err)
    return given


def test_a_whole_run_is_answered_well(harmed, capsys):
    given = answers(capsys)
    assert [given[command][0] for command in ("status", "verify", "run")] == [0, 0, 0]
    assert given["stop"] == (1, f"dishvl: no training of run {RUN} is running on this machine\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_says_what_is_damaged(harmed, capsys, kind):
    name, harm = KINDS[kind]
    harm(harmed / name)
    given = answers(capsys)
    for command, (status, output) in given.items():
        assert "Traceback" not in output, command
        assert "was not foreseen" not in output, command
        if status:
            assert any(remedy in output for remedy in REMEDIES), (command, output)
    if name.endswith(".lock"):
        assert given["run"][0] == 0, "a lock's text is for people"
        return
    status, output = given["verify"]
    assert status == 1
    assert str(harmed / name) in output
    assert f"--redo {name[:2]}" in output
    assert given["run"][0] == 1
    assert str(harmed / name) in given["run"][1]


def test_an_unfinished_stage_that_cannot_be_read_is_begun_anew(harmed, capsys):
    (harmed / "05_evaluation" / SUCCESS).unlink()
    values = settings.load_profile("demo", {"run_name": RUN})["05_evaluation"]
    for content in (b"", b"[]", b"\xff", b'{"parameters": 3, "inputs": []}'):
        (harmed / "05_evaluation" / markers.STARTED).write_bytes(content)
        assert not stages.start("05", values).done
        assert "was begun with other parameters or inputs" in capsys.readouterr().out


def test_what_was_not_foreseen_is_one_sentence_and_the_rest_is_kept(
    own_outputs, monkeypatch, capsys
):
    monkeypatch.setattr(cli, "_existing_run", lambda name: 1 / 0)
    assert cli.main(["status", RUN]) == 1
    output = capsys.readouterr().err
    assert output.startswith("dishvl: this was not foreseen: ZeroDivisionError: division by zero.")
    assert "Traceback" not in output
    assert "ZeroDivisionError" in (own_outputs / "errors.log").read_text()
