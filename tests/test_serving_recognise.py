"""`POST /v1/recognise`: the answers of single calls, every way to send, and every failure."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import serving_toys
from gallery_toys import striped
from serving_toys import MENU, WRITTEN_MENU, error_of
from toys import encoded

paddle = pytest.importorskip("paddle")

from dishvl_lib import Gallery, Hybrid, Recognizer  # noqa: E402
from dishvl_lib.core import images  # noqa: E402
from dishvl_lib.serving import limits  # noqa: E402
from dishvl_lib.vlm import choose  # noqa: E402

PHOTOS = [encoded(striped(dish, 50 + dish), "PNG") for dish in range(4)]
MENUS = [MENU, ["米饭", "没有登记的菜"], WRITTEN_MENU, ["番茄炒蛋"]]
CLOSE = 1e-5


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return serving_toys.model_folder(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def client(best, tmp_path_factory):
    served = serving_toys.service(best, tmp_path_factory.mktemp("home"))
    with serving_toys.client(served) as opened:
        opened.put("/v1/menus/north", json={"entries": WRITTEN_MENU})
        yield opened


@pytest.fixture(scope="module")
def hybrid(best):
    return Hybrid(Recognizer.load(best), Gallery.load(best.parent / "gallery"))


def recognise(client, photo=PHOTOS[1], **fields):
    return client.post("/v1/recognise", files={"photo": photo}, data=fields)


def as_json(client, photo=PHOTOS[1], **fields):
    url = f"data:image/png;base64,{base64.b64encode(photo).decode()}"
    return client.post("/v1/recognise", json={"photo": url, **fields})


def shares(answer):
    return {entry["entry"]: entry["probability"] for entry in answer["choice"]["entries"]}


def test_answers_are_those_of_single_calls_whatever_the_company(client, hybrid):
    with ThreadPoolExecutor(8) as clients:
        jobs = []
        for photo in PHOTOS * 3:
            for menu in MENUS:
                text = "\n".join(menu)
                jobs.append((photo, menu, clients.submit(recognise, client, photo, menu=text)))
    for photo, menu, job in jobs:
        alone = hybrid.choose(photo, menu)
        answer = job.result().json()
        assert answer["choice"]["answer"] == alone.answer
        assert shares(answer) == pytest.approx(dict(alone.entries), abs=CLOSE)


def test_photos_are_decoded_beside_the_thread_that_runs_the_model(client, monkeypatch):
    threads = {}
    load_rgb, answer_together = images.load_rgb, choose.answer_together

    def noted(step, function):
        def call(*arguments, **options):
            threads.setdefault(step, set()).add(threading.current_thread().name.split("_")[0])
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(images, "load_rgb", noted("decoding", load_rgb))
    monkeypatch.setattr(choose, "answer_together", noted("answering", answer_together))
    recognise(client, site="north", naming="true")
    assert threads == {"decoding": {"decoder"}, "answering": {"model"}}


def test_a_photo_without_a_menu_is_named(client, hybrid):
    answer = recognise(client).json()
    assert answer["name"] == hybrid.name(PHOTOS[1])
    assert answer["choice"] is None


def test_a_saved_menu_is_chosen_from_as_it_is_written(client, hybrid):
    answer = recognise(client, site="north").json()
    assert answer["choice"]["answer"] == hybrid.choose(PHOTOS[1], WRITTEN_MENU).answer
    assert {entry["name"] for entry in answer["choice"]["entries"]} == set(MENU)
    assert answer["site"] == "north"
    assert answer["name"] is None


def test_a_name_is_given_beside_a_choice_where_it_is_asked_for(client, hybrid):
    answer = recognise(client, site="north", naming="true").json()
    assert answer["name"] == hybrid.name(PHOTOS[1])
    assert answer["choice"]["answer"] == hybrid.choose(PHOTOS[1], WRITTEN_MENU).answer


@pytest.mark.parametrize("menu", [MENU, {"entries": MENU}, "\n".join(MENU)])
def test_json_with_a_data_url_is_the_same_photo(client, menu):
    in_form = recognise(client, menu="\n".join(MENU)).json()
    assert shares(as_json(client, menu=menu).json()) == pytest.approx(shares(in_form), abs=CLOSE)


def test_top_k_cuts(client):
    answer = recognise(client, site="north", top_k=1).json()
    assert len(answer["choice"]["entries"]) == 1


def test_a_request_id_goes_in_and_out(client):
    given = client.get("/health", headers={"X-Request-ID": "till-7.42"})
    assert given.headers["X-Request-ID"] == "till-7.42"
    made = client.get("/health", headers={"X-Request-ID": "a b\t<script>"})
    assert len(made.headers["X-Request-ID"]) == 32
    answer = client.post(
        "/v1/recognise", files={"photo": PHOTOS[0]}, headers={"X-Request-ID": "till-8"}
    )
    assert answer.json()["request_id"] == "till-8"


@pytest.mark.parametrize(
    ("photo", "status", "code", "words"),
    [
        (b"hello, I am a text", 422, "bad_photo", "not an image"),
        (b"", 422, "bad_photo", "empty"),
        (PHOTOS[0][: len(PHOTOS[0]) // 2], 422, "bad_photo", "damaged"),
    ],
)
def test_a_photo_that_cannot_be_read_is_refused_with_the_reason(client, photo, status, code, words):
    response = recognise(client, photo)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (status, code)
    assert words in error["message"]


def test_a_photo_of_too_many_pixels_is_refused_by_its_header(client, monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 1000)
    response = recognise(client)
    assert response.status_code == 413
    assert "72x56 is over the limit of 1,000 pixels" in error_of(response)["message"]


def test_a_photo_of_too_many_bytes_is_refused(client, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PHOTO_BYTES", 1000)
    for response in (recognise(client), as_json(client)):
        assert response.status_code == 413
        assert error_of(response)["code"] == "too_large"


@pytest.mark.parametrize("declares", [True, False])
def test_a_body_over_the_limit_is_refused_while_it_arrives(client, monkeypatch, declares):
    monkeypatch.setattr(limits, "MAX_PHOTO_BODY_BYTES", 100_000)

    def parts():
        for _ in range(40):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/json"}
    if declares:
        headers["Content-Length"] = str(400_000)
    response = client.post("/v1/recognise", content=parts(), headers=headers)
    assert response.status_code == 413
    assert error_of(response)["code"] == "too_large"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"top_k": "0"}, "bad_value", "top_k"),
        ({"top_k": "many"}, "bad_value", "top_k"),
        ({"colour": "red"}, "bad_value", "colour"),
        ({"naming": "false"}, "bad_value", "nothing is asked"),
        ({"site": "north", "menu": "米饭"}, "bad_value", "not both"),
        ({"menu": ""}, "bad_menu", "empty"),
        ({"menu": "米饭\n米饭"}, "bad_menu", "twice"),
        ({"menu": "[1, 2]"}, "bad_menu", "not a text"),
        ({"menu": '{"dishes": []}'}, "bad_menu", "a menu is"),
        ({"menu": "\n".join(f"第{n}道菜" for n in range(501))}, "bad_menu", "at most 500"),
        ({"menu": "1" * 900_000}, "bad_menu", "at most 200"),
        ({"site": "../north"}, "bad_value", "plain folder name"),
    ],
)
def test_a_field_that_cannot_be_used_is_422(client, fields, code, words):
    response = recognise(client, **fields)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (422, code)
    assert words in error["message"]


def test_an_unknown_site_is_404_and_the_known_are_named(client):
    response = recognise(client, site="south")
    assert response.status_code == 404
    assert error_of(response)["code"] == "unknown_site"
    assert "north" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"photo": 3}', "application/json", 422),
        (b'{"photo": "data:image/png;base64,@@"}', "application/json", 422),
        (b"{}", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"x", "", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=b", 400),
    ],
)
def test_a_body_that_is_none_has_the_form_of_every_failure(client, body, kind, status):
    response = client.post("/v1/recognise", content=body, headers={"Content-Type": kind})
    assert response.status_code == status
    error_of(response)


def test_two_photos_or_a_file_of_another_name_are_refused(client):
    two = [("photo", PHOTOS[0]), ("photo", PHOTOS[1])]
    assert client.post("/v1/recognise", files=two).status_code == 400
    other = client.post("/v1/recognise", files={"picture": PHOTOS[0]})
    assert other.status_code == 422
    assert "'picture' is a file" in error_of(other)["message"]


def test_unknown_paths_and_methods_have_the_form_of_every_failure(client):
    unknown = client.get("/v2/everything")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "not_found")
    method = client.get("/v1/recognise")
    assert (method.status_code, error_of(method)["code"]) == (405, "method_not_allowed")


def test_what_was_not_foreseen_is_500_without_its_insides(client, monkeypatch):
    service = client.app.app.state.service
    monkeypatch.setattr(service.model, "answers", lambda: 1 / 0)
    response = recognise(client)
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal"
    assert "division" not in response.text
