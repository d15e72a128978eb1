"""A full disk: whatever is being written, the sentence names the file, its disk and what to do, and
older files stay.
"""

import contextlib
import errno
import resource

import matplotlib
import numpy as np
import pandas as pd
import pytest

from dishvl_lib.core import records
from dishvl_lib.endpoints.errors import JournalError
from dishvl_lib.endpoints.journal import Intent, Journal
from dishvl_lib.evaluation import asking

MANY = "x" * 100_000


@contextlib.contextmanager
def full_disk(room=4096):
    """Files may hold `room` bytes, as when a disk (or a quota) is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def figure(path):
    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots()
    axes.imshow(np.random.default_rng(0).random((200, 200)))
    with records.atomic_path(path) as temporary:
        drawn.savefig(temporary)
    pyplot.close(drawn)


def arrays(path):
    with records.atomic_path(path) as temporary:
        np.savez(temporary, a=np.random.default_rng(0).random(20_000))


NOISE = [f"{value:.9f}" for value in np.random.default_rng(0).random(20_000)]
WRITERS = {
    "a.txt": lambda path: records.write_text(path, MANY),
    "a.json": lambda path: records.write_json(path, {"a": MANY}),
    "a.jsonl": lambda path: records.write_jsonl(path, [{"a": MANY}]),
    "a.csv": lambda path: records.write_table(path, pd.DataFrame({"a": NOISE})),
    "a.parquet": lambda path: records.write_table(path, pd.DataFrame({"a": NOISE})),
    "a.npz": arrays,
    "a.png": figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_form_of_file(tmp_path, name):
    path = tmp_path / name
    path.write_text("older")
    with (
        full_disk(),
        pytest.raises(
            OSError, match="GiB are free on the disk of .*; free space .* and run again"
        ) as refused,
    ):
        WRITERS[name](path)
    assert str(path) in str(refused.value)
    assert refused.value.errno == errno.EFBIG
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path], "nothing half-written is left"


def test_answers_of_the_evaluation(tmp_path):
    class Long:
        def answer(self, rows):
            from dishvl_lib.evaluation.predictors import Answer

            return [Answer(MANY) for _ in rows]

    row = {
        "id": "q",
        "kind": "naming",
        "image_id": "i",
        "image": "i.jpg",
        "dish_id": "d",
        "menu": [],
        "conversations": [{"value": "?"}, {"value": "x"}],
    }
    with full_disk(), pytest.raises(OSError, match=r"no room for .*answers\.jsonl"):
        asking.predict("tuned", Long(), [row], tmp_path / "answers.jsonl")


def test_the_journal(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    try:
        attempt = journal.claim(Intent("k", "r", "s", "m"), 1.0).attempt
        with (
            full_disk(65536),
            pytest.raises(
                JournalError, match=r"j\.sqlite cannot be used .*(disk is full|disk refuses)"
            ),
        ):
            journal.settle(
                "k",
                attempt,
                status="received",
                http_status=200,
                body=MANY * 4,
                usage={},
                cost=0.1,
                reserved=0.0,
                seconds=0.0,
            )
    finally:
        journal.close()
    again = Journal(tmp_path / "j.sqlite")
    assert again.history("k").body is None
    again.close()


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path):
    (tmp_path / ".catalog.0a1b2c3d.part.parquet").touch()
    (tmp_path / ".metrics.0a1b2c3d.part").touch()
    kept = [".checkpoint.part", ".lock", "a.part", ".notes.part.txt", "catalog.parquet"]
    for name in kept:
        (tmp_path / name).touch()
    records.sweep_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
