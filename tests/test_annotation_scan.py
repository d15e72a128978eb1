"""A scan looks at every photo once: what it saw is kept, goes on after a kill, and is looked at
again when the file changes.
"""

import hashlib
import os

import pytest
from PIL import Image
from toys import encoded, fill, jpeg, picture, rotated

from dishvl_lib.annotation import layout, scan


@pytest.fixture
def looks(monkeypatch):
    """The files that were really looked at."""
    seen = []
    really = scan.look
    monkeypatch.setattr(
        scan, "look", lambda file, *options: seen.append(file.name) or really(file, *options)
    )
    return seen


@pytest.fixture
def root(tmp_path):
    fill(tmp_path / "p", {"a": 3, "b": 2})
    return tmp_path / "p"


def run(root, cache, workers=2):
    return scan.examine(layout.listing(root, follow_links=True).photos, root, workers, cache)


def test_what_is_seen(root):
    (root / "a" / "0.jpg").write_bytes(rotated(50, 6))
    whole, left_out = run(root, None)
    looked = {layout.relative_path(photo.file, root): seen for photo, seen in whole}["a/0.jpg"]
    assert (looked["width"], looked["height"]) == (72, 96)
    assert looked["sha256"] == hashlib.sha256(rotated(50, 6)).hexdigest()
    assert left_out == []
    assert set(looked) == {
        "width",
        "height",
        "sha256",
        "phash",
        "phash_mirrored",
        "sharpness",
    }
    assert [photo.file.name for photo, _ in whole] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "0.jpg",
        "1.jpg",
    ]


def test_a_second_scan_looks_at_new_and_changed_files_only(root, tmp_path, looks):
    (root / "b" / "bad.jpg").write_bytes(b"<html>")
    first = run(root, tmp_path / "cache")
    assert len(looks) == 6
    looks.clear()
    assert run(root, tmp_path / "cache") == first
    assert looks == []
    (root / "a" / "1.jpg").write_bytes(jpeg(99))
    (root / "b" / "new.jpg").write_bytes(jpeg(98))
    again = run(root, tmp_path / "cache")
    assert sorted(looks) == ["1.jpg", "new.jpg"]
    assert len(again[0]) == 6
    assert again != first


def test_a_killed_scan_goes_on_after_the_line_that_was_cut(root, tmp_path, looks):
    first = run(root, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) * 2 // 3])
    complete = kept.read_bytes().count(b"\n")
    looks.clear()
    assert run(root, tmp_path / "cache") == first
    assert len(looks) == 5 - complete
    assert 0 < complete < 5
    looks.clear()
    assert run(root, tmp_path / "cache") == first
    assert looks == []


def test_what_another_look_may_cure_is_not_kept(root, tmp_path, looks):
    (root / "a" / "gone.jpg").symlink_to(tmp_path / "later.jpg")
    assert [reason for _, reason, _ in run(root, tmp_path / "cache")[1]] == ["missing"]
    (tmp_path / "later.jpg").write_bytes(jpeg(97))
    assert len(run(root, tmp_path / "cache")[0]) == 6


def test_names_with_odd_line_breaks_survive_the_cache(root, tmp_path, looks):
    (root / "a" / "x\u2028y\n.jpg").write_bytes(jpeg(96))
    first = run(root, tmp_path / "cache")
    looks.clear()
    assert run(root, tmp_path / "cache") == first
    assert looks == []


def test_many_chunks_and_workers_change_nothing(root, tmp_path, monkeypatch):
    expected = run(root, None, workers=1)
    monkeypatch.setattr(scan, "CHUNK", 2)
    assert run(root, tmp_path / "cache", workers=4) == expected


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"<html></html>", "not an image"),
        (encoded(picture(60, (400, 300)))[:3000], "damaged"),
        (encoded(Image.new("RGB", (2000, 31)), "PNG"), "too small"),
        (encoded(Image.new("RGB", (6500, 32)), "PNG"), "too narrow"),
        (encoded(Image.new("1", (16000, 16000)), "PNG"), "too large"),
    ],
)
def test_what_cannot_be_used(tmp_path, content, reason):
    (tmp_path / "x.jpg").write_bytes(content)
    looked = scan.look(tmp_path / "x.jpg")
    assert looked["reason"] == reason
    assert looked["detail"]


def test_a_bomb_is_refused_from_its_header(tmp_path):
    """30 kB that would unfold to 256 megapixels: refused without decoding."""
    (tmp_path / "bomb.png").write_bytes(encoded(Image.new("1", (16000, 16000)), "PNG"))
    assert os.path.getsize(tmp_path / "bomb.png") < 40_000
    assert scan.look(tmp_path / "bomb.png")["reason"] == "too large"


def test_damaged_lines_of_the_cache_are_said_and_their_photos_looked_at_again(
    root, tmp_path, looks, capsys
):
    first = run(root, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.jsonl")
    lines = file.read_bytes().splitlines()
    damaged = [
        b"\xff\xfe",
        b"7",
        b"[1, 2, 3]",
        b'["a/1.jpg", [1, 2, 3], {"width": 3}]',
        b'["a/1.jpg", null, null]',
    ]
    file.write_bytes(b"\n".join([*lines[:2], *damaged]) + b"\n")
    looks.clear()
    assert run(root, tmp_path / "cache") == first
    assert len(looks) == 3, "two are known"
    assert (
        f"5 lines of {file} are damaged; their photos are looked at again"
        in capsys.readouterr().out
    )
