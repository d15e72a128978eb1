"""A gallery that is changed by killed and by several processes stays the old one or the new one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

paddle = pytest.importorskip("paddle")

from dishvl_lib.core import paths  # noqa: E402

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import gallery_toys  # noqa: E402
from gallery_toys import DISHES, contents  # noqa: E402

from dishvl_lib import Gallery  # noqa: E402
from dishvl_lib.gallery import store  # noqa: E402

# Adds dishes one after another and says each that is done.
ADDING = """
import sys
from pathlib import Path
from dishvl_lib import Gallery
folder, photo, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
gallery = Gallery.load(folder)
print("ready", flush=True)
for number in range(first, first + count):
    gallery.add(f"新菜{chr(0x4e00 + number)}", [photo], yes=True)
    print(number, flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    return gallery_toys.gallery_folder(tmp_path / "gallery")


@pytest.fixture
def photo(tmp_path):
    (file,) = gallery_toys.photo_files(tmp_path / "new", 7, 1)
    return file


def adding(folder, photo, first, count):
    command = [sys.executable, "-c", ADDING, str(folder), str(photo), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=paths.PROJECT_ROOT)


def test_processes_that_add_at_once_lose_nothing(folder, photo):
    processes = [adding(folder, photo, first, 12) for first in (0, 100, 200)]
    for process in processes:
        process.communicate(timeout=200)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(contents(folder)) == len(DISHES) + 36


@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_is_killed_leaves_what_it_had_finished(folder, photo, seed):
    process = adding(folder, photo, 0, 500)
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.02, 0.6))
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].split()
    added = len(contents(folder)) - len(DISHES)
    assert added in (len(said), len(said) + 1), "the one that was being added is in it or not"
    gallery = Gallery.load(folder)
    gallery.add("后来的菜", [photo], yes=True)
    listed = {segment.file for segment in gallery.manifest.segments}
    assert {file.name for file in folder.glob("*.npz")} == listed, "nothing half-made is left"
    assert not list(folder.glob(".*part*"))


# What a change does to the disk, in its order.
STEPS = ("os.replace", "os.fsync", "pathlib.Path.unlink")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_kill_before_each_step_leaves_the_old_gallery_or_the_new_one(
    folder, photo, tmp_path, step, turn, change
):
    gallery = Gallery.load(folder)
    gallery.add("先加的菜", [photo], yes=True)
    before = contents(folder)
    kill = (
        "import os, sys, pathlib\n"
        "calls = 0\n"
        f"plain = {step}\n"
        "def dying(*args, **kwargs):\n"
        "    global calls\n"
        "    calls += 1\n"
        f"    if calls > {turn}:\n"
        "        os._exit(9)\n"
        "    return plain(*args, **kwargs)\n"
        "from dishvl_lib import Gallery\n"
        "gallery = Gallery.load(sys.argv[1])\n"
        f"candidate = gallery.look('再加的菜', [sys.argv[2]])\n"
        f"{step} = dying\n"
    )
    kill += {
        "add": "gallery.register(candidate, yes=True)\n",
        "remove": "gallery.remove('先加的菜')\n",
    }[change]
    command = [sys.executable, "-c", kill, str(folder), str(photo)]
    done = subprocess.run(command, cwd=paths.PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 9), done.stderr
    after = {
        "add": {**before, "再加的菜": 1},
        "remove": {name: count for name, count in before.items() if name != "先加的菜"},
    }[change]
    assert contents(folder) in (before, after)
    if done.returncode == 0:
        assert contents(folder) == after
    Gallery.load(folder).add("后来的菜", [photo], yes=True)
    assert "后来的菜" in contents(folder)


def test_a_reader_beside_a_writer_always_sees_a_whole_gallery(folder, photo):
    process = adding(folder, photo, 0, 60)
    process.stdout.readline()
    seen = []
    while process.poll() is None:
        gallery = Gallery.load(folder)
        assert len(gallery.photos) == sum(gallery.manifest.photos.values())
        seen.append(len(gallery))
    process.communicate()
    assert process.returncode == 0
    assert seen == sorted(seen)


def test_a_folder_that_cannot_be_written_is_said(folder, photo, monkeypatch):
    """The system's refusal is played: for root, permissions would not stop the writing."""
    writing = os.replace

    def refused(source, target):
        if os.path.dirname(target) == str(folder):
            raise PermissionError(13, "Permission denied", str(target))
        writing(source, target)

    before = contents(folder)
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OSError, match="Permission denied"):
        Gallery.load(folder).add("新菜", [photo], yes=True)
    assert contents(folder) == before


def test_a_copied_folder_has_no_part_in_the_changes_of_the_first(folder, photo, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy" / "gallery")
    Gallery.load(copy).add("新菜", [photo], yes=True)
    assert "新菜" not in contents(folder)
    assert store.lock_file(copy).parent == copy.parent
