"""`dishvl predict`: every photo that can be read is answered, menus are read as people write
them.
"""

import json
import subprocess
import sys

import pytest
import tiny

from dishvl_lib import cli
from dishvl_lib.core import paths, records
from dishvl_lib.predict import CSV_COLUMNS


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return tiny.base_folder(tmp_path_factory.mktemp("best"))


def test_a_broken_photo_costs_no_other_its_answer(best, tmp_path, capsys):
    good, broken, last = (tmp_path / name for name in ("good.png", "broken.jpg", "last.png"))
    tiny.photo(1).save(good)
    tiny.photo(2).save(last)
    broken.write_bytes(b"<html>")
    menu = tmp_path / "menu.txt"
    menu.write_bytes("\ufeff红烧鱼\r\n\r\n麻婆豆腐\r\n".encode())
    assert (
        cli.main(
            [
                "predict",
                str(good),
                str(broken),
                str(last),
                "--menu",
                str(menu),
                "--model",
                str(best),
            ]
        )
        == 1
    )
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == [str(good), str(last)]
    assert all("红烧鱼" in line and "麻婆豆腐" in line for line in captured.out.splitlines())
    assert f"{broken} is not answered, the photo is not an image" in captured.err
    assert cli.main(["predict", str(good), "--model", str(best)]) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xff\xff\n", "neither UTF-8 nor GB18030"),
        (b"\n \n", "the menu is empty"),
        ("鱼\n鱼 \n".encode(), "there twice"),
    ],
)
def test_a_menu_that_cannot_be_used(tmp_path, capsys, content, words):
    (tmp_path / "menu.txt").write_bytes(content)
    assert (
        cli.main(["predict", "x.jpg", "--menu", str(tmp_path / "menu.txt"), "--model", "none"]) == 1
    )
    assert words in capsys.readouterr().err


def test_prices_are_shown_and_not_read(best, tmp_path, capsys):
    tiny.photo(1).save(tmp_path / "a.png")
    (tmp_path / "menu.txt").write_bytes("1. 红烧鱼 ￥12\n2. 麻婆豆腐 8元\n".encode("gbk"))
    (tmp_path / "bare.txt").write_text("红烧鱼\n麻婆豆腐\n", "utf-8")
    shown = []
    for menu in ("menu.txt", "bare.txt"):
        photo = str(tmp_path / "a.png")
        cli.main(["predict", photo, "--menu", str(tmp_path / menu), "--model", str(best)])
        shown.append(capsys.readouterr().out)
    priced, bare = shown
    assert "1. 红烧鱼 ￥12" in priced
    assert (
        priced.replace("1. ", "").replace(" ￥12", "").replace("2. ", "").replace(" 8元", "")
        == bare
    )


@pytest.fixture
def folder(tmp_path):
    """Two photos, and a text file that calls itself one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    tiny.photo(1).save(photos / "b.png")
    tiny.photo(2).save(photos / "a.png")
    (photos / "c.jpg").write_text("no photo", "utf-8")
    (tmp_path / "menu.txt").write_text("=红烧鱼\n麻婆豆腐\n土豆丝\n", "utf-8")
    return photos


def test_a_folder_is_answered_as_json_and_as_a_table(best, folder, tmp_path, capsys):
    table = tmp_path / "answers.csv"
    flags = ["--menu", str(tmp_path / "menu.txt"), "--top-k", "2", "--csv", str(table), "--json"]
    assert cli.main(["predict", str(folder), "--model", str(best), *flags]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["photo"] for row in rows] == [
        str(folder / name) for name in ("a.png", "b.png", "c.jpg")
    ]
    for row in rows[:2]:
        assert len(row["entries"]) == 2
        assert row["answer"] in ("=红烧鱼", "麻婆豆腐", "土豆丝", None)
        assert "shown" not in row
    assert "not an image" in rows[2]["error"]
    written = records.read_table(table, CSV_COLUMNS)
    assert written.photo.tolist() == [row["photo"] for row in rows]
    assert written.answer.tolist() == [row.get("answer") or "" for row in rows]
    assert written.error.tolist()[:2] == ["", ""]


def test_names_are_answered_as_json(best, folder, capsys):
    assert cli.main(["predict", str(folder / "a.png"), "--model", str(best), "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert set(row) == {"photo", "name"}


def test_what_is_wrong_is_said_before_anything_heavy_is_loaded(folder, tmp_path):
    (tmp_path / "twice.txt").write_text("鱼\n鱼\n", "utf-8")
    photo = str(folder / "a.png")
    for words, sentence in (
        ([photo, "--menu", str(tmp_path / "twice.txt")], "there twice"),
        ([photo, "--menu", str(tmp_path / "none.txt")], "none.txt"),
        ([str(tmp_path / "gone.jpg")], "no photo"),
    ):
        code = (
            "import sys; from dishvl_lib import cli; "
            f"status = cli.main(['predict', *{words!r}, '--model', 'none']); "
            "print(status, 'torch' in sys.modules)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, cwd=paths.PROJECT_ROOT)
        assert done.stdout.strip() == "1 False", done.stderr
        assert sentence in done.stderr
