"""Who may ask, what the service says of itself, and how much it takes at once."""

import asyncio
import json
import re
import threading
import time

import pytest
import serving_toys
from gallery_toys import striped
from serving_toys import error_of
from toys import encoded

paddle = pytest.importorskip("paddle")

from dishvl_lib.serving import limits, request_body, server  # noqa: E402
from dishvl_lib.serving.errors import ServiceError  # noqa: E402
from dishvl_lib.serving.page_routes import FILES, FOLDER  # noqa: E402

PHOTO = encoded(striped(1, 1), "PNG")
TOKEN = "a-token-of-the-test"
PATHS = ("/v1/model", "/v1/menus", "/v1/dishes", "/metrics")
PATIENCE_S = 20


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return serving_toys.model_folder(tmp_path_factory.mktemp("run"))


@pytest.fixture
def client(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path)) as opened:
        yield opened


@pytest.fixture
def guarded(best, tmp_path):
    with serving_toys.client(serving_toys.service(best, tmp_path), TOKEN) as opened:
        yield opened


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic " + TOKEN, TOKEN, "Bearer"])
def test_without_the_token_nothing_is_answered(guarded, path, given):
    response = guarded.get(path, headers={"Authorization": given} if given else {})
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
def test_with_the_token_everything_is(guarded, path):
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "till.example"}
    assert guarded.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/health", "/openapi.json"])
def test_what_holds_no_secret_needs_no_token(guarded, path):
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"])
def test_without_a_token_other_names_of_this_machine_are_refused(client, host):
    """A page of another site could lead its own name here (DNS rebinding)."""
    response = client.get("/v1/menus", headers={"Host": host})
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.0.0.2:1", "[::1]:8080"])
def test_the_names_of_the_loopback_are_answered(client, host):
    assert client.get("/v1/menus", headers={"Host": host}).status_code == 200


def test_a_page_of_another_site_may_not_ask(client):
    headers = {"Origin": "http://evil.example", "Host": "localhost:8080"}
    response = client.post("/v1/recognise", files={"photo": PHOTO}, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (403, "forbidden")
    own = {"Origin": "http://localhost:8080", "Host": "localhost:8080"}
    assert client.post("/v1/recognise", files={"photo": PHOTO}, headers=own).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "till.example", ""])
def test_beyond_the_loopback_a_token_must_be_there_and_a_warning_is_given(host):
    with pytest.raises(RuntimeError, match="DISHVL_TOKEN"):
        server.check_reach(host, "")
    assert "unencrypted" in server.check_reach(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_the_loopback_neither(host):
    assert server.check_reach(host, "") == ""


def test_the_model_is_described(client, best):
    model = client.get("/v1/model").json()
    assert model["model"].endswith("04_training/best")
    assert model["temperature"] == 1.0
    assert model["min_pixels"] <= model["max_pixels"]
    assert model["gallery"] == {"n_dishes": 3, "revision": 1}
    assert model["limits"]["max_batch"] == 16
    assert len(model["fingerprint"]) == 64
    assert str(best.parents[2]) not in json.dumps(model)


def test_live_and_ready_are_told_apart(client):
    assert client.get("/health/ready").json() == {"status": "ready"}
    client.app.app.state.service.batcher.close()
    assert client.get("/health/live").json() == {"status": "live"}
    for path in ("/health/ready", "/health"):
        response = client.get(path)
        assert (response.status_code, error_of(response)["code"]) == (503, "busy")
    refused = client.post("/v1/recognise", files={"photo": PHOTO})
    assert refused.status_code == 503


def test_metrics_count_by_route_and_not_by_what_was_sent(client):
    for number in range(3):
        client.get(f"/v1/menus/site{number}")
        client.get(f"/nowhere/{number}")
    client.post("/v1/recognise", files={"photo": PHOTO})
    # A pass is counted after its answers are sent.
    deadline = time.monotonic() + 20
    text = ""
    while "dishvl_pass_photos_count 1.0" not in text and time.monotonic() < deadline:
        text = client.get("/metrics").text
    site = 'dishvl_requests_total{method="GET",path="/v1/menus/{site}",status="404"} 3.0'
    assert site in text
    assert 'dishvl_requests_total{method="GET",path="other",status="404"} 3.0' in text
    assert "dishvl_pass_photos_count 1.0" in text
    assert "dishvl_photos_waiting 0.0" in text
    assert "process_resident_memory_bytes" in text


def test_a_full_queue_is_503_with_the_time_to_come_again(best, tmp_path):
    served = serving_toys.service(best, tmp_path, queue=1)
    with serving_toys.client(served) as client, served.batcher.place():
        response = client.post("/v1/recognise", files={"photo": PHOTO})
        assert (response.status_code, error_of(response)["code"]) == (503, "busy")
        assert response.headers["Retry-After"] == "1"
    # The place is free again when the photo that had it is gone.
    with serving_toys.client(serving_toys.service(best, tmp_path, queue=1)) as client:
        assert client.post("/v1/recognise", files={"photo": PHOTO}).status_code == 200


def test_too_many_open_requests_are_503_and_health_still_answers(best, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "OPEN_PER_PLACE", 1)
    served = serving_toys.service(best, tmp_path, queue=1)
    began = threading.Event()
    go_on = threading.Event()

    def held(_):
        began.set()
        assert go_on.wait(PATIENCE_S)

    monkeypatch.setattr(served.menus, "remove", held)
    with serving_toys.client(served) as client:
        slow = threading.Thread(target=client.delete, args=["/v1/menus/a"])
        slow.start()
        assert began.wait(PATIENCE_S)
        refused = client.get("/v1/menus")
        healthy = client.get("/health")
        go_on.set()
        slow.join(PATIENCE_S)
    assert (refused.status_code, error_of(refused)["code"]) == (503, "busy")
    assert healthy.status_code == 200


def test_openapi_says_how_photos_and_failures_are_sent(client):
    described = client.get("/openapi.json").json()
    post = described["paths"]["/v1/recognise"]["post"]
    body = post["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    assert body["multipart/form-data"]["schema"]["required"] == ["photo"]
    assert {"413", "422", "503"} <= set(post["responses"])
    assert "/" not in described["paths"]


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_of_its_own(client):
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
    for name in ("index.html", *FILES):
        text = (FOLDER / name).read_text("utf-8")
        assert "http://" not in text
        assert "https://" not in text
        assert not re.search(r"\son[a-z]+=|\sstyle=|innerHTML|insertAdjacentHTML", text)
        if name in FILES:
            assert client.get(f"/static/{name}").text == text


@pytest.mark.parametrize("name", ["index.html", "..%2Fserver.py", "missing.js"])
def test_no_other_file_is_handed_out(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_a_body_that_stops_coming_is_408(monkeypatch):
    monkeypatch.setattr(limits, "BODY_PATIENCE_S", 0.05)
    body = request_body.RequestBody(_never, 1000, {b"content-length": b"10"})
    with pytest.raises(ServiceError) as refused:
        asyncio.run(body.receive())
    assert (refused.value.status, refused.value.code) == (408, "too_slow")


async def _never():
    await asyncio.sleep(PATIENCE_S)
