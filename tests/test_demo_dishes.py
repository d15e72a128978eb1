"""The drawn photo set: same bytes for the same seed, the promised names, crops, dirt and tables."""

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dishvl_lib.core.images import load_rgb
from dishvl_lib.core.names import LONG_FILE_PATTERN, SHORT_FILE_PATTERN, clean_folder_name
from dishvl_lib.demo.cards import empty_card
from dishvl_lib.demo.dishes import DISHES, LOOK_ALIKE_PAIRS, dish_card, draw_demo_photos, thumbnail
from dishvl_lib.demo.ingredients import BUILDERS
from dishvl_lib.demo.plating import PLATINGS

SOME = ("红烧鱼", "土豆丝", "红烧肉", "米饭", "素鸡(豆制品)")
CARD_FIELDS = [
    "name",
    "cuisine",
    "cooking_method",
    "ingredients",
    "calories",
    "serving_temperature",
    "flavor",
    "nutrients",
    "is_vegetarian",
    "allergens",
    "color",
    "shape",
    "associated_festival",
    "difficulty",
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "set"
    draw_demo_photos(folder, photos_per_dish=6, seed=5, processes=1, dishes=SOME)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_same_seed_gives_the_same_bytes_in_one_or_two_processes(tmp_path):
    for name, seed, processes in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        draw_demo_photos(
            tmp_path / name,
            photos_per_dish=2,
            seed=seed,
            processes=processes,
            dishes=("米饭", "红烧鱼"),
        )
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_every_dish_has_its_photos_in_folders_that_clean_to_its_name(drawn):
    counts: dict[str, int] = {}
    for path in (drawn / "photos").glob("*/*.jpg"):
        name = clean_folder_name(path.parent.name)
        counts[name] = counts.get(name, 0) + 1
    assert sum(counts.values()) == 6 * len(SOME) + 1, "one byte-identical duplicate is added"
    assert set(counts) == set(SOME)
    assert set(counts.values()) == {6, 7}
    assert len([folder for folder in (drawn / "photos").iterdir() if "红烧肉" in folder.name]) == 2


def test_file_names_come_in_both_forms(drawn):
    stems = [path.stem for path in (drawn / "photos").glob("*/*.jpg")]
    forms = (LONG_FILE_PATTERN, SHORT_FILE_PATTERN)
    used = [[bool(re.match(pattern, stem)) for pattern in forms] for stem in stems]
    assert all(sum(row) == 1 for row in used)
    assert all(any(column) for column in zip(*used, strict=True))


def test_a_third_of_the_photos_share_a_frame(tmp_path):
    draw_demo_photos(tmp_path / "set", photos_per_dish=40, processes=1, dishes=("卤豆干(豆制品)",))
    frames: dict[str, list[Path]] = {}
    for path in (tmp_path / "set" / "photos").glob("*/*.jpg"):
        if "0d0d0d0d0d0d" not in path.name:
            frames.setdefault(re.split(r"[$-]", path.stem)[0], []).append(path)
    shared = [paths for paths in frames.values() if len(paths) > 1]
    assert 0.15 < sum(map(len, shared)) / 40 < 0.55
    assert max(map(len, shared)) <= 3


def test_planted_dirt_is_what_the_list_says(drawn):
    planted = json.loads((drawn / "planted.json").read_text(encoding="utf-8"))
    assert set(planted) == {"truncated", "exif_rotated", "cmyk", "png_named_jpg", "duplicate"}
    with pytest.raises(OSError), Image.open(drawn / planted["truncated"]) as photo:
        photo.load()
    assert Image.open(drawn / planted["exif_rotated"]).getexif()[0x0112] == 6
    assert Image.open(drawn / planted["cmyk"]).mode == "CMYK"
    assert Image.open(drawn / planted["png_named_jpg"]).format == "PNG"
    same = [
        path
        for path, digest in digests(drawn / "photos").items()
        if digest == hashlib.sha256((drawn / planted["duplicate"]).read_bytes()).hexdigest()
    ]
    assert len(same) == 2
    assert len({Path(path).parent for path in same}) == 1


def test_thumbnails_match_every_readable_photo_upright(drawn):
    planted = json.loads((drawn / "planted.json").read_text(encoding="utf-8"))
    stored = np.load(drawn / "thumbnails.npz")
    on_disk = {path.relative_to(drawn).as_posix() for path in drawn.glob("*/*/*.jpg")}
    assert set(stored["paths"]) == on_disk
    assert len(stored["paths"]) == len(on_disk)
    for path, seen in zip(stored["paths"], stored["thumbnails"], strict=True):
        if path != planted["truncated"]:
            away = np.abs(thumbnail(load_rgb(drawn / path)).astype(int) - seen).mean()
            assert away < 3, f"{path} is {away:.1f} from its thumbnail"


def test_site_b_has_poor_folder_names_a_truth_and_a_menu(drawn):
    with open(drawn / "site_b_truth.csv", encoding="utf-8", newline="") as file:
        truth = {row["folder"]: row["name"] for row in csv.DictReader(file)}
    with open(drawn / "site_b_menu.csv", encoding="utf-8", newline="") as file:
        menu = [row["name"] for row in csv.DictReader(file)]
    assert set(truth) == {folder.name for folder in (drawn / "site_b").iterdir()}
    assert sorted(truth.values()) == sorted(menu) == sorted(set(menu) & set(SOME))
    assert not any(name in folder for folder, name in truth.items())


def test_an_unfinished_set_is_not_left_and_a_finished_one_not_overwritten(
    tmp_path, drawn, monkeypatch
):
    with pytest.raises(FileExistsError, match="exists already"):
        draw_demo_photos(drawn, photos_per_dish=1, processes=1, dishes=("米饭",))
    monkeypatch.setattr("dishvl_lib.demo.dishes._write_thumbnails", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_demo_photos(tmp_path / "set", photos_per_dish=1, processes=1, dishes=("米饭",))
    assert not (tmp_path / "set").exists()
    monkeypatch.undo()
    draw_demo_photos(tmp_path / "set", photos_per_dish=1, processes=1, dishes=("米饭",))
    assert (tmp_path / "set" / "thumbnails.npz").exists()
    assert not (tmp_path / "set.tmp").exists()


def test_an_unknown_dish_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="白切鸡"):
        draw_demo_photos(tmp_path / "set", dishes=("白切鸡",))


def test_cards_are_complete_and_in_the_agreed_fields():
    assert len(DISHES) >= 24
    assert set(DISHES) == set(PLATINGS)
    for name, dish in DISHES.items():
        assert list(dish.card) == CARD_FIELDS
        assert dish.card["name"] == name
        assert isinstance(dish.card["calories"], float)
        assert 10 < dish.card["calories"] < 500
        assert dish.card["is_vegetarian"] in ("是", "否")
        assert dish.card["ingredients"]
        assert dish.card["color"]
        assert 2 <= dish.introduction.count("。") <= 3, name
        numbers = re.findall(r"^(\d+)\. .+。$", dish.recipe, re.M)
        assert len(numbers) >= 4
        assert numbers == [str(n + 1) for n in range(dish.recipe.count("\n") + 1)]
    empty = {field: type(value)() for field, value in DISHES["米饭"].card.items()}
    assert empty_card("没有的菜") == empty | {"calories": None, "name": "没有的菜"}
    dish_card("米饭")["flavor"].append("辣")
    assert "辣" not in dish_card("米饭")["flavor"], (
        "a caller's change must not reach the library's card"
    )


def test_look_alikes_are_dishes_and_differ_in_what_lies_on_the_plate():
    assert len(LOOK_ALIKE_PAIRS) >= 8
    for first, second in LOOK_ALIKE_PAIRS:
        assert set(PLATINGS[first].pieces) != set(PLATINGS[second].pieces), (first, second)
    used = {piece for plating in PLATINGS.values() for piece in (*plating.pieces, *plating.garnish)}
    assert used <= set(BUILDERS)
