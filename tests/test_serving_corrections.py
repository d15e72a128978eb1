"""`POST /v1/corrections`: photos in folders of their right dishes, and a table of what was said."""

import pytest
import serving_toys
from gallery_toys import striped
from serving_toys import error_of
from toys import encoded

paddle = pytest.importorskip("paddle")

from dishvl_lib import cli  # noqa: E402
from dishvl_lib.core import records  # noqa: E402

PHOTO = encoded(striped(7, 1), "PNG")


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return serving_toys.model_folder(tmp_path_factory.mktemp("run"))


@pytest.fixture
def client(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "corrections"


def correct(client, photo=PHOTO, **fields):
    return client.post("/v1/corrections", files={"photo": photo}, data=fields)


def test_a_photo_is_kept_under_its_right_dish_with_a_row(client, folder):
    response = correct(client, right_dish="凉拌 鸡胗。", answer="=红烧鱼", site="north")
    kept = response.json()
    assert response.status_code == 201
    assert kept["right_dish"] == "凉拌 鸡胗"
    assert (folder / kept["photo"]).read_bytes() == PHOTO
    (row,) = records.read_table(folder / "corrections.csv").to_dict("records")
    said = {key: row[key] for key in ("photo", "site", "answer", "right_dish")}
    assert said == {
        "photo": kept["photo"],
        "site": "north",
        "answer": "=红烧鱼",
        "right_dish": "凉拌 鸡胗",
    }
    assert row["time"]


def test_what_cannot_stand_in_a_table_is_left_out_of_it(client, folder):
    correct(client, right_dish="米饭", answer="红\x00烧\x1b鱼")
    assert records.read_table(folder / "corrections.csv").answer.tolist() == ["红烧鱼"]


def test_the_folder_of_a_dish_goes_to_dish_add(client, folder, best, capsys):
    for number in range(3):
        correct(client, encoded(striped(7, number)), right_dish="凉拌鸡胗")
    assert {file.suffix for file in (folder / "凉拌鸡胗").iterdir()} == {".jpg"}
    given = str(folder / "凉拌鸡胗")
    assert cli.main(["dish", "add", "凉拌鸡胗", given, "--yes", "--model", str(best)]) == 0
    assert "3 photos added" in capsys.readouterr().out


def test_a_photo_that_is_corrected_again_moves(client, folder):
    first = correct(client, right_dish="红烧鱼").json()
    correct(client, right_dish="红烧鱼")
    second = correct(client, right_dish="米饭").json()
    assert not (folder / first["photo"]).parent.exists()
    assert (folder / second["photo"]).read_bytes() == PHOTO
    rows = records.read_table(folder / "corrections.csv")
    assert rows.right_dish.tolist() == ["红烧鱼", "红烧鱼", "米饭"]


@pytest.mark.parametrize(
    "dish",
    [
        "../evil",
        "a/b",
        "..",
        " ",
        "corrections\\x",
        "x" * 61,
        "红烧鱼、米饭",
        ".hidden/",
        "corrections.csv",
    ],
)
def test_a_name_that_can_be_no_folder_stores_nothing(client, folder, dish):
    response = correct(client, right_dish=dish)
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_value")
    assert not folder.exists()


def test_what_is_no_photo_stores_nothing(client, folder):
    response = correct(client, b"<html>", right_dish="米饭")
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_photo")
    assert not folder.exists()


@pytest.mark.parametrize("fields", [{}, {"right_dish": "1" * 900_000}])
def test_the_right_dish_must_be_said_in_few_words(client, fields):
    response = correct(client, **fields)
    assert response.status_code == 422
    assert "right_dish" in error_of(response)["message"]
