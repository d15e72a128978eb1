"""Photos that have gone: found, left out up to a share, and decided once."""

import types

import pandas as pd
import pytest

from dishvl_lib.core import missing_photos, records
from dishvl_lib.core.markers import StageError


@pytest.fixture
def photos(tmp_path):
    for name in ("a.jpg", "b.jpg", "empty.jpg"):
        (tmp_path / name).write_bytes(b"" if name == "empty.jpg" else b"x")
    return tmp_path


def rows(*names):
    return [{"id": f"q{number}", "image": name} for number, name in enumerate(names)]


def test_what_is_gone_or_empty_is_found_once_and_texts_need_no_photo(photos):
    questions = [
        *rows("a.jpg", "gone.jpg", "gone.jpg", "empty.jpg"),
        {"id": "text"},
        {"id": "other", "image": ""},
    ]
    missing = missing_photos.find(questions, photos)
    assert missing.path.tolist() == ["empty.jpg", "gone.jpg"]
    assert set(missing.reason) == {"missing"}
    assert [row["id"] for row in missing_photos.without(questions, missing)] == [
        "q0",
        "text",
        "other",
    ]


def test_more_than_the_share_stops_and_says_what_to_do(photos):
    missing = missing_photos.find(rows("a.jpg", "gone.jpg"), photos)
    missing_photos.check_share(missing, 2, 0.5, photos)
    with pytest.raises(
        StageError,
        match=r"1 of 2 photos are missing \(the first is gone.jpg\); .* raise max_missing_share \(now 0.4\)",
    ):
        missing_photos.check_share(missing, 2, 0.4, photos)
    with pytest.raises(StageError, match="the folder .*nowhere is not there"):
        missing_photos.check_share(missing, 2, 0.4, photos / "nowhere")


def test_a_file_without_missing_photos_is_used_as_it_is(photos):
    for name, names in {"train": ("a.jpg", "gone.jpg"), "validation": ("b.jpg",)}.items():
        records.write_jsonl(photos / f"{name}.jsonl", rows(*names))
    given = {name: photos / f"{name}.jsonl" for name in ("train", "validation")}
    files = missing_photos.question_files(
        missing_photos.find(rows("gone.jpg"), photos), given, photos / "questions"
    )
    assert files["validation"] == given["validation"]
    assert [row["image"] for row in records.iter_jsonl(files["train"])] == ["a.jpg"]


def test_it_is_decided_when_the_stage_begins(photos):
    """A resumed training must see the same questions."""
    kept = {}

    def make(filename, function, *arguments):
        if filename not in kept:
            kept[filename] = function(*arguments)
        return kept[filename]

    stage = types.SimpleNamespace(image_root=lambda: photos, make=make)
    first = missing_photos.decided(stage, rows("a.jpg", "b.jpg"), 0.5)
    (photos / "a.jpg").unlink()
    pd.testing.assert_frame_equal(missing_photos.decided(stage, rows("a.jpg", "b.jpg"), 0.5), first)
    assert first.empty
