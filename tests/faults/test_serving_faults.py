"""A service under requests of which some are broken: each gets exactly one answer; and its end."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from dishvl_lib.core import paths

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
pytest.importorskip("paddle")
import serving_toys
from gallery_toys import photo_files, striped
from toys import encoded

from dishvl_lib import Gallery

REQUESTS = 300
CLIENTS = 12
BROKEN = 30
ENDING_CLIENTS = 24
PHOTOS = [encoded(striped(dish, 50 + dish), "JPEG") for dish in range(6)]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs") / "canteen"
    serving_toys.model_folder(folder)
    return folder


@pytest.fixture(scope="module")
def address(run_folder):
    with serving_toys.command("canteen", outputs=run_folder.parent) as (at, _):
        menu = {"entries": serving_toys.MENU}
        assert httpx.put(f"{at}/v1/menus/north", json=menu).status_code == 200
        yield at


def form(photo, **fields):
    return {"files": {"photo": photo}, "data": fields}


def broken(number):
    """(what is sent, the status that answers it): one of the kinds of broken requests."""
    kinds = (
        (form(b"I am a text", site="north"), 422),
        (form(PHOTOS[0][:400], site="north"), 422),
        (form(PHOTOS[0], site="nowhere"), 404),
        (form(PHOTOS[0], top_k="none"), 422),
        (form(PHOTOS[0], menu="米饭\n米饭"), 422),
        (form(b"\xff\xd8\xff" + bytes(34 * 2**20), site="north"), 413),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b"x", "headers": {"Content-Type": "image/jpeg"}}, 415),
    )
    return kinds[number % len(kinds)]


def test_each_of_300_requests_with_broken_ones_among_them_gets_exactly_one_answer(address):
    before = n_counted(address)
    requests = []
    for number in range(REQUESTS - BROKEN):
        menu = {"site": "north"} if number % 3 else {"menu": "红烧鱼\n番茄炒蛋"}
        requests.append((form(PHOTOS[number % len(PHOTOS)], **menu), 200))
    requests += [broken(number) for number in range(BROKEN)]
    random.Random(0).shuffle(requests)
    # Connections of their own: what one client's broken request leaves behind must harm no other.
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(CLIENTS) as clients:

        def ask(place):
            request, status = requests[place]
            answer = client.post(
                f"{address}/v1/recognise",
                **{
                    **request,
                    "headers": {**request.get("headers", {}), "X-Request-ID": f"r{place}"},
                },
            )
            return place, answer, status

        answers = list(clients.map(ask, range(REQUESTS)))
    assert [place for place, _, _ in answers] == list(range(REQUESTS))
    assert [answer.headers["X-Request-ID"] for _, answer, _ in answers] == [
        f"r{place}" for place in range(REQUESTS)
    ]
    wrong = [
        (place, answer.status_code, status)
        for place, answer, status in answers
        if answer.status_code != status
    ]
    assert not wrong
    for _, answer, status in answers:
        body = answer.json()
        assert ("error" in body) == (status != 200)
    assert n_counted(address) - before == REQUESTS


def n_counted(address):
    """Answers to photos that the service has counted."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    beginning = 'dishvl_requests_total{method="POST",path="/v1/recognise"'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(beginning))


def test_a_slow_client_and_one_that_hangs_up_harm_nobody(address):
    host, port = urlsplit(address).hostname, urlsplit(address).port
    head = (
        f"POST /v1/recognise HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000000\r\n\r\n"
    ).encode()
    slow = socket.create_connection((host, port))
    slow.sendall(head + b'{"photo": "')
    for _ in range(10):
        gone = socket.create_connection((host, port))
        gone.sendall(head + b"x" * 1000)
        gone.close()
    began_at = time.monotonic()
    answer = httpx.post(f"{address}/v1/recognise", **form(PHOTOS[1], site="north"), timeout=30)
    assert answer.status_code == 200
    assert time.monotonic() - began_at < 5
    slow.close()
    assert httpx.get(f"{address}/health").status_code == 200


def test_menus_that_are_saved_at_once_by_many_are_each_whole(address, run_folder):
    menus = [[f"第{number}道菜{place}" for place in range(100)] for number in range(20)]
    with ThreadPoolExecutor(8) as clients:
        url = f"{address}/v1/menus/shared"
        saved = list(clients.map(lambda menu: httpx.put(url, json={"entries": menu}), menus))
    assert {answer.status_code for answer in saved} == {200}
    kept = json.loads((run_folder / "menus" / "shared.json").read_text("utf-8"))
    assert [entry["entry"] for entry in kept["entries"]] in menus
    assert not list((run_folder / "menus").glob(".*"))


def test_a_service_and_another_process_that_add_dishes_at_once_lose_none(
    address, run_folder, tmp_path
):
    names = [f"新菜{chr(0x4E00 + number)}" for number in range(10)]
    others = [f"另一道{chr(0x4E00 + number)}" for number in range(5)]

    def add(number):
        photo = encoded(striped(10 + number, 1), "PNG")
        url = f"{address}/v1/dishes/{names[number]}?confirm=true"
        return httpx.post(url, files={"photos": photo}, timeout=60).status_code

    with ThreadPoolExecutor(4) as clients:
        jobs = [clients.submit(add, number) for number in range(len(names))]
        here = Gallery.load(run_folder / "04_training" / "gallery")
        for number, name in enumerate(others):
            here.add(name, photo_files(tmp_path / name, 30 + number, 1), yes=True)
        assert [job.result() for job in jobs] == [200] * len(names)
    dishes = httpx.get(f"{address}/v1/dishes", timeout=60).json()["dishes"]
    assert {dish["name"] for dish in dishes} >= {*names, *others}


def test_at_sigterm_every_request_that_was_accepted_is_answered(run_folder):
    """The signal comes while requests arrive, wait and are answered."""
    arguments = ("--max-batch", "2")
    with serving_toys.command("canteen", *arguments, outputs=run_folder.parent) as (at, process):
        accepted = threading.Barrier(ENDING_CLIENTS + 1)
        with ThreadPoolExecutor(ENDING_CLIENTS) as clients:
            jobs = [clients.submit(ask_in_halves, at, accepted, n) for n in range(ENDING_CLIENTS)]
            accepted.wait(60)
            wait_for_open(at, ENDING_CLIENTS)
            os.kill(process.pid, signal.SIGTERM)
            answers = [job.result() for job in jobs]
        said, _ = process.communicate(timeout=60)
    assert answers == [(200, True)] * ENDING_CLIENTS
    assert process.returncode == 0
    assert "every request that was accepted is answered" in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{at}/health")


def test_a_second_ctrl_c_ends_it_at_once_and_says_so(run_folder):
    with serving_toys.command("canteen", outputs=run_folder.parent) as (at, process):
        address = urlsplit(at)
        half = socket.create_connection((address.hostname, address.port))
        half.sendall(
            f"POST /v1/recognise HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: "
            "application/json\r\nContent-Length: 1000\r\n\r\n{".encode()
        )
        wait_for_open(at, 1)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        half.close()
    assert process.returncode == 1
    assert "is answered" not in said


def ask_in_halves(at, accepted, number):
    """(status, whether a choice came) of a request whose end is sent when all have begun."""
    address = urlsplit(at)
    request = httpx.Request("POST", at, **form(PHOTOS[number % 6], menu="红烧鱼\n米饭"))
    content = request.read()
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.putrequest("POST", "/v1/recognise")
    for name in ("Content-Type", "Content-Length"):
        connection.putheader(name, request.headers[name])
    connection.endheaders()
    connection.send(content[:-100])
    accepted.wait(60)
    connection.send(content[-100:])
    answer = connection.getresponse()
    return answer.status, "choice" in json.loads(answer.read())


def wait_for_open(at, n_wanted):
    """Until so many requests have been begun, or answered."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        lines = httpx.get(f"{at}/metrics").text.splitlines()
        n_open = sum(
            float(line.split()[-1]) for line in lines if line.startswith("dishvl_requests_open ")
        )
        n_done = sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("dishvl_requests_total") and "recognise" in line
        )
        if n_open - 1 + n_done >= n_wanted:
            return
        time.sleep(0.01)
    raise AssertionError("the requests did not reach the service")
