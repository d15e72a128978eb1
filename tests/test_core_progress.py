"""Progress is said in place where somebody watches, and seldom where every line is kept."""

import sys

import pytest

from dishvl_lib.core import kernel, progress
from dishvl_lib.core.progress import Line, Progress, duration


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def batch(monkeypatch):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)


@pytest.fixture
def shown(monkeypatch):
    """What JupyterLab is told to display, as (how, text)."""
    calls = []

    class Handle:
        def update(self, content, raw):
            calls.append(("update", content["text/plain"]))

    def show(content):
        calls.append(("display", content["text/plain"]))
        return Handle()

    monkeypatch.setenv(kernel.SESSION, "01_annotation.ipynb")
    monkeypatch.setattr(kernel, "in_notebook", lambda: True)
    monkeypatch.setattr(kernel, "show_forms", show)
    return calls


def work(clock, seconds, total=100):
    """`total` photos, each taking `seconds`."""
    with Progress("photos", total) as counted:
        for _ in range(total):
            clock.seconds += seconds
            counted.advance()


def test_in_batch_a_line_comes_after_ten_seconds_then_once_a_minute(clock, batch, capsys):
    work(clock, seconds=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "photos: 5 of 100 photos, 0.5/s, 3 min 10 s left",
        "photos: 35 of 100 photos, 0.5/s, 2 min 10 s left",
        "photos: 65 of 100 photos, 0.5/s, 1 min 10 s left",
        "photos: 95 of 100 photos, 0.5/s, 10 s left",
        "photos: 100 of 100 photos in 3 min 20 s",
    ]


def test_what_is_over_soon_says_nothing(clock, batch, capsys):
    work(clock, seconds=0.09)
    assert capsys.readouterr().out == ""


def test_in_jupyter_one_display_is_updated(clock, shown, capsys):
    work(clock, seconds=0.5, total=10)
    assert [how for how, _ in shown].count("display") == 1
    assert shown[0] == ("display", "photos: 2 of 10 photos, 2/s, 4 s left")
    assert shown[-1] == ("update", "photos: 10 of 10 photos in 5 s")
    assert capsys.readouterr().out == ""


def test_a_process_that_a_notebook_started_writes_lines(clock, batch, monkeypatch, capsys):
    """The training process inherits the environment, and its log keeps every line."""
    monkeypatch.setenv(kernel.SESSION, "04_training.ipynb")
    work(clock, seconds=2, total=10)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_in_batch_no_two_lines_are_nearer_than_ten_seconds(clock, batch, monkeypatch):
    at = []
    monkeypatch.setattr("builtins.print", lambda *_, **__: at.append(clock.seconds))
    for seconds in (1, 2, 7, 11, 13):
        work(clock, seconds, total=20)
    assert len(at) > 10
    assert min(later - earlier for earlier, later in zip(at, at[1:], strict=False)) >= 10


def test_on_a_terminal_a_line_is_written_over_and_ended(clock, monkeypatch, capsys):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    work(clock, seconds=0.5, total=4)
    text = capsys.readouterr().out
    assert text.count("\r") == 4
    assert text.count("\n") == 1
    assert text.endswith("\rphotos: 4 of 4 photos in 2 s\x1b[K\n")


def test_what_an_earlier_run_has_done_says_nothing_of_the_speed(clock, batch, capsys):
    counted = Progress("tuned", 100, "questions", done=80)
    clock.seconds = 20
    counted.advance(10, "loss 0.5")
    line = "tuned: 90 of 100 questions, 0.5/s, 20 s left; loss 0.5\n"
    assert capsys.readouterr().out == line


def test_an_error_ends_the_line_without_a_count(clock, monkeypatch, capsys):
    monkeypatch.delenv(kernel.SESSION, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(RuntimeError), Progress("photos", 2) as counted:
        clock.seconds = 2
        counted.advance()
        raise RuntimeError
    assert capsys.readouterr().out == "\rphotos: 1 of 2 photos, 0.5/s, 2 s left\x1b[K\n"


def test_a_line_that_changes_is_due_once_a_minute_in_batch(clock, batch):
    line = Line()
    due = []
    for second in range(0, 131, 10):
        clock.seconds = second
        if line.is_due():
            due.append(second)
            line.show("step 1 of 2")
    assert due == [10, 70, 130]


def test_durations_are_short():
    assert duration(35.4) == "35 s"
    assert duration(245) == "4 min 05 s"
    assert duration(7500) == "2 h 05 min"
