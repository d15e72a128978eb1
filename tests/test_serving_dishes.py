"""`/v1/dishes`: the gallery is changed through the service, and what changed it elsewhere is
seen.
"""

import shutil

import pytest
import serving_toys
from gallery_toys import DISHES, NEW, photo_files, striped
from serving_toys import MENU, error_of
from toys import encoded

paddle = pytest.importorskip("paddle")

from dishvl_lib import Gallery, cli  # noqa: E402
from dishvl_lib.core import records  # noqa: E402
from dishvl_lib.gallery import store  # noqa: E402

PHOTO_OF_NEW = encoded(striped(7, 90), "PNG")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    serving_toys.model_folder(folder)
    return folder


@pytest.fixture
def best(made, tmp_path):
    shutil.copytree(made / "04_training", tmp_path / "04_training")
    return tmp_path / "04_training" / "best"


@pytest.fixture
def client(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as opened:
        yield opened


def photos(dish, count, first=0):
    return [("photos", encoded(striped(dish, first + number), "PNG")) for number in range(count)]


def add(client, name=NEW, files=None, **fields):
    return client.post(f"/v1/dishes/{name}", files=files or photos(7, 5), data=fields)


def named(client):
    return client.post("/v1/recognise", files={"photo": PHOTO_OF_NEW}).json()["name"]


def listed(client):
    return [dish["name"] for dish in client.get("/v1/dishes").json()["dishes"]]


def test_a_dish_that_is_added_is_answered_from_then_on_and_one_that_is_removed_is_not(client, best):
    assert listed(client) == sorted(DISHES)
    added = add(client, confirm="true").json()
    assert (added["name"], added["n_added"], added["n_photos"]) == (NEW, 5, 5)
    assert added["closest"][0]["dish"] in DISHES
    assert listed(client) == [*sorted(DISHES), NEW]
    assert named(client) == NEW
    removed = client.delete(f"/v1/dishes/{NEW}").json()
    assert removed == {"name": NEW, "n_photos": 5}
    assert named(client) != NEW
    assert len(Gallery.load(best.parent / "gallery")) == len(DISHES)


def test_a_change_on_the_command_line_is_seen(client, best, tmp_path, capsys):
    assert named(client) != NEW
    photo_files(tmp_path / "new", 7, 5)
    assert cli.main(["dish", "add", NEW, str(tmp_path / "new"), "--yes", "--model", str(best)]) == 0
    assert named(client) == NEW
    assert client.get("/v1/model").json()["gallery"] == {"n_dishes": 4, "revision": 2}


def test_what_should_be_looked_at_is_409_with_what_was_seen(client, made):
    response = add(client, DISHES[1], photos(7, 2))
    error = error_of(response)
    assert (response.status_code, error["code"]) == (409, "look_first")
    (doubt,) = [doubt for doubt in error["doubts"] if doubt["kind"] == "name"]
    assert doubt["dish"] == DISHES[1]
    assert doubt["picture"].startswith("data:image/jpeg;base64,")
    assert "confirm=true" in error["message"]
    assert listed(client) == sorted(DISHES)


def test_a_twin_and_a_look_alike_are_doubts_too(client):
    error = error_of(add(client, NEW, photos(1, 3)))
    kinds = {doubt["kind"] for doubt in error["doubts"]}
    assert kinds == {"twin", "look-alike"}
    assert {doubt["photo"] for doubt in error["doubts"]} == {1, 2, 3, None}


@pytest.mark.parametrize("where", ["field", "address"])
def test_confirmed_it_is_added_all_the_same(client, where):
    fields = {"confirm": "true"} if where == "field" else {}
    address = "" if where == "field" else "?confirm=true"
    added = add(client, DISHES[1] + address, photos(7, 2), **fields)
    assert added.json()["n_photos"] == 6


def test_a_photo_that_cannot_be_read_is_said_and_the_others_are_added(client):
    files = [*photos(7, 2), ("photos", b"<html>")]
    added = add(client, files=files, confirm="true").json()
    assert added["n_added"] == 2
    assert "not an image" in added["left_out"][0]["reason"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (NEW, [("photos", b"<html>")]),
        ("%20", None),
        ("红烧鱼、米饭", None),
        ("x" * 61, None),
        ("1" * 9000, None),
    ],
)
def test_what_can_be_no_dish_is_422(client, name, files):
    response = add(client, name, files)
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_dish")


def test_an_unknown_dish_is_404(client):
    response = client.delete("/v1/dishes/没有/这道菜")
    assert (response.status_code, error_of(response)["code"]) == (404, "unknown_dish")


def test_without_a_gallery_it_is_said_how_to_get_one_and_one_that_comes_is_used(client, best):
    gallery = best.parent / "gallery"
    gallery.rename(best.parent / "away")
    for response in (client.get("/v1/dishes"), add(client), client.delete("/v1/dishes/x")):
        assert (response.status_code, error_of(response)["code"]) == (404, "no_gallery")
    assert "dishvl run PROFILE --from 05" in error_of(client.get("/v1/dishes"))["message"]
    assert client.get("/v1/model").json()["gallery"] is None
    (best.parent / "away").rename(gallery)
    assert listed(client) == sorted(DISHES)


def test_with_no_gallery_the_model_alone_answers(best, tmp_path):
    served = serving_toys.service(best, tmp_path, use_gallery=False)
    with serving_toys.client(served) as client:
        assert "--no-gallery" in error_of(client.get("/v1/dishes"))["message"]
        alone = served.model.recognizer.name(PHOTO_OF_NEW)
        assert named(client) == alone


def test_a_gallery_that_is_damaged_later_leaves_the_old_one_answering(client, best, caplog):
    before = client.post("/v1/recognise", files={"photo": PHOTO_OF_NEW}, data={"menu": MENU[0]})
    records.write_json(best.parent / "gallery" / store.MANIFEST, {"format": 1})
    after = client.post("/v1/recognise", files={"photo": PHOTO_OF_NEW}, data={"menu": MENU[0]})
    assert after.json()["choice"] == before.json()["choice"]
    assert "the old one stays" in caplog.text
