"""`/v1/menus`: kept on the disk beside prices and numbering, whole or not at all."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import serving_toys
from serving_toys import MENU, WRITTEN_MENU, error_of

paddle = pytest.importorskip("paddle")

from dishvl_lib.serving.menus import Menus  # noqa: E402


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return serving_toys.model_folder(tmp_path_factory.mktemp("run"), with_gallery=False)


@pytest.fixture
def client(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as opened:
        yield opened


def written(menu):
    return [entry["entry"] for entry in menu["entries"]]


def test_a_menu_survives_a_restart(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as first:
        first.put("/v1/menus/北区 食堂", json={"entries": WRITTEN_MENU})
    with serving_toys.client(serving_toys.service(best, tmp_path)) as second:
        menu = second.get("/v1/menus/北区 食堂").json()
    assert written(menu) == WRITTEN_MENU
    assert [entry["name"] for entry in menu["entries"]] == MENU


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_text_is_a_menu_with_an_entry_a_line(client, encoding):
    text = "\r\n".join(["", *WRITTEN_MENU, ""]).encode(encoding)
    menu = client.put("/v1/menus/a", content=text, headers={"Content-Type": "text/plain"})
    assert written(menu.json()) == WRITTEN_MENU
    assert written(client.get("/v1/menus/a").json()) == WRITTEN_MENU


def test_sites_are_listed_and_forgotten(client):
    for site in ("南", "b", "a"):
        client.put(f"/v1/menus/{site}", json={"entries": MENU})
    assert client.get("/v1/menus").json() == {"sites": ["a", "b", "南"]}
    assert client.delete("/v1/menus/b").status_code == 204
    assert client.get("/v1/menus").json() == {"sites": ["a", "南"]}
    assert client.get("/v1/menus/b").status_code == 404
    gone = client.delete("/v1/menus/b")
    assert (gone.status_code, error_of(gone)["code"]) == (404, "unknown_site")


@pytest.mark.parametrize(
    "site", [".hidden", "a%5Cb", "%20a", "x" * 151, "%00", "a%0Ab", "cache", "%E2%80%8Ba"]
)
def test_a_site_that_can_name_no_file_is_refused(client, site, tmp_path):
    response = client.put(f"/v1/menus/{site}", json={"entries": MENU})
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_value")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("site", ["..%2F..%2Fevil", "a%2Fb", "%2Fetc%2Fpasswd"])
def test_a_way_out_of_the_folder_leads_nowhere(client, site, tmp_path):
    response = client.put(f"/v1/menus/{site}", json={"entries": MENU})
    assert response.status_code == 404
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "body",
    [b'{"entries": []}', b'{"entries": [3]}', b'{"entries": ["a", "a"]}', b"{}", b"nonsense"],
)
def test_what_is_no_menu_changes_nothing(client, body):
    client.put("/v1/menus/a", json={"entries": MENU})
    response = client.put("/v1/menus/a", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert error_of(response)["code"] in ("bad_menu", "bad_value")
    assert written(client.get("/v1/menus/a").json()) == MENU


@pytest.mark.parametrize("entry", ["\\ud800鱼", "鱼\\u0000", "鱼\\u001b[31m", "鱼\\n米饭"])
def test_an_entry_that_cannot_be_written_down_is_refused(client, entry):
    body = f'{{"entries": ["{entry}", "米饭"]}}'.encode()
    response = client.put("/v1/menus/a", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_menu")


def test_a_tab_may_stand_before_a_price(client):
    menu = client.put("/v1/menus/a", content="红烧鱼\t12元\n米饭\t1元".encode()).json()
    assert [entry["name"] for entry in menu["entries"]] == ["红烧鱼", "米饭"]


def test_a_menu_over_the_limit_of_bytes_is_413(client):
    response = client.put("/v1/menus/a", content=b"x" * 2_000_000)
    assert response.status_code == 413
    error_of(response)


def test_menus_saved_at_once_are_each_whole(client, tmp_path):
    menus = [[f"第{number}道菜{place}" for place in range(200)] for number in range(12)]
    with ThreadPoolExecutor(6) as clients:
        jobs = [clients.submit(client.put, "/v1/menus/a", json={"entries": menu}) for menu in menus]
        read = [clients.submit(client.get, "/v1/menus/a") for _ in range(12)]
    assert {job.result().status_code for job in jobs} == {200}
    seen = [written(job.result().json()) for job in read if job.result().status_code == 200]
    seen.append(written(client.get("/v1/menus/a").json()))
    assert all(menu in menus for menu in seen)
    assert [file.name for file in (tmp_path / "menus").iterdir()] == ["a.json"]


def test_a_writer_that_fails_leaves_the_menu_before(tmp_path, monkeypatch):
    menus = Menus(tmp_path)
    menus.put("a", MENU)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        menus.put("a", ["米饭"])
    assert menus.get("a").written == MENU


def test_a_damaged_file_is_named(client, tmp_path):
    client.put("/v1/menus/a", json={"entries": MENU})
    (tmp_path / "menus" / "a.json").write_text("{", "utf-8")
    response = client.get("/v1/menus/a")
    assert (response.status_code, error_of(response)["code"]) == (500, "damaged_menu")
    client.put("/v1/menus/a", json={"entries": MENU})
    assert client.get("/v1/menus/a").status_code == 200
