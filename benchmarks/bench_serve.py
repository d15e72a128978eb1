"""Goal 14: `dishvl serve` at 1, 8 and 32 clients against a loop of single calls, in one run.

python benchmarks/bench_serve.py [--model FOLDER]     (requests/s, p50, p95, CPU ms a request)
python benchmarks/bench_serve.py --load               (10,000 requests, 1% broken: answers, memory)

The model is the newest run's best/ (`dishvl demo` makes one) with the gallery beside it, the photos
are drawn as the demo's are. The clients are threads of another process than the server's, and the
CPU time counted is the server's alone: requests/s on a machine that does other things says little.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from PIL import Image

from dishvl_lib import Gallery, Hybrid, Recognizer
from dishvl_lib.core import paths
from dishvl_lib.demo import plating, recipes
from dishvl_lib.predict import newest_best

CLIENTS = (1, 8, 32)
ROUNDS = 4  # in which the loop and the clients take turns
REQUESTS = 400  # for each number of clients, and for the loop, in all rounds
PHOTOS = 40
MENU_SIZE = 20
SIDE = 448  # pixels
GOAL_RATE = 0.9
GOAL_P50_MS = 10
GOAL_DIFFERENCE = 1e-5
LOAD = 10_000
LOAD_CLIENTS = 16
BROKEN_EVERY = 100
GOAL_GROWTH = 0.05
MIB = 2**20


class Side(NamedTuple):
    """`seconds` of each answer; `wall` and `cpu` seconds of all."""

    name: str
    seconds: list[float]
    wall: float
    cpu: float

    @property
    def cpu_ms(self) -> float:
        return self.cpu / len(self.seconds) * 1000

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def milliseconds(self, share: float) -> float:
        return float(np.quantile(self.seconds, share) * 1000)

    def __str__(self) -> str:
        return (
            f"{self.name:<28}{self.rate:8.1f} requests/s   p50 {self.milliseconds(0.5):7.1f} ms   "
            f"p95 {self.milliseconds(0.95):7.1f} ms   {self.cpu_ms:6.1f} CPU ms a request"
        )


def main() -> None:
    """Print both sides, or what the load did."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", help="a folder that stage 04 wrote (default: the newest)")
    parser.add_argument("--load", action="store_true", help="10,000 requests with broken ones")
    parser.add_argument("--requests", type=int, help="fewer, for a trial")
    options = parser.parse_args()
    best = Path(options.model) if options.model else newest_best()
    menu = menu_of(best)
    photos = drawn(menu)
    with served(best) as (address, process):
        httpx.put(f"{address}/v1/menus/bench", json={"entries": menu}).raise_for_status()
        if options.load:
            load(address, process, photos, options.requests or LOAD)
        else:
            compare(address, process, best, photos, menu, options.requests or REQUESTS)


def compare(
    address: str,
    process: psutil.Process,
    best: Path,
    photos: Sequence[bytes],
    menu: Sequence[str],
    n_requests: int,
) -> None:
    recognizer = loaded(best)
    warm_up(address, photos)
    rounds = []
    for _ in range(ROUNDS):
        n_each = max(n_requests // ROUNDS, 1)
        turn = [looped(recognizer, photos, menu, n_each)]
        turn += [asked(address, process, photos, clients, n_each) for clients in CLIENTS]
        rounds.append(turn)
    loop, *sides = map(together, zip(*rounds, strict=True))
    print(f"{best}, menu of {len(menu)}, {n_requests} requests each")
    for side in (loop, *sides):
        print(side)
    rate = sides[-1].rate / loop.rate
    later = sides[0].milliseconds(0.5) - loop.milliseconds(0.5)
    print(f"{CLIENTS[-1]} clients against the loop: {rate:.2f}x (goal {GOAL_RATE})")
    print(f"p50 of one client behind the loop: {later:.1f} ms (goal {GOAL_P50_MS})")
    cpu = " / ".join(f"{side.cpu_ms:.1f}" for side in sides)
    clients = " / ".join(map(str, CLIENTS))
    print(f"CPU ms a request at {clients} clients: {cpu}; the loop {loop.cpu_ms:.1f}")
    difference = largest_difference(address, recognizer, photos, menu)
    print(f"largest difference of a probability: {difference:.1e} (goal {GOAL_DIFFERENCE:.0e})")


def together(parts: Sequence[Side]) -> Side:
    """One side's rounds."""
    seconds = [second for part in parts for second in part.seconds]
    wall = sum(part.wall for part in parts)
    return Side(parts[0].name, seconds, wall, sum(part.cpu for part in parts))


def menu_of(best: Path) -> list[str]:
    """Dishes that the demo draws, those of the gallery first."""
    folder = Gallery.of_model(best)
    known = [dish.name for dish in Gallery.load(folder)] if folder else []
    drawable = list(plating.PLATINGS)
    ordered = [name for name in known if name in drawable]
    ordered += [name for name in drawable if name not in ordered]
    return ordered[:MENU_SIZE]


def drawn(menu: Sequence[str]) -> list[bytes]:
    """JPEGs of the menu's dishes, in turn."""
    photos = []
    for number in range(PHOTOS):
        dish = plating.PLATINGS[menu[number % len(menu)]]
        pixels = recipes.draw_photo(dish, recipes.photo_rng(number, 0), SIDE)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=90)
        photos.append(content.getvalue())
    return photos


def loaded(best: Path) -> Recognizer | Hybrid:
    """What the service asks."""
    recognizer = Recognizer.load(best)
    folder = Gallery.of_model(best)
    return Hybrid(recognizer, Gallery.load(folder)) if folder else recognizer


@contextlib.contextmanager
def served(best: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`dishvl serve` in a process of its own: (address, process)."""
    with tempfile.TemporaryDirectory() as outputs:
        environment = {**os.environ, "DISHVL_OUTPUTS": outputs, "DISHVL_TOKEN": ""}
        environment["PYTHONPATH"] = str(paths.PROJECT_ROOT)
        command = [sys.executable, "-m", "dishvl_lib.cli", "serve", str(best.absolute())]
        process = subprocess.Popen(
            [*command, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        assert process.stdout is not None
        match = re.search(r"http://\S+", process.stdout.readline())
        assert match, "the service did not start"
        try:
            yield match[0], psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)


def warm_up(address: str, photos: Sequence[bytes]) -> None:
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda photo: answer(address, photo), photos[:16]))


def looped(
    recognizer: Recognizer | Hybrid, photos: Sequence[bytes], menu: Sequence[str], n_requests: int
) -> Side:
    """Single calls one after another in this process."""
    for photo in photos[:5]:
        recognizer.choose(photo, menu)
    here = psutil.Process()
    seconds = []
    cpu = cpu_seconds(here)
    began_at = time.perf_counter()
    for number in range(n_requests):
        asked_at = time.perf_counter()
        recognizer.choose(photos[number % len(photos)], menu)
        seconds.append(time.perf_counter() - asked_at)
    wall = time.perf_counter() - began_at
    return Side("loop of single calls", seconds, wall, cpu_seconds(here) - cpu)


def asked(
    address: str, process: psutil.Process, photos: Sequence[bytes], n_clients: int, n_requests: int
) -> Side:
    """So many clients, each of which asks again when it is answered."""
    seconds: list[float] = []

    def ask(number: int) -> None:
        asked_at = time.perf_counter()
        answer(address, photos[number % len(photos)])
        seconds.append(time.perf_counter() - asked_at)

    before = cpu_seconds(process)
    began_at = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as clients:
        list(clients.map(ask, range(n_requests)))
    wall = time.perf_counter() - began_at
    return Side(f"service, {n_clients} clients", seconds, wall, cpu_seconds(process) - before)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


_of_thread = threading.local()


def answer(address: str, photo: bytes) -> dict:
    """A choice from the saved menu, over a connection that each thread keeps."""
    status, body = post(address, photo, "bench")
    assert status == 200, body
    return body


def post(address: str, photo: bytes, site: str) -> tuple[int, dict]:
    connection = getattr(_of_thread, "connection", None)
    if connection is None:
        at = urlsplit(address)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=120)
        _of_thread.connection = connection
    body, kind = form(photo, site)
    connection.request("POST", "/v1/recognise", body, {"Content-Type": kind})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def form(photo: bytes, site: str) -> tuple[bytes, str]:
    """(body, its type): a form with a photo and a site."""
    edge = b"--bench-edge"
    head = b'Content-Disposition: form-data; name="'
    parts = [
        edge + b"\r\n" + head + b'site"\r\n\r\n' + site.encode() + b"\r\n",
        edge + b"\r\n" + head + b'photo"; filename="p.jpg"\r\n\r\n' + photo + b"\r\n",
        edge + b"--\r\n",
    ]
    return b"".join(parts), "multipart/form-data; boundary=bench-edge"


def largest_difference(
    address: str, recognizer: Recognizer | Hybrid, photos: Sequence[bytes], menu: Sequence[str]
) -> float:
    """Between the service's probabilities, many clients at once, and those of single calls."""
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda photo: answer(address, photo), photos))
    largest = 0.0
    for photo, served_answer in zip(photos, answers, strict=True):
        alone = dict(recognizer.choose(photo, menu).entries)
        for entry in served_answer["choice"]["entries"]:
            largest = max(largest, abs(entry["probability"] - alone[entry["entry"]]))
    return largest


def load(address: str, process: psutil.Process, photos: Sequence[bytes], n_requests: int) -> None:
    """Requests of which one of a hundred is broken; memory as it goes."""
    half = n_requests // 2
    statuses: Counter[tuple[bool, int]] = Counter()
    memory = []
    began_at = time.perf_counter()
    for first in (0, half):
        statuses += loaded_with(address, photos, range(first, first + half))
        memory.append(process.memory_info().rss / MIB)
        print(f"{first + half} requests, {memory[-1]:.0f} MiB resident", flush=True)
    wall = time.perf_counter() - began_at
    n_answers = sum(statuses.values())
    print(f"{n_answers} answers to {2 * half} requests in {wall:.0f} s")
    for (is_broken, status), count in sorted(statuses.items()):
        print(f"  {'broken' if is_broken else 'whole':<8}{status}  {count}")
    growth = memory[1] / memory[0] - 1
    print(f"memory after the last {half} against before: {growth:+.1%} (goal {GOAL_GROWTH:.0%})")


def loaded_with(
    address: str, photos: Sequence[bytes], numbers: range
) -> "Counter[tuple[bool, int]]":
    """{(broken, status): answers} of requests by LOAD_CLIENTS clients."""

    def ask(number: int) -> tuple[bool, int]:
        is_broken = number % BROKEN_EVERY == 0
        photo = photos[number % len(photos)]
        if is_broken:
            kinds = (b"no photo", photo[: len(photo) // 3], b"\xff\xd8\xff" + bytes(33 * MIB))
            photo = kinds[number // BROKEN_EVERY % len(kinds)]
        status, _ = post(address, photo, "bench")
        return is_broken, status

    with ThreadPoolExecutor(LOAD_CLIENTS) as clients:
        return Counter(clients.map(ask, numbers))


if __name__ == "__main__":
    main()
