"""`dishvl dish add | remove | list`, and `dishvl predict` with what they change."""

import builtins
import shutil

import pytest
import tiny
from gallery_toys import DISHES, NEW, contents, gallery_folder, photo_files, striped

paddle = pytest.importorskip("paddle")

from dishvl_lib import cli  # noqa: E402
from dishvl_lib.core import records  # noqa: E402
from dishvl_lib.vlm.recognizer import METADATA, model_fingerprint  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model's folder with a gallery beside it."""
    best = tiny.base_folder(tmp_path_factory.mktemp("run") / "best")
    records.write_json(best / METADATA, {"temperature": 1.0})
    gallery_folder(best.parent / "gallery", model=model_fingerprint(best))
    return best.parent


@pytest.fixture
def best(made, tmp_path):
    return shutil.copytree(made, tmp_path / "04_training") / "best"


def dish(*arguments, best):
    return cli.main(["dish", *map(str, arguments), "--model", str(best)])


@pytest.fixture
def new_photos(tmp_path):
    photo_files(tmp_path / "new", 7, 5)
    return tmp_path / "new"


def test_add_list_remove(best, new_photos, capsys):
    assert dish("add", NEW, new_photos, "--yes", best=best) == 0
    assert f"{NEW}: 5 photos added, 5 registered in all" in capsys.readouterr().out
    dish("list", best=best)
    listed = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{NEW}\t5 photos\tadded ") for line in listed)
    assert f"{DISHES[0]}\t4 photos\tfrom the run" in listed
    assert dish("remove", NEW, best=best) == 0
    assert f"{NEW}: removed with its 5 photos; 3 dishes are left" in capsys.readouterr().out
    assert NEW not in contents(best.parent / "gallery")


def test_the_most_similar_dishes_are_shown(best, new_photos, capsys):
    dish("add", NEW, new_photos, "--yes", best=best)
    assert "most similar dishes (cosine): " in capsys.readouterr().out


def test_where_nobody_can_be_asked_a_doubt_refuses_and_shows_pictures(best, new_photos, capsys):
    assert dish("add", DISHES[1], new_photos, best=best) == 1
    captured = capsys.readouterr()
    page = best.parent / "gallery" / "before_adding.html"
    assert f"look first: there is a dish called {DISHES[1]}" in captured.out
    assert f"pictures: {page}" in captured.out
    assert "was not added" in captured.err
    assert "--yes" in captured.err
    assert page.read_text("utf-8").count("data:image/jpeg") == 6
    assert contents(best.parent / "gallery")[DISHES[1]] == 4


@pytest.mark.parametrize(("said", "photos"), [("y", 9), ("n", 4), ("", 4), ("是", 9)])
def test_at_a_terminal_it_is_asked(best, new_photos, monkeypatch, said, photos):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda prompt: said)
    dish("add", DISHES[1], new_photos, best=best)
    assert contents(best.parent / "gallery")[DISHES[1]] == photos


def test_a_name_in_the_page_of_pictures_is_no_markup(best, new_photos, made):
    name = "<script>鱼"
    twin = made / "registered" / "1_2.png"
    assert dish("add", name, twin, best=best) == 1
    page = (best.parent / "gallery" / "before_adding.html").read_text("utf-8")
    assert "<script>鱼" not in page
    assert "&lt;script&gt;鱼" in page


def test_a_bad_photo_is_said_and_the_others_are_added(best, new_photos, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"<html>")
    assert dish("add", NEW, broken, new_photos, "--yes", best=best) == 1
    assert f"{broken} is left out, the photo is not an image" in capsys.readouterr().err
    assert contents(best.parent / "gallery")[NEW] == 5


def test_a_folder_without_photos_is_said(best, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert dish("add", NEW, tmp_path / "empty", best=best) == 1
    assert "holds no photo" in capsys.readouterr().err


def test_without_a_gallery_it_is_said_what_makes_one(best, new_photos, capsys):
    shutil.rmtree(best.parent / "gallery")
    assert dish("add", NEW, new_photos, best=best) == 1
    assert "Stage 05 makes it" in capsys.readouterr().err


def test_a_gallery_s_own_folder_can_be_given(best, capsys):
    assert dish("list", best=best.parent / "gallery") == 0
    assert "3 dishes in" in capsys.readouterr().out


def predicted(capsys, *arguments):
    assert cli.main(["predict", *map(str, arguments)]) == 0
    return capsys.readouterr().out.split("\t")[1].strip()


def test_predict_uses_the_gallery_unless_it_is_turned_off(best, new_photos, tmp_path, capsys):
    dish("add", NEW, new_photos, "--yes", best=best)
    capsys.readouterr()
    striped(7, 50).save(tmp_path / "a.png")
    menu = tmp_path / "menu.txt"
    menu.write_text("\n".join([*DISHES, NEW]), "utf-8")
    photo = tmp_path / "a.png"
    alone = predicted(capsys, photo, "--menu", menu, "--model", best, "--no-gallery")
    assert predicted(capsys, photo, "--menu", menu, "--model", best).startswith(NEW)
    assert predicted(capsys, photo, "--model", best) == NEW
    shutil.rmtree(best.parent / "gallery")
    assert predicted(capsys, photo, "--menu", menu, "--model", best) == alone
