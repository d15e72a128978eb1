"""The frame is the unit of the split, and what is cropped from frames."""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts, images, names
from dishvl_lib.detection import cropping, frames
from tests.toys import picture, rotated


def scanned(n, given=(), same=()):
    """`n` frames with hashes far apart; `same`: pairs that show one tray; `given`: their splits."""
    hashes = [f"{number * 0x0F0F_3C5A_96C3_11D7 % 2**64:016x}" for number in range(1, n + 1)]
    for first, second in same:
        hashes[second] = hashes[first]
    splits = [*given, *[""] * (n - len(given))]
    ids = [f"frame{number:03d}" for number in range(n)]
    return pd.DataFrame({"frame_id": ids, "phash": hashes, "split": splits})


def dealt(table, test=0.2, validation=0.1, seed=0):
    return frames.dealt(table, test_share=test, validation_share=validation, seed=seed)


def test_frames_are_dealt_by_share():
    counts = dealt(scanned(200)).value_counts()
    assert counts.to_dict() == {"train": 140, "test": 40, "validation": 20}


def test_the_seed_decides_who():
    table = scanned(60)
    assert dealt(table).tolist() == dealt(table).tolist()
    assert dealt(table).tolist() != dealt(table, seed=1).tolist()


def test_new_frames_move_few_others():
    """A frame's place among the others is its own, so that a test set keeps most of its frames."""
    before = dealt(scanned(100))
    after = dealt(scanned(105))[:100]
    assert (before == after).mean() > 0.9


def test_frames_of_one_tray_stay_together():
    pairs = [(number, number + 1) for number in range(0, 80, 2)]
    split = dealt(scanned(80, same=pairs))
    assert all(split[first] == split[second] for first, second in pairs)


def test_a_film_of_one_tray_trains_whatever_the_seed():
    film = [(0, number) for number in range(1, 30)]
    for seed in range(5):
        counts = dealt(scanned(50, same=film), seed=seed).value_counts()
        assert counts.to_dict() == {"train": 35, "test": 10, "validation": 5}


def test_something_trains_where_all_frames_show_one_tray():
    film = [(0, number) for number in range(1, 6)]
    assert set(dealt(scanned(6, same=film))) == {"train"}


def test_two_films_are_parted():
    films = [(0, number) for number in range(1, 10)] + [(10, number) for number in range(11, 20)]
    counts = dealt(scanned(20, same=films)).value_counts()
    assert counts.to_dict() == {"train": 10, "test": 10}


def test_pairs_of_frames_are_taken_for_a_share_of_one():
    pairs = [(number, number + 1) for number in range(0, 10, 2)]
    counts = dealt(scanned(10, same=pairs)).value_counts()
    assert counts.to_dict() == {"train": 6, "test": 2, "validation": 2}


def test_given_splits_stay():
    given = ["test"] * 5 + ["validation"] * 3 + ["train"] * 12
    assert dealt(scanned(20, given)).tolist() == given


def test_a_split_that_is_not_given_is_taken_from_training():
    split = dealt(scanned(20, ["test"] * 10), validation=0.2)
    assert (split[:10] == "test").all()
    assert (split[10:] == "validation").sum() == 2


def test_a_tray_in_two_given_splits_trains():
    split = dealt(scanned(20, ["test", "train"] * 10, same=[(0, 1)]))
    assert split[0] == "train"


@pytest.fixture
def two_frames(tmp_path):
    root = tmp_path / "frames"
    for day, seed in (("mon", 1), ("tue", 2)):
        (root / day).mkdir(parents=True)
        picture(seed, (200, 100)).save(root / day / "a.png")
    (root / "mon" / "turned.jpg").write_bytes(rotated(3, 6))
    rows = []
    for path, size in (("mon/a.png", (200, 100)), ("tue/a.png", (200, 100))):
        rows.append((artefacts.image_id_of(path), path, *size, "", "train", 2))
    rows.append((artefacts.image_id_of("mon/turned.jpg"), "mon/turned.jpg", 72, 96, "", "test", 1))
    table = pd.DataFrame(rows, columns=list(artefacts.FRAME_COLUMNS))
    return root, table


def boxes_of(table, *boxes):
    """(row of the frame, corners, label)."""
    rows = []
    for place, corners, label in boxes:
        rows.append((table.frame_id[place], "truth", *corners, 1.0, label))
    return pd.DataFrame(rows, columns=list(artefacts.BOX_COLUMNS))


def test_crops_of_two_frames_of_one_name_are_of_two_frames(tmp_path, two_frames):
    root, table = two_frames
    boxes = boxes_of(
        table, (0, (10, 10, 60, 60), "饭"), (0, (90, 10, 160, 80), "面"), (1, (5, 5, 50, 50), "饭")
    )
    made, refused = cropping.make(table, boxes, root, tmp_path, 1.0)
    stems = [path.rpartition("/")[2].removesuffix(".jpg") for path in made.path]
    frame_of = [names.frame_of(stem)[0] for stem in stems]
    assert refused == []
    assert frame_of[0] == frame_of[1]
    assert frame_of[0] != frame_of[2]


def test_a_crop_holds_the_pixels_of_its_box_upright(tmp_path, two_frames):
    root, table = two_frames
    boxes = boxes_of(table, (2, (10, 20, 50, 80), "饭"))
    made, _ = cropping.make(table, boxes, root, tmp_path, 1.0)
    crop = images.load_rgb(tmp_path / made.path[0])
    whole = images.load_rgb(root / "mon/turned.jpg").crop((10, 20, 50, 80))
    differences = [abs(a - b) for a, b in zip(crop.tobytes(), whole.tobytes(), strict=True)]
    assert crop.size == (40, 60)
    assert max(differences) < 24


def test_a_box_beside_the_photo_is_listed(tmp_path, two_frames):
    root, table = two_frames
    boxes = boxes_of(table, (0, (300, 10, 360, 60), "饭"), (0, (10, 10, 60, 60), "面"))
    made, refused = cropping.make(table, boxes, root, tmp_path, 1.0)
    assert made.label.tolist() == ["面"]
    assert refused == [
        ("mon/a.png", cropping.BAD_BOX, "its box lies beside the photo of 200 x 100 pixels")
    ]


def test_a_crop_that_is_there_is_kept(tmp_path, two_frames):
    root, table = two_frames
    boxes = boxes_of(table, (0, (10, 10, 60, 60), "饭"))
    first, _ = cropping.make(table, boxes, root, tmp_path, 1.0)
    for photo in root.rglob("*.png"):
        photo.unlink()
    again, refused = cropping.make(table, boxes, root, tmp_path, 1.0)
    assert refused == []
    assert again.equals(first)


def test_a_frame_that_has_gone_is_listed(tmp_path, two_frames):
    root, table = two_frames
    (root / "mon" / "a.png").unlink()
    boxes = boxes_of(table, (0, (10, 10, 60, 60), "饭"), (1, (10, 10, 60, 60), "饭"))
    made, refused = cropping.make(table, boxes, root, tmp_path, 1.0)
    assert len(made) == 1
    assert refused[0][:2] == ("mon/a.png", "missing")
