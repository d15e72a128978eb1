"""`dishvl crop`: dishes cut out of trays, once, whatever happens on the way."""

import detection_toys
import pytest
import tray_toys
from PIL import Image
from toys import ORIENTATION, tree_of
from tray_toys import SIZE

from dishvl_lib import cli, crop_folder
from dishvl_lib.core import artefacts, crops, images, names, records
from dishvl_lib.detection.detector import Detector

pytest.importorskip("onnxruntime")
BOXES = detection_toys.boxes_of(SIZE)  # best first


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    file = tmp_path_factory.mktemp("net") / "net.onnx"
    found = detection_toys.v10(SIZE)
    return detection_toys.fake(file, found, metadata=detection_toys.ULTRALYTICS)


@pytest.fixture
def trays(tmp_path):
    """Two trays, one in a folder below."""
    folder = tmp_path / "trays"
    (folder / "鱼").mkdir(parents=True)
    tray_toys.tray(0).save(folder / "a.png")
    tray_toys.tray(10).save(folder / "鱼" / "b.png")
    return folder


def crop(*words, net):
    return cli.main(["crop", *map(str, words), "--detector", str(net)])


def crops_of(out):
    return records.read_table(out / artefacts.CROPS_LIST, crop_folder.COLUMNS)


def left_out(out):
    table = records.read_table(out / crop_folder.LEFT_OUT, artefacts.LEFT_OUT_COLUMNS)
    return list(table.itertuples(index=False, name=None))


def test_each_box_becomes_a_photo_named_in_the_reference_s_form(trays, tmp_path, net):
    out = tmp_path / "out"
    assert crop(trays, out, net=net) == 0
    table = crops_of(out)
    assert table.frame.tolist() == ["a.png"] * 3 + ["鱼/b.png"] * 3
    assert table.score.astype(float).tolist() == pytest.approx([0.9, 0.8, 0.6] * 2, abs=1e-3)
    for row in table.itertuples():
        box = tuple(int(getattr(row, side)) for side in ("x1", "y1", "x2", "y2"))
        assert names.frame_of((out / row.path).stem) is not None
        assert f"${'_'.join(map(str, box))}#" in row.path
        assert Image.open(out / row.path).size == (box[2] - box[0], box[3] - box[1])
    assert left_out(out) == []


def test_a_crop_holds_the_pixels_of_its_box(trays, tmp_path, net):
    out = tmp_path / "out"
    crop(trays / "a.png", out, "--crop-margin", "0.8", net=net)
    first = crops_of(out).path[0]
    expected = crops.jpeg(crops.cut(tray_toys.tray(0), BOXES[0], 0.8))
    assert (out / first).read_bytes() == expected


def test_a_frame_turned_by_exif_is_cropped_upright(trays, tmp_path, net):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    tray_toys.tray(0).rotate(90, expand=True).save(trays / "a.png", exif=exif)
    out = tmp_path / "out"
    crop(trays / "a.png", out, net=net)
    cut = images.load_rgb(out / crops_of(out).path[0])
    assert cut.tobytes() == images.load_rgb(crops.jpeg(_first_crop())).tobytes()


def _first_crop():
    return crops.cut(tray_toys.tray(0), BOXES[0], 1.0)


def test_folders_below_the_one_that_is_given_are_kept(trays, tmp_path, net):
    (trays / "a.png").unlink()
    crop(trays, tmp_path / "out", net=net)
    assert crops_of(tmp_path / "out").frame.tolist() == ["鱼/b.png"] * 3
    crop(trays / "鱼", tmp_path / "other", net=net)
    assert crops_of(tmp_path / "other").frame.tolist() == ["b.png"] * 3


def test_frames_of_one_name_keep_apart(trays, tmp_path, net):
    tray_toys.tray(20).save(trays / "鱼" / "a.jpg", quality=95)
    out = tmp_path / "out"
    crop(trays, out, net=net)
    frames = {names.frame_of((out / path).stem) for path in crops_of(out).path}
    assert len(frames) == 3
    assert len(set(crops_of(out).path)) == 9


def test_frames_without_a_crop_are_listed(trays, tmp_path, net, capsys):
    (trays / "text.jpg").write_text("no photo", "utf-8")
    out = tmp_path / "out"
    assert crop(trays, out, "--threshold", "0.95", net=net) == 1
    rows = left_out(out)
    assert rows[0] == (
        "a.png",
        "no dish found",
        "the best box has a score of 0.90, the threshold is 0.95",
    )
    assert [row[:2] for row in rows][1] == ("text.jpg", "not an image")
    assert "3 frames have none, 1 of them" in capsys.readouterr().out


def test_one_that_was_killed_goes_on(trays, tmp_path, net, monkeypatch):
    out = tmp_path / "out"
    detect_image = Detector.detect_image
    seen = []

    def killed_at_the_second(detector, rgb):
        if seen:
            raise KeyboardInterrupt
        seen.append(rgb)
        return detect_image(detector, rgb)

    monkeypatch.setattr(Detector, "detect_image", killed_at_the_second)
    assert crop(trays, out, net=net) == 130
    assert not (out / artefacts.CROPS_LIST).exists()
    with open(out / crop_folder.DONE, "ab") as journal:
        journal.write(b'{"frame": "\xe9\xb1')  # as a kill leaves a line

    def counted(detector, rgb):
        seen.append(rgb)
        return detect_image(detector, rgb)

    monkeypatch.setattr(Detector, "detect_image", counted)
    assert crop(trays, out, net=net) == 0
    assert len(seen) == 2
    assert len(crops_of(out)) == 6


def test_one_that_is_finished_does_nothing(trays, tmp_path, net, capsys):
    out = tmp_path / "out"
    crop(trays, out, net=net)
    before = {path: (out / path).stat().st_mtime_ns for path in tree_of(out)}
    assert crop(trays, out, net=net) == 0
    assert "nothing is done" in capsys.readouterr().out
    assert {path: (out / path).stat().st_mtime_ns for path in tree_of(out)} == before


@pytest.mark.parametrize("words", [("--threshold", "0.7"), ("--crop-margin", "0.9")])
def test_other_crops_go_into_another_folder(trays, tmp_path, net, capsys, words):
    out = tmp_path / "out"
    crop(trays, out, net=net)
    before = tree_of(out)
    assert crop(trays, out, *words, net=net) == 1
    assert words[0].strip("-").replace("-", "_") in capsys.readouterr().err
    assert tree_of(out) == before


def test_more_frames_go_into_another_folder(trays, tmp_path, net, capsys):
    out = tmp_path / "out"
    crop(trays, out, net=net)
    tray_toys.tray(30).save(trays / "c.png")
    assert crop(trays, out, net=net) == 1
    assert "begun with another frames" in capsys.readouterr().err


def test_a_folder_with_other_things_is_left_alone(trays, tmp_path, net, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine", "utf-8")
    assert crop(trays, out, net=net) == 1
    assert "is not empty" in capsys.readouterr().err
    assert tree_of(out) == ["mine.txt"]


def test_crops_do_not_go_among_the_frames(trays, net, capsys):
    assert crop(trays, trays / "out", net=net) == 1
    assert "whose photos are cropped" in capsys.readouterr().err


def test_frames_that_are_not_there_are_said(tmp_path, net, capsys):
    (tmp_path / "empty").mkdir()
    assert crop(tmp_path / "empty", tmp_path / "out", net=net) == 1
    assert "holds no photo" in capsys.readouterr().err
    assert crop(tmp_path / "gone.jpg", tmp_path / "out", net=net) == 1
    assert "no photo" in capsys.readouterr().err


def test_it_needs_a_detector(trays, tmp_path, capsys):
    assert cli.main(["crop", str(trays), str(tmp_path / "out")]) == 1
    assert "crop needs --detector" in capsys.readouterr().err


def test_our_own_detector_s_margin_is_taken(trays, tmp_path, net, monkeypatch):
    made = Detector.load(net)
    made.crop_margin = 0.7
    monkeypatch.setattr(Detector, "load", lambda *_, **__: made)
    crop(trays / "a.png", tmp_path / "out", net=net)
    assert records.read_json(tmp_path / "out" / crop_folder.MADE_BY)["crop_margin"] == 0.7
