"""The demo's base model beside stage 02: shown, ended with the run, and left out where it is none."""

import os
import subprocess
import sys
import time

import pytest

from dishvl_lib import base_model_ahead, run
from dishvl_lib.core import cores, records, settings, stages

SLOW_PROCESS = """
import os, sys, time
print("pid", os.getpid(), "dishes", sys.argv[1], "pixels", sys.argv[2], flush=True)
time.sleep(600)
"""


def first_line(capsys):
    """What the process says when it has begun."""
    for _ in range(200):
        shown = capsys.readouterr().out
        if "pid" in shown:
            return shown
        time.sleep(0.1)
    raise AssertionError("the process said nothing in 20 s")


def is_alive(line):
    """Whether the process that said this line still runs."""
    try:
        os.kill(int(line.split()[1]), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def slow(tmp_path, monkeypatch):
    (tmp_path / "slow_base_model.py").write_text(SLOW_PROCESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(base_model_ahead, "MODULE", "slow_base_model")
    return tmp_path / "dishes.jsonl"


def test_its_lines_are_shown_and_it_ends_with_the_block(slow, capsys):
    with base_model_ahead.begun(slow, 784):
        line = first_line(capsys)
    assert f"dishes {slow} pixels 784" in line
    assert not is_alive(line)


def test_it_ends_with_the_block_when_a_stage_fails(slow, capsys):
    lines = []
    with pytest.raises(run.RunError), base_model_ahead.begun(slow, 784):
        lines.append(first_line(capsys))
        raise run.RunError("02 failed")
    assert not is_alive(lines[0])


def test_it_ends_when_the_run_has_gone(tmp_path):
    """Its standard input ends with the run: here it has ended before the process begins."""
    dishes = tmp_path / "dishes.jsonl"
    records.write_jsonl(dishes, [{"dish_id": "a", "name": "米饭"}, {"dish_id": "b", "name": "虾"}])
    ended = subprocess.run(
        [sys.executable, "-m", base_model_ahead.MODULE, str(dishes), "784"],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "DISHVL_OUTPUTS": str(tmp_path / "outputs")},
        timeout=60,
    )
    assert ended.returncode == 1
    assert not list(tmp_path.glob("outputs/cache/demo_base_model/*/config.json"))


def beside_stage_02(monkeypatch, n_cores=2, **changed):
    """The files for which a process was begun."""
    begun = []
    values = {**settings.load_profile("demo")["03_dataset"], **changed}
    monkeypatch.setattr(cores, "available", lambda: n_cores)
    monkeypatch.setattr(stages, "find_stage", lambda *_: base_model_ahead.Path("01"))
    monkeypatch.setattr(base_model_ahead, "begun", lambda *given: begun.append(given))
    run._base_model_ahead(values)
    return begun


def test_a_run_begins_it_for_the_builtin_model(monkeypatch):
    begun = beside_stage_02(monkeypatch)
    assert begun == [(base_model_ahead.Path("01/dishes.jsonl"), 12544)]


def test_no_other_model_is_made_ahead(monkeypatch):
    assert beside_stage_02(monkeypatch, base_model="outputs/qwen") == []


def test_one_core_has_nothing_to_spare(monkeypatch):
    assert beside_stage_02(monkeypatch, n_cores=1) == []
