"""Cached folders: made once, waited for, and made again when they are damaged."""

import pytest

from dishvl_lib.core import caches, locks


def make(folder):
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("whole")
    (folder / "deep").mkdir()
    (folder / "deep" / "b.txt").write_text("too")


def test_it_is_made_once(tmp_path):
    place = caches.folder(tmp_path / "x", make, "a toy")
    assert caches.folder(place, lambda _: pytest.fail("made again"), "a toy") == place
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.lock", "x"]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda place: (place / "a.txt").write_text("other"), "a.txt is damaged"),
        (lambda place: (place / "deep" / "b.txt").unlink(), "deep/b.txt is gone"),
        (lambda place: (place / caches.SEAL).write_text("{"), "was not completed"),
        (lambda place: (place / caches.SEAL).write_text("[]"), "its seal is damaged"),
        (lambda place: (place / caches.SEAL).unlink(), "was not completed"),
    ],
)
def test_a_damaged_one_is_made_again_and_that_is_said(tmp_path, capsys, harm, words):
    place = caches.folder(tmp_path / "x", make, "a toy")
    harm(place)
    caches.folder(place, make, "a toy")
    assert words in capsys.readouterr().out
    assert (place / "a.txt").read_text() == "whole"
    assert caches.damage(place) == ""


def test_one_that_fails_leaves_nothing_and_frees_the_lock(tmp_path):
    def broken(folder):
        make(folder)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        caches.folder(tmp_path / "x", broken, "a toy")
    assert not (tmp_path / "x").exists()
    assert locks.holder(tmp_path / ".x.lock") is None
    caches.folder(tmp_path / "x", make, "a toy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.lock", "x"], (
        "what was left behind is gone"
    )


def test_another_process_that_makes_it_is_waited_for(tmp_path, monkeypatch, capsys):
    refusals = [locks.LockedError(tmp_path, locks.Holder(7, "host", "now", "a toy"))] * 3
    take = locks.take

    def busy(file, what):
        if refusals:
            raise refusals.pop()
        take(file, what)

    monkeypatch.setattr(locks, "take", busy)
    monkeypatch.setattr(caches, "WAIT_S", 0.01)
    caches.folder(tmp_path / "x", make, "a toy")
    assert capsys.readouterr().out.count("waiting for process 7 on host") == 1
