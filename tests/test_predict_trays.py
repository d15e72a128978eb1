"""`dishvl predict --detector`: the dishes of whole trays as text, JSON, a table and pictures."""

import json

import detection_toys
import numpy as np
import pytest
import tiny
import tray_toys
from PIL import Image
from toys import ORIENTATION
from tray_toys import MENU, SIZE

from dishvl_lib import cli, given_detector
from dishvl_lib.core import markers, params, records
from dishvl_lib.predict_trays import CSV_COLUMNS, NO_MENU
from dishvl_lib.vlm.recognizer import METADATA

pytest.importorskip("onnxruntime")
# The boxes of detection_toys on a photo of SIZE, left to right.
LEFT_TO_RIGHT = detection_toys.boxes_of(SIZE)[[2, 0, 1]]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two models, a detector, a menu and a tray."""
    folder = tmp_path_factory.mktemp("trays")
    for name, margin in (("best", 1.0), ("unknown", None)):
        best = tiny.base_folder(folder / name)
        records.write_json(best / METADATA, {"crop_margin": margin})
    found = detection_toys.v10(SIZE)
    detection_toys.fake(folder / "net.onnx", found, metadata=detection_toys.ULTRALYTICS)
    (folder / "menu.txt").write_text("\n".join(MENU), "utf-8")
    tray_toys.tray().save(folder / "tray.png")
    return folder


def predict(home, *words, model="best"):
    menu = ["--menu", str(home / "menu.txt")]
    given = ["--model", str(home / model), "--detector", str(home / "net.onnx")]
    return cli.main(["predict", *menu, *given, *words])


def rows_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_a_photo_and_a_line_a_dish(home, capsys):
    photo = str(home / "tray.png")
    assert predict(home, photo) == 0
    first, *dishes = capsys.readouterr().out.splitlines()
    assert first == f"{photo}\t3 dishes"
    boxes = [line.split("\t")[2] for line in dishes]
    assert boxes == [",".join(f"{side:.0f}" for side in box) for box in LEFT_TO_RIGHT]
    assert all("%" in line.split("\t")[3] for line in dishes)


def test_an_object_a_photo(home, capsys):
    assert predict(home, str(home / "tray.png"), "--json", "--top-k", "2") == 0
    (row,) = rows_of(capsys)
    assert set(row) == {"photo", "dishes", "review", "margin_is_proved"}
    assert row["margin_is_proved"]
    assert [dish["box"] for dish in row["dishes"]] == pytest.approx(LEFT_TO_RIGHT, abs=0.11)
    assert [dish["score"] for dish in row["dishes"]] == pytest.approx([0.6, 0.9, 0.8], abs=1e-3)
    for dish in row["dishes"]:
        assert set(dish) == {"box", "score", "answer", "share", "on_menu", "entries", "review"}
        assert dish["entries"][0] == [dish["answer"], dish["share"]]
        assert len(dish["entries"]) == 2


def test_a_photo_turned_by_exif_has_its_boxes_upright(home, tmp_path, capsys):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    tray_toys.tray().rotate(90, expand=True).save(tmp_path / "lies.png", exif=exif)
    photos = [str(tmp_path / "lies.png"), str(home / "tray.png")]
    predict(home, *photos, "--json")
    turned, plain = rows_of(capsys)
    for dish, same in zip(turned["dishes"], plain["dishes"], strict=True):
        assert dish["box"] == same["box"]
        assert dish["share"] == pytest.approx(same["share"], abs=1e-5)


def test_nothing_found_ends_with_1_and_costs_no_other_its_answer(home, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_text("no photo", "utf-8")
    table = tmp_path / "table.csv"
    photos = [str(tmp_path / "broken.jpg"), str(home / "tray.png")]
    assert predict(home, *photos, "--csv", str(table)) == 1
    captured = capsys.readouterr()
    assert "3 dishes" in captured.out
    assert "broken.jpg is not answered, the photo is not an image" in captured.err
    written = records.read_table(table, CSV_COLUMNS)
    assert written.dish.tolist() == ["", "1", "2", "3"]
    assert written.error.tolist()[1:] == ["", "", ""]
    assert set(written.answer[1:]) <= set(MENU)


def test_where_nothing_is_found_the_best_score_is_said(home, capsys):
    assert predict(home, str(home / "tray.png"), "--threshold", "0.95", "--json") == 1
    captured = capsys.readouterr()
    (row,) = [json.loads(line) for line in captured.out.splitlines()]
    sentence = "no dish found: the best box has a score of 0.90, the threshold is 0.95"
    assert row["error"] == sentence
    assert row["dishes"] == []
    assert row["review"] == [sentence]


def test_of_some_classes_alone(home, capsys):
    predict(home, str(home / "tray.png"), "--json", "--keep-labels", "bowl")
    (row,) = rows_of(capsys)
    assert [dish["score"] for dish in row["dishes"]] == pytest.approx([0.9], abs=1e-3)


def test_a_margin_that_is_not_known_is_asked_for(home, capsys):
    assert predict(home, str(home / "tray.png"), model="unknown") == 1
    assert "--crop-margin" in capsys.readouterr().err


def test_a_margin_that_is_not_proved_is_said_once(home, capsys):
    photos = [str(home / "tray.png")] * 2
    assert predict(home, *photos, "--crop-margin", "1.1", "--json", model="unknown") == 0
    captured = capsys.readouterr()
    assert captured.err.count("cropped by margin 1.1") == 1
    assert not json.loads(captured.out.splitlines()[0])["margin_is_proved"]


def test_a_tray_is_saved_with_its_dishes_marked(home, tmp_path):
    assert predict(home, str(home / "tray.png"), "--save", str(tmp_path / "marked.png")) == 0
    marked = Image.open(tmp_path / "marked.png")
    assert marked.size == SIZE
    changed = np.asarray(marked) != np.asarray(tray_toys.tray())
    assert changed.any(axis=2).mean() > 0.02


def test_several_are_saved_into_a_folder_each_under_a_name_of_its_own(home, tmp_path):
    (tmp_path / "b").mkdir()
    tray_toys.tray(3).save(tmp_path / "b" / "tray.png")
    photos = [str(home / "tray.png"), str(tmp_path / "b" / "tray.png")]
    assert predict(home, *photos, "--save", str(tmp_path / "marked")) == 0
    names = sorted(file.name for file in (tmp_path / "marked").iterdir())
    assert names == ["tray-2.jpg", "tray.jpg"]


@pytest.mark.parametrize(
    ("place", "words"),
    [("tray.png", "write over the photo"), ("marked.txt", "a picture's name ends in")],
)
def test_a_picture_that_cannot_be_saved_there_is_refused_first(home, capsys, place, words):
    before = (home / "tray.png").read_bytes()
    assert predict(home, str(home / "tray.png"), "--save", str(home / place)) == 1
    assert words in capsys.readouterr().err
    assert (home / "tray.png").read_bytes() == before


def test_a_tray_needs_a_menu(home, capsys):
    detector = ["--detector", str(home / "net.onnx")]
    assert cli.main(["predict", str(home / "tray.png"), *detector]) == 1
    assert NO_MENU in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--threshold", "0.5"), ("--crop-margin", "1"), ("--save", "marked.jpg")]
)
def test_what_belongs_to_a_detector_is_refused_without_one(home, capsys, words):
    assert cli.main(["predict", str(home / "tray.png"), *words]) == 1
    assert "--detector" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--crop-margin", "9"), ("--threshold", "0")])
def test_numbers_that_cannot_be_are_refused(home, capsys, words):
    with pytest.raises(SystemExit):
        predict(home, str(home / "tray.png"), *words)
    assert words[0] in capsys.readouterr().err


@pytest.fixture
def canteen(home, tmp_path, monkeypatch):
    """A run whose stage 00 has copied the detector; yields its marker's parameters."""
    monkeypatch.setenv("DISHVL_OUTPUTS", str(tmp_path))
    folder = tmp_path / "canteen" / "00_trays"
    (folder / "detector").mkdir(parents=True)
    (folder / "detector" / "detector.onnx").write_bytes((home / "net.onnx").read_bytes())
    values = {**params.defaults("00_trays"), "detector": "net.onnx"}
    return folder, values


def finish(folder, values):
    marker = {"stage": "00_trays", "parameters": values, "frames_root": "", "finished_at": ""}
    empty = {key: {} for key in ("inputs", "outputs", "counts", "cost")}
    records.write_json(folder / markers.SUCCESS, {**marker, **empty, "seconds": 1.0})


def test_a_run_lends_its_detector_as_its_stage_00_read_it(canteen):
    folder, values = canteen
    finish(folder, {**values, "detection_threshold": 0.7, "keep_labels": ["plate"]})
    detector = given_detector.GivenDetector("canteen").opened()
    assert detector.threshold == 0.7
    assert detector.keep_labels == ("plate",)


def test_what_the_command_says_counts_before_the_run(canteen):
    folder, values = canteen
    finish(folder, {**values, "detection_threshold": 0.7, "keep_labels": ["plate"]})
    given = given_detector.GivenDetector("canteen", threshold=0.4, keep_labels=["bowl"])
    assert given.opened().threshold == 0.4
    assert given.opened().keep_labels == ("bowl",)


def test_a_run_without_a_finished_stage_00_is_said(canteen):
    with pytest.raises(ValueError, match="run canteen has no detector"):
        given_detector.GivenDetector("canteen").opened()


def test_what_is_neither_a_file_nor_a_run_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("DISHVL_OUTPUTS", str(tmp_path))
    with pytest.raises(ValueError, match="nowhere is missing"):
        given_detector.GivenDetector("nowhere").opened()
