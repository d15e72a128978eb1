"""Photos for training: a cache that changes no pixel and survives damage, fast decoding of the same
size, other views.
"""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import toys
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dishvl_lib.core import images
from dishvl_lib.training import photos
from dishvl_lib.training.photos import Photos, another_view, turned


@pytest.fixture(scope="module")
def loaded():
    return tiny.model()


@pytest.fixture
def root(tmp_path):
    """Five JPEGs of different content and size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, size in enumerate([(200, 150), (90, 200), (64, 64), (300, 220), (120, 90)]):
        (folder / f"{seed}.jpg").write_bytes(toys.encoded(toys.picture(seed, size)))
    return folder


def names(root):
    return sorted(file.name for file in root.iterdir())


def entries() -> list[Path]:
    return sorted(file for file in photos.paths.cache(photos.CACHE).rglob("*") if file.is_file())


def pixels(loaded_photos, root):
    return [loaded_photos[name].tobytes() for name in names(root)]


def test_pixels_are_the_same_without_cache_when_written_and_when_read(root, loaded, monkeypatch):
    plain = Photos(root, loaded)
    cached = Photos(root, loaded, 10)
    wanted = pixels(plain, root)
    assert pixels(cached, root) == wanted
    assert len(entries()) == 5
    monkeypatch.setattr(photos, "decode", lambda *_: pytest.fail("decoded again"))
    assert pixels(cached, root) == wanted
    assert pixels(Photos(root, loaded, 10), root) == wanted


def test_a_changed_photo_never_gives_its_old_pixels(root, loaded):
    """Not even with the name, the size and the times of the old file."""
    cached = Photos(root, loaded, 10)
    file = root / "0.jpg"
    before = cached["0.jpg"].tobytes()
    old = file.read_bytes()
    times = file.stat()
    new = toys.encoded(toys.picture(99, (200, 150)))
    file.write_bytes(new[:-2].ljust(len(old) - 2, b"\0") + new[-2:] if len(new) < len(old) else new)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cached["0.jpg"].tobytes() == Photos(root, loaded)["0.jpg"].tobytes() != before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: b"",
        lambda entry: entry[:7],
        lambda entry: entry[: len(entry) // 2],
        lambda entry: entry + b"x",
        lambda entry: entry[:100] + bytes([entry[100] ^ 1]) + entry[101:],
        lambda entry: entry[:4] + entry[8:12] + entry[4:8] + entry[12:],
    ],
)
def test_a_damaged_entry_is_made_again(root, loaded, spoil):
    cached = Photos(root, loaded, 10)
    wanted = cached["0.jpg"].tobytes()
    (entry,) = entries()
    whole = entry.read_bytes()
    entry.write_bytes(spoil(whole))
    assert cached["0.jpg"].tobytes() == wanted
    assert entry.read_bytes() == whole


def test_what_a_killed_writer_leaves_is_never_read(root, loaded):
    cached = Photos(root, loaded, 10)
    wanted = cached["0.jpg"].tobytes()
    (entry,) = entries()
    os.rename(entry, entry.with_name("half.part"))
    assert cached.cache.get(entry.name) is None
    assert cached["0.jpg"].tobytes() == wanted


def in_processes(number, run, *arguments):
    """`run(*arguments)` in as many forked processes at once, as a data loader starts its workers;
    exit codes.
    """
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=run, args=(*arguments, worker)) for worker in range(number)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def test_many_processes_may_write_the_same_entries_at_once(root, loaded):
    cached = Photos(root, loaded, 10)
    wanted = pixels(Photos(root, loaded), root)

    def read(worker):
        for _ in range(5):
            assert pixels(cached, root) == wanted

    assert in_processes(4, read) == [0] * 4
    assert len(entries()) == 5


def test_the_budget_is_kept_by_all_workers_and_both_sets_of_rows_together(
    root, loaded, monkeypatch
):
    size = photos.cache_bytes([(64, 64)], loaded)
    cache = photos.PhotoCache(photos.paths.cache(photos.CACHE) / "few", 3 * size + size // 2)
    photo = photos.decode(loaded, root / "2.jpg")

    def fill(worker):
        for number in range(5):
            cache.put(f"{worker:02x}{number:02x}", photo)

    assert in_processes(4, fill) == [0] * 4
    assert len(entries()) == 3
    assert sum(file.stat().st_size for file in entries()) == 3 * size
    assert cache.left.value == size // 2
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert photos.PhotoCache(cache.folder, 5 * size).left.value == size
    assert Photos(root, loaded, 10).cache is Photos(root, loaded, 10).cache


def test_a_full_disk_is_said_once_and_training_goes_on(root, loaded, monkeypatch):
    cached = Photos(root, loaded, 11)
    wanted = pixels(Photos(root, loaded), root)

    def refuse(self, entry):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.warns(UserWarning, match="No space left on device.*decoded each time") as warned:
        assert pixels(cached, root) == wanted
    assert len(warned) == 1
    assert not entries()


def test_other_pixel_limits_and_other_decoding_do_not_share_entries(root, loaded):
    other = tiny.model()
    other.image_processor.size = {"shortest_edge": 784, "longest_edge": 784 * 4}
    keys = {
        photos.cache_key(loaded, "exact"),
        photos.cache_key(loaded, "fast"),
        photos.cache_key(other, "exact"),
    }
    assert len(keys) == 3
    assert photos.cache_key(tiny.model(), "exact") in keys


def test_the_caches_size_is_known_before_it_is_made(root, loaded):
    sizes = [images.upright_size(root / name) for name in names(root)]
    pixels(Photos(root, loaded, 10), root)
    assert photos.cache_bytes(sizes, loaded) == sum(file.stat().st_size for file in entries())


@pytest.mark.parametrize("budget", [0, 10])
def test_an_unusable_photo_is_refused_in_the_same_words(root, loaded, budget):
    (root / "bad.jpg").write_bytes((root / "0.jpg").read_bytes()[:700])
    cached = Photos(root, loaded, budget)
    for name, reason in (("gone.jpg", "missing"), ("bad.jpg", "damaged")):
        with pytest.raises(images.ImageError, match=reason):
            cached[name]
    assert not entries()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1279, 961), (640, 480), (60, 48)])
def test_fast_decoding_gives_the_same_size_and_nearly_the_same_pixels(loaded, size, orientation):
    exif = Image.Exif()
    exif[toys.ORIENTATION] = orientation
    content = toys.encoded(toys.picture(3, size), "JPEG", quality=90, exif=exif)
    exact, fast = (photos.decode(loaded, content, decoding) for decoding in ("exact", "fast"))
    assert exact.size == fast.size
    apart = np.abs(np.asarray(exact, dtype=int) - np.asarray(fast, dtype=int))
    assert apart.mean() < 2
    assert (apart.max() > 0) == (min(size) > 100)


def test_fast_decoding_of_what_is_no_jpeg_is_exact_and_other_words_are_refused(loaded):
    content = toys.encoded(toys.picture(3, (300, 200)), "PNG")
    assert (
        photos.decode(loaded, content, "fast").tobytes() == photos.decode(loaded, content).tobytes()
    )
    with pytest.raises(ValueError, match="photo_decoding is 'quick'; give exact or fast"):
        photos.decode(loaded, content, "quick")


class Pixels(Dataset):
    """Photos as a data loader's worker reads them."""

    def __init__(self, photos, root):
        self.photos = photos
        self.names = names(root)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return torch.from_numpy(np.array(self.photos[self.names[index]]))


def own_memory(pid) -> int:
    """Bytes of a process that no other process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(
        1024 * int(line.split()[1])
        for line in lines
        if line.startswith(("Private_Dirty:", "Private_Clean:"))
    )


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc"
)
@pytest.mark.parametrize("budget", [0, 100])
def test_memory_stays_flat_over_epochs(tmp_path, budget):
    """Forty photos of 0.6 MB each: keeping them would add 24 MB to the worker with every epoch."""
    folder = tmp_path / "photos"
    large = tiny.model()
    folder.mkdir()
    for seed in range(40):
        (folder / f"{seed}.jpg").write_bytes(toys.encoded(toys.picture(seed, (448, 448))))
    large.image_processor.size = {"shortest_edge": 448 * 448, "longest_edge": 448 * 448}
    loader = DataLoader(
        Pixels(Photos(folder, large, budget), folder),
        batch_size=4,
        num_workers=1,
        persistent_workers=True,
    )
    used = []
    for _ in range(5):
        assert sum(len(batch) for batch in loader) == 40
        (worker,) = loader._iterator._workers
        used.append(own_memory(worker.pid) + own_memory(os.getpid()))
    assert max(used[2:]) - used[1] < 12 * 2**20


def test_the_eight_ways_are_different_and_lossless():
    photo = tiny.photo(1, (40, 30))
    seen = {(turned(photo, way).size, turned(photo, way).tobytes()) for way in range(8)}
    assert len(seen) == 8
    assert all(
        sorted(np.asarray(turned(photo, way)).ravel()) == sorted(np.asarray(photo).ravel())
        for way in range(8)
    )


def test_another_view_keeps_the_size_and_the_plain_view_is_the_photo_itself():
    photo = tiny.photo(0, (60, 44))
    same = np.asarray(another_view(photo, [0, 0.3, 0.7, 0.5, 0.5, 0.5]))
    assert np.array_equal(same, np.asarray(photo))
    other = another_view(photo, [0.9, 0.5, 0.5, 0.9, 0.1, 0.9])
    assert other.size == photo.size
    assert not np.array_equal(np.asarray(other), same)


def test_a_view_of_no_strength_is_the_photo_and_of_half_is_nearer_to_it_than_of_one():
    photo = tiny.photo(0, (60, 44))
    plain = np.asarray(photo).astype(float)
    chances = [0.9, 0.5, 0.5, 0.9, 0.1, 0.9]
    distances = []
    for strength in (0.0, 0.5, 1.0):
        view = np.asarray(another_view(photo, chances, strength)).astype(float)
        distances.append(np.abs(view - plain).mean())
    assert distances[0] == 0
    assert distances[0] < distances[1] < distances[2]
