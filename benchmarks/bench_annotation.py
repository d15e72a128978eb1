"""Goal 8: annotation against a local server with 0.3 s latency: at a rate limit with 5% errors, and
64 at once against one at a time.

python benchmarks/bench_annotation.py        (the server is a process of its own; journal on, on a
real disk; about 2 minutes)
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.annotation import annotate
from dishvl_lib.endpoints import client

LATENCY_S = 0.3
RPM = 3000
ERRORS = 0.05
# dishes; two requests each
ONE_AT_A_TIME = 30
AT_ONCE = 1000
LIMITED = 1200
CARD = {"name": "红烧鱼", "cuisine": "家常菜", "ingredients": ["鱼", "酱油"], "calories": 150.0}
TEXTS = {"introduction": "一道家常菜。", "recipe": "1. 煎鱼。\n2. 加酱油烧。"}


def main() -> None:
    """Print both ratios with what stands on either side of them."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        photos = draw(folder, max(ONE_AT_A_TIME, AT_ONCE, LIMITED))
        slow = measure(folder, photos.head(ONE_AT_A_TIME), concurrency=1)
        fast = measure(folder, photos.head(AT_ONCE), concurrency=64)
        print(
            f"one at a time      {slow['rate']:8.1f} requests/s   ({slow['answered']} "
            f"requests in {slow['seconds']:.1f} s)"
        )
        print(
            f"64 at once         {fast['rate']:8.1f} requests/s   ({fast['answered']} "
            f"requests in {fast['seconds']:.1f} s)"
        )
        print(
            f"64 at once against one at a time: {fast['rate'] / slow['rate']:.1f}x (goal "
            f"40); cards missing: {slow['lost']} and {fast['lost']}"
        )
        limited = measure(
            folder,
            photos.head(LIMITED),
            errors=ERRORS,
            rpm=RPM,
            concurrency=64,
            requests_per_minute=RPM,
        )
        sent = 60 * limited["sent"] / limited["seconds"]
        good = 60 * limited["answered"] / limited["seconds"]
        print(
            f"limit {RPM}/min, {ERRORS:.0%} errors: {sent:.0f} requests/min sent = "
            f"{sent / RPM:.1%} of the limit (goal 95%), of them {good:.0f} good answers"
        )
        print(
            f"refused by the server for being over the limit: {limited['over']}; failed on "
            f"purpose: {limited['failed']}; cards missing: {limited['lost']}"
        )


def draw(folder: Path, n: int) -> pd.DataFrame:
    """n different small photos and their catalogue."""
    rows = []
    noise = np.random.default_rng(0)
    for number in range(n):
        path = folder / f"{number}.jpg"
        Image.fromarray(noise.integers(0, 256, (12, 16, 3), np.uint8)).resize((320, 240)).save(
            path, quality=85
        )
        row = {
            "image_id": str(number),
            "path": path.name,
            "dish_id": f"{number:05d}",
            "folder": f"{number:05d}",
            "split": "train",
            "typical": 0,
        }
        rows.append(row | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    return pd.DataFrame(rows)


def measure(
    folder: Path, photos: pd.DataFrame, errors: float = 0.0, rpm: int = 0, **changed: int
) -> dict[str, float]:
    """Annotate these dishes with a new server and a new journal."""
    journal = folder / f"{time.time_ns()}.sqlite"
    server = subprocess.Popen(
        [sys.executable, __file__, str(errors), str(rpm)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    base_url = server.stdout.readline().strip()
    endpoints = client.connect(
        [{"name": "toy", "base_url": base_url, "model": "m", "timeout_s": 30.0, **changed}]
    )
    started = time.perf_counter()
    answers = annotate.ask_dishes(photos, folder, endpoints, journal, run_name="bench", budget={})
    seconds = time.perf_counter() - started
    counts = json.loads(server.communicate("stop\n")[0])
    lost = sum(row["card"] is None or not row["recipe"] for row in answers)
    return {**counts, "seconds": seconds, "rate": counts["answered"] / seconds, "lost": lost}


class Server:
    """A bare HTTP/1.1 server that costs little: the client is what is measured."""

    def __init__(self, errors: float, rpm: int):
        self.errors = errors
        self.rpm = rpm
        self.seen = set()
        self.credit = rpm / 60
        self.counted_at = time.monotonic()
        self.counts = {"sent": 0, "answered": 0, "failed": 0, "over": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self.head(reader):
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            status, body = self.reply(await reader.readexactly(length))
            await asyncio.sleep(LATENCY_S if status == 200 else 0.01)
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: "
                f"{len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        writer.close()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            return b""

    def allowed(self) -> bool:
        """A bucket that holds one second's worth and fills evenly."""
        now = time.monotonic()
        self.credit = min(self.rpm / 60, self.credit + (now - self.counted_at) * self.rpm / 60)
        self.counted_at = now
        enough = self.credit >= 1
        self.credit -= enough
        return enough

    def reply(self, request: bytes) -> tuple[int, bytes]:
        """Over the limit: 429. A share of the requests fails the first time they come, by their
        content.
        """
        self.counts["sent"] += 1
        if self.rpm and not self.allowed():
            self.counts["over"] += 1
            return 429, b'{"error": {"code": "rate_limit_exceeded", "message": "slow down"}}'
        digest = hashlib.sha256(request).digest()
        if int.from_bytes(digest[:4]) < self.errors * 2**32 and digest not in self.seen:
            self.seen.add(digest)
            self.counts["failed"] += 1
            return 503, b'{"error": {"message": "overloaded"}}'
        self.counts["answered"] += 1
        # Dishes of their own, as real ones are: equal cards would ask for equal texts, which are
        # bought once.
        content = json.dumps(
            TEXTS if b'"dish_texts"' in request else CARD | {"cuisine": digest.hex()[:8]},
            ensure_ascii=False,
        )
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": content},
        }
        return 200, json.dumps(
            {
                "id": "x",
                "choices": [choice],
                "usage": {"prompt_tokens": 900, "completion_tokens": 150},
            },
            ensure_ascii=False,
        ).encode()


async def run_server(errors: float, rpm: int) -> None:
    """Serve until a line comes in, then print the counts."""
    made = Server(errors, rpm)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=2**20, backlog=256)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print(json.dumps(made.counts), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(run_server(float(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
