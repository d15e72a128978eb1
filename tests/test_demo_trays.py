"""Drawn trays: the same bytes for the same seed, boxes that fit what was drawn, turned photos."""

import json

import numpy as np
import pytest
from PIL import Image

from dishvl_lib.core import images
from dishvl_lib.demo import tray_scenes, tray_things, trays
from dishvl_lib.demo.cards import DISHES
from dishvl_lib.demo.drawing import Lamp, unit_rgb
from dishvl_lib.demo.plating import CANTEEN, PLATINGS
from dishvl_lib.detection import labels

N = 12
LAMP = Lamp(0.5, 1.0, np.ones(3, np.float32), 0.3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trays") / "set"
    trays.draw_demo_trays(folder, n=N, seed=3, processes=1)
    return folder


@pytest.fixture(scope="module")
def read(drawn):
    return labels.read(drawn / trays.LABELS, drawn / trays.FRAMES)


def content(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_the_same_seed_draws_the_same_bytes_in_any_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(trays, "TRAYS_PER_JOB", 1)
    few = ["米饭", "红烧鱼"]
    trays.draw_demo_trays(tmp_path / "one", n=2, seed=3, dishes=few, processes=1)
    trays.draw_demo_trays(tmp_path / "two", n=2, seed=3, dishes=few, processes=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_seed_draws_other_trays(drawn, tmp_path):
    trays.draw_demo_trays(tmp_path / "other", n=1, seed=4, processes=1)
    first = "frames/tray_0000.jpg"
    assert (tmp_path / "other" / first).read_bytes() != (drawn / first).read_bytes()


def test_every_tray_has_labels_that_are_read_without_a_fault(read):
    assert len(read.frames) == N
    assert read.left_out == []


def test_boxes_lie_on_the_upright_photo(drawn, read):
    for frame in read.frames:
        photo = images.load_rgb(drawn / trays.FRAMES / frame.path)
        assert photo.size == (tray_scenes.WIDTH, tray_scenes.HEIGHT)
        assert (frame.width, frame.height) == photo.size
        assert frame.boxes.min() >= 0
        assert (frame.boxes[:, 2:] <= photo.size).all()


def test_a_tray_has_up_to_six_dishes_and_none_twice(read):
    for frame in read.frames:
        assert 1 <= len(frame.labels) <= tray_scenes.MOST_DISHES
        assert len(set(frame.labels)) == len(frame.labels)
        assert set(frame.labels) <= set(DISHES)


def test_plates_are_large_enough_to_tell_what_is_on_them(read):
    sides = np.concatenate([frame.boxes[:, 2:] - frame.boxes[:, :2] for frame in read.frames])
    assert sides.min() >= 100


def test_some_photos_lie_turned_in_their_files(drawn):
    orientations = []
    for file in (drawn / trays.FRAMES).glob("*.jpg"):
        with Image.open(file) as photo:
            orientations.append(photo.getexif().get(trays.ORIENTATION, 1))
    assert set(orientations) > {1}
    assert set(orientations) <= {1, *trays.STORED}


@pytest.mark.parametrize("orientation", list(trays.STORED))
def test_a_turned_photo_is_read_upright(tmp_path, orientation):
    upright = Image.fromarray(np.arange(8 * 8 * 6 * 8 * 3, dtype=np.uint8).reshape(48, 64, 3))
    exif = Image.Exif()
    exif[trays.ORIENTATION] = orientation
    stored = upright.transpose(trays.STORED[orientation])
    stored.save(tmp_path / "turned.png", exif=exif)
    assert images.load_rgb(tmp_path / "turned.png").tobytes() == upright.tobytes()


def test_a_set_that_is_there_is_left_as_it_is(drawn):
    before = (drawn / trays.LABELS).stat().st_mtime_ns
    trays.draw_demo_trays(drawn, n=N, seed=3, processes=1)
    assert (drawn / trays.LABELS).stat().st_mtime_ns == before


def test_a_folder_of_something_else_is_refused(drawn, tmp_path):
    with pytest.raises(FileExistsError, match="holds something else"):
        trays.draw_demo_trays(drawn, n=N, seed=4, processes=1)
    with pytest.raises(FileExistsError, match="holds something else"):
        trays.draw_demo_trays(tmp_path, n=N, seed=3, processes=1)


def test_a_dish_that_is_not_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no drawn dish is called '没有'"):
        trays.draw_demo_trays(tmp_path / "set", dishes=["没有"])


def test_trays_of_random_recipes_hold_dishes_without_names(tmp_path):
    trays.draw_recipe_trays(tmp_path / "set", n=2, processes=1)
    content = json.loads((tmp_path / "set" / trays.LABELS).read_text("utf-8"))
    assert content["categories"] == [{"id": 1, "name": trays.DISH}]
    assert content["annotations"]


@pytest.mark.parametrize("plating", [None, PLATINGS["米饭"], PLATINGS["番茄蛋汤"]])
def test_a_vessel_reaches_to_the_sides_of_its_box(plating):
    rng = np.random.default_rng(0)
    thing = tray_things.vessel(rng, LAMP, CANTEEN, plating, (150, 140), is_deep=False)
    assert thing.light.shape == (140, 150, 3)
    columns = np.flatnonzero((thing.cover > 0.5).any(axis=0))
    rows = np.flatnonzero((thing.cover > 0.5).any(axis=1))
    assert columns[0] <= 2
    assert columns[-1] >= 147
    assert rows[0] <= 2
    assert rows[-1] >= 137
    assert thing.cover[0, 0] == 0


@pytest.mark.parametrize("name", ["红烧鱼", "番茄蛋汤", "米饭"])
@pytest.mark.parametrize("size", [(90, 400), (320, 140), (200, 200)])
def test_a_compartment_of_any_form_is_filled(name, size):
    metal = unit_rgb(tray_things.STEEL)
    rng = np.random.default_rng(0)
    thing = tray_things.compartment(rng, LAMP, metal, PLATINGS[name], size)
    assert thing.cover.shape == size[::-1]
    assert thing.cover[size[1] // 2, size[0] // 2] == 1


def test_things_cast_shadows_away_from_the_lamp():
    scene = tray_scenes.Scene(np.random.default_rng(0), CANTEEN)
    scene.lamp = Lamp(0.0, 0.8, np.ones(3, np.float32), 0.0)
    scene.light[:] = 0.5
    thing = tray_things.slab(scene.lamp, (255, 255, 255), (80, 80), 0.0, rise=16, corner=3)
    where = scene.put(thing, 400, 300)
    middle = round((where.top + where.bottom) / 2)
    to_the_left = scene.light[middle, round(where.left) - 4, 0]
    to_the_right = scene.light[middle, round(where.right) + 12, 0]
    assert to_the_left < 0.45
    assert to_the_right == pytest.approx(0.5)


def test_a_thing_that_hangs_over_the_edge_is_cut():
    scene = tray_scenes.Scene(np.random.default_rng(0), CANTEEN)
    thing = tray_things.slab(scene.lamp, (255, 255, 255), (80, 80), 0.3, rise=4, corner=3)
    scene.put(thing, -40, tray_scenes.HEIGHT - 30)
    white = unit_rgb((255, 255, 255)) * scene.lamp.on_flat()
    assert scene.light[tray_scenes.HEIGHT - 1, 5] == pytest.approx(white, abs=1e-5)
