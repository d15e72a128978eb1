"""How the chain starts a notebook, without starting one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import papermill
import pytest

from dishvl_lib import run
from dishvl_lib.core import paths, records, settings, stages


def test_runs_begun_together_share_no_socket(monkeypatch):
    """Each kernel's sockets lie in a folder of their own, short enough for a socket's path, which
    is gone afterwards.
    """
    given = []

    def started(*_, config, **__):
        given.append(Path(config["KernelManager"]["ip"]))
        assert given[-1].parent.is_dir()
        assert len(f"{given[-1]}-12345") < 100
        records.write_json(paths.stage_folder("r", "01_annotation") / stages.SUCCESS, {})

    monkeypatch.setattr(papermill, "execute_notebook", started)
    for _ in range(2):
        run._execute("01_annotation", {"run_name": "r"})
    assert given[0] != given[1]
    assert not any(socket.parent.exists() for socket in given)


def test_a_reader_that_has_gone_ends_a_command_in_silence(tmp_path):
    """`dishvl doctor | head -0`"""
    environment = {**os.environ, "DISHVL_OUTPUTS": str(tmp_path)}
    command = [sys.executable, "-m", "dishvl_lib.cli", "doctor"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=paths.PROJECT_ROOT,
        text=True,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(100) == 128 + signal.SIGPIPE
    assert errors == ""


def test_upstream_run_says_what_it_lends(monkeypatch, capsys):
    values = settings.load_profile("demo", {"run_name": "r", "upstream_run": "theirs"})
    monkeypatch.setattr(stages, "check_ready", lambda *_: None)
    monkeypatch.setattr(stages, "state", lambda *_: "done")
    run.run(values)
    assert (
        "note: upstream_run theirs lends nothing here: 01_annotation and what follows are "
        "made by this run" in capsys.readouterr().out
    )
    run.run(values, first="03")
    assert (
        "upstream_run theirs: 01_annotation, 02_similar_dishes are taken from it"
        in capsys.readouterr().out
    )


def test_stages_in_no_order_are_refused():
    values = settings.load_profile("demo", {"run_name": "r"})
    with pytest.raises(run.RunError, match="--from 04 --to 02: no stage lies between them"):
        run.run(values, first="04", last="02")


def test_a_long_predictor_stands_apart_from_its_protocol(own_outputs):
    measured = {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9], "chance": 0.1}
    named = {"tuned": {"naming": measured}, "efficientnet_lite0_classifier": {"naming": measured}}
    records.write_json(own_outputs / "r" / "05_evaluation" / "metrics.json", named)
    heading, tuned, classifier = run.summary(own_outputs / "r").splitlines()[:3]
    assert classifier.split()[:2] == ["efficientnet_lite0_classifier", "naming"]
    columns = {line.index(word) for line, word in ((heading, "protocol"), (tuned, "naming"))}
    assert columns == {classifier.index("naming")}
