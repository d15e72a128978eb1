"""Socket folders: short whatever TMPDIR is, and swept when their command is gone."""

import os
import tempfile

import pytest
from toys import another_process_holding

from dishvl_lib.core import sockets


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets, "short_temporary_folder", lambda: tmp_path)
    return tmp_path


def test_a_long_tmpdir_is_not_used(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with sockets.folder() as place:
        assert len(os.fsencode(place)) < 80
        assert place.is_dir()
    assert not place.exists()


def test_a_short_tmpdir_is_used(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        with sockets.folder() as place:
            assert str(place.parent) == short


def test_what_a_killed_command_left_behind_is_removed_and_a_live_ones_stays(base):
    dead = base / "dishvl-dead"
    live = base / "dishvl-live"
    for folder in (dead, live):
        folder.mkdir()
        (folder / sockets.LOCK).touch()
        (folder / "kernel-1").touch()
    (base / "dishvl-strange").mkdir()
    with another_process_holding(live / sockets.LOCK), sockets.folder() as place:
        assert not dead.exists()
        assert (live / "kernel-1").exists()
        assert (base / "dishvl-strange").exists(), "without our lock it may be anybody's"
        assert place.exists()
