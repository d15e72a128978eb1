"""`POST /v1/recognise` with `detect`: whole trays through the service."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import serving_toys
import tiny
import tray_toys
from PIL import Image
from serving_toys import WRITTEN_MENU, error_of
from toys import ORIENTATION, encoded
from tray_toys import MENU, SIZE, ToyDetector

pytest.importorskip("paddle")

from dishvl_lib import Hybrid, Trays, serve
from dishvl_lib.core import records
from dishvl_lib.given_detector import GivenDetector
from dishvl_lib.serving import limits, service
from dishvl_lib.trays import TrayError
from dishvl_lib.vlm.recognizer import METADATA

CLOSE = 1e-5
PHOTO = encoded(tray_toys.tray(), "PNG")


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A model with a gallery beside it, trained on crops of margin 1.1."""
    folder = serving_toys.model_folder(tmp_path_factory.mktemp("run"), with_gallery=False)
    records.write_json(folder / METADATA, {"temperature": 1.0, "crop_margin": 1.1})
    serving_toys.add_gallery(folder)
    return folder


@pytest.fixture
def detector():
    return ToyDetector()


@pytest.fixture
def served(best, detector, tmp_path):
    return serving_toys.service(best, tmp_path, detector=detector)


@pytest.fixture
def client(served):
    with serving_toys.client(served) as opened:
        opened.put("/v1/menus/north", json={"entries": WRITTEN_MENU})
        yield opened


def detect(client, photo=PHOTO, **fields):
    return client.post("/v1/recognise", files={"photo": photo}, data={"detect": "true", **fields})


def test_a_tray_is_answered_as_in_python(client, served, detector):
    answer = detect(client, site="north").json()
    hybrid = served.model.answers()
    assert isinstance(hybrid, Hybrid)
    expected = Trays(detector, hybrid).recognise(PHOTO, WRITTEN_MENU)
    assert answer["name"] is None
    assert answer["choice"] is None
    assert answer["site"] == "north"
    assert answer["tray"]["size"] == list(SIZE)
    assert answer["tray"]["margin_is_proved"]
    for dish, same in zip(answer["tray"]["dishes"], expected.dishes, strict=True):
        assert dish["box"] == pytest.approx(same.box)
        assert dish["score"] == pytest.approx(same.score)
        assert dish["review"] == list(same.review)
        assert dish["choice"]["answer"] == same.choice.answer
        given = {entry["entry"]: entry["probability"] for entry in dish["choice"]["entries"]}
        assert given == pytest.approx(dict(same.choice.entries), abs=CLOSE)


def test_entries_stand_as_they_are_written_beside_what_is_read(client):
    (first, *_) = detect(client, site="north").json()["tray"]["dishes"]
    entries = {entry["entry"]: entry["name"] for entry in first["choice"]["entries"]}
    assert entries == dict(zip(WRITTEN_MENU, MENU, strict=True))


def test_json_says_the_same(client):
    url = f"data:image/png;base64,{base64.b64encode(PHOTO).decode()}"
    body = {"photo": url, "menu": MENU, "detect": True}
    as_json = client.post("/v1/recognise", json=body).json()["tray"]
    in_form = detect(client, menu="\n".join(MENU)).json()["tray"]
    assert [dish["box"] for dish in as_json["dishes"]] == [d["box"] for d in in_form["dishes"]]


def test_the_dishes_of_a_tray_share_a_pass(client, monkeypatch):
    passes = tray_toys.count_passes(monkeypatch)
    detect(client, site="north")
    assert passes == [3]


def test_trays_and_photos_at_once_are_answered_as_alone(client):
    alone = detect(client, site="north").json()["tray"]
    with ThreadPoolExecutor(6) as clients:
        jobs = [clients.submit(detect, client, site="north") for _ in range(6)]
        single = {"files": {"photo": PHOTO}, "data": {"site": "north"}}
        others = [clients.submit(client.post, "/v1/recognise", **single) for _ in range(6)]
    for job in jobs:
        tray = job.result().json()["tray"]
        for dish, same in zip(tray["dishes"], alone["dishes"], strict=True):
            assert dish["choice"]["answer"] == same["choice"]["answer"]
    assert {other.result().json()["tray"] for other in others} == {None}


def test_the_detector_runs_beside_the_thread_of_the_model(client, detector, monkeypatch):
    threads = []
    find = detector.detect_image

    def noted(rgb):
        threads.append(threading.current_thread().name.split("_")[0])
        return find(rgb)

    monkeypatch.setattr(detector, "detect_image", noted)
    detect(client, site="north")
    assert threads == ["decoder"]


def test_where_nothing_is_found_that_is_for_review(client, detector):
    detector.scores = [0.2, 0.1, 0.1]
    tray = detect(client, site="north").json()["tray"]
    assert tray["dishes"] == []
    assert tray["review"] == [
        "no dish found: the best box has a score of 0.20, the threshold is 0.25"
    ]
    assert client.get("/health").json() == {"status": "ready"}


def test_a_photo_turned_by_exif_is_answered_upright(client):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    lying = encoded(tray_toys.tray().rotate(90, expand=True), "PNG", exif=exif)
    turned = detect(client, lying, site="north").json()["tray"]
    plain = detect(client, site="north").json()["tray"]
    assert turned["size"] == list(SIZE)
    for dish, same in zip(turned["dishes"], plain["dishes"], strict=True):
        assert dish["box"] == same["box"]
        first, second = (d["choice"]["entries"][0]["probability"] for d in (dish, same))
        assert first == pytest.approx(second, abs=CLOSE)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "detect: a tray's dishes are chosen from a menu"),
        ({"menu": "米饭", "naming": "true"}, "naming: with detect"),
        ({"menu": "米饭\n米饭"}, "twice"),
        ({"menu": "米饭", "detect": "perhaps"}, "detect"),
    ],
)
def test_fields_that_do_not_go_together_are_422(client, fields, words):
    response = detect(client, **fields)
    assert response.status_code == 422
    assert words in error_of(response)["message"]


def test_a_photo_that_cannot_be_read_is_said(client):
    response = detect(client, b"no photo", site="north")
    assert response.status_code == 422
    assert error_of(response)["code"] == "bad_photo"


def test_more_dishes_than_a_tray_holds_are_refused(client, monkeypatch):
    monkeypatch.setattr(service, "MAX_TRAY_DISHES", 2)
    response = detect(client, site="north")
    assert response.status_code == 422
    assert "finds 3 dishes" in error_of(response)["message"]


def test_the_model_s_page_says_which_detector_answers(client, detector):
    said = client.get("/v1/model").json()
    assert said["detector"] == {
        "sha256": detector.sha256,
        "names": ["dish"],
        "threshold": 0.25,
        "crop_margin": 1.1,
        "margin_is_proved": True,
    }
    assert said["limits"]["max_tray_dishes"] == limits.MAX_TRAY_DISHES


def test_openapi_knows_the_field_and_the_answer(client):
    said = client.get("/openapi.json").json()
    body = said["paths"]["/v1/recognise"]["post"]["requestBody"]["content"]
    assert "detect" in body["multipart/form-data"]["schema"]["properties"]
    assert "TrayAnswer" in said["components"]["schemas"]


def test_without_a_detector_the_remedy_is_said(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as opened:
        response = detect(opened, menu="米饭")
        assert response.status_code == 404
        assert error_of(response)["code"] == "no_detector"
        assert "dishvl serve --detector FILE" in error_of(response)["message"]
        assert opened.get("/v1/model").json()["detector"] is None


def options(where, given):
    return serve.Options(
        where=str(where),
        host="127.0.0.1",
        port=0,
        device="cpu",
        dtype=None,
        max_batch=16,
        max_wait_ms=5.0,
        queue=64,
        use_gallery=False,
        detector=given,
    )


def test_the_command_opens_the_detector_it_is_given(best, monkeypatch):
    monkeypatch.setattr(GivenDetector, "opened", lambda given: ToyDetector())
    opened = serve.opened(best, options(best, GivenDetector("toy.onnx")))
    assert opened.trays.crop_margin == 1.1


def test_the_command_refuses_another_margin(best, monkeypatch):
    monkeypatch.setattr(GivenDetector, "opened", lambda given: ToyDetector())
    given = GivenDetector("toy.onnx", crop_margin=0.8)
    with pytest.raises(TrayError, match="leave it out"):
        serve.opened(best, options(best, given))


def test_a_margin_that_is_not_proved_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(GivenDetector, "opened", lambda given: ToyDetector())
    plain = tiny.base_folder(tmp_path)
    opened = serve.opened(plain, options(plain, GivenDetector("toy.onnx", crop_margin=1.2)))
    assert not opened.trays.is_proved
    assert "margin 1.2" in capsys.readouterr().err
