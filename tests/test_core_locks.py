"""Locks: one process at a time, freed by whatever ends it, kept by no forked child, and missed out
loud where there are none.
"""

import errno
import fcntl
import multiprocessing
import os
import signal

import pytest
from toys import another_process_holding

from dishvl_lib.core import locks


def test_another_process_is_named_and_its_end_frees_the_lock(tmp_path):
    file = tmp_path / "deep" / "a.lock"
    with another_process_holding(file) as other:
        with pytest.raises(
            locks.LockedError, match=f"process {other.pid} on .* since 20"
        ) as refused:
            locks.take(file, "here")
        assert refused.value.holder.what == "toy"
        assert locks.holder(file).pid == other.pid
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        locks.take(file, "here")
        assert locks.holder(file).pid == os.getpid()
    locks.release(file)
    assert locks.holder(file) is None


def test_the_same_process_may_take_it_again_and_a_block_leaves_it_as_it_was(tmp_path):
    file = tmp_path / "a.lock"
    locks.take(file, "one")
    with locks.held(file, "two"):
        assert locks.mine(file)
    assert locks.mine(file), "it was held before the block"
    locks.release(file)
    with locks.held(file, "two"):
        assert locks.mine(file)
    assert not locks.mine(file)


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path):
    """A data loader's worker that outlives its killed parent must not block the next run."""
    file = tmp_path / "a.lock"
    locks.take(file, "parent")
    gate = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=gate.wait, args=(60,))
    child.start()
    try:
        locks.release(file)
        with another_process_holding(file):
            assert not locks.mine(file)
    finally:
        gate.set()
        child.join()


def test_a_removed_lock_file_is_not_shared_by_two(tmp_path):
    file = tmp_path / "a.lock"
    locks.take(file, "one")
    locks.release(file)
    locks.remove(file)
    assert not file.exists()
    with another_process_holding(file):
        locks.remove(file)
        assert file.exists(), "a held one stays"


def refuse(error_number):
    def flock(descriptor, operation):
        raise OSError(error_number, os.strerror(error_number))

    return flock


@pytest.mark.parametrize(
    "flock", [refuse(errno.ENOLCK), refuse(errno.EOPNOTSUPP), lambda descriptor, operation: None]
)
def test_a_file_system_without_locks_is_said_and_a_live_process_is_still_seen(
    tmp_path, monkeypatch, capsys, flock
):
    file = tmp_path / "a.lock"
    with another_process_holding(file) as other:
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(locks.LockedError, match=f"process {other.pid}"):
            locks.take(file, "here")
    locks.take(file, "here")
    assert "has no working locks (flock)" in capsys.readouterr().out
    locks.release(file)
