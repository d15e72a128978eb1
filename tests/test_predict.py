"""`dishvl predict`: every photo that can be read is answered, menus are read as people write
them.
"""

import pytest
import tiny

from dishvl_lib import cli


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
