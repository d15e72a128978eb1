"""Small photos, folders and catalogues that the tests of core, annotation, endpoints and dataset
share.
"""

import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dishvl_lib.demo import shipped_weights

ORIENTATION = 0x0112


def picture(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A smooth RGB picture of its own for each seed; (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, **options: object) -> bytes:
    return encoded(picture(seed), "JPEG", **options)


def rotated(seed: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture(seed), "JPEG", exif=exif)


def fill(root, folders: dict[str, int], first_seed: int = 0) -> int:
    """`folders` {name: number of different photos} below `root`; returns the next unused seed."""
    seed = first_seed
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number}.jpg").write_bytes(jpeg(seed))
            seed += 1
    return seed


def photo_rows(per_dish: dict[str, dict[str, int]]) -> pd.DataFrame:
    """A catalogue without files: {dish: {split: number of photos}}."""
    rows = [
        {
            "image_id": f"{dish}-{split}-{i}",
            "path": f"{dish}/{split}{i}.jpg",
            "dish_id": dish,
            "group_id": f"{dish}-{split}-{i}",
            "split": split,
            "sha256": f"{dish}{split}{i}",
            "folder": dish,
        }
        for dish, splits in per_dish.items()
        for split, count in splits.items()
        for i in range(count)
    ]
    return pd.DataFrame(rows)


def neighbours(pairs: dict[str, list[str]]) -> pd.DataFrame:
    """similar_dishes.csv as it is read back: all text."""
    rows = [
        (dish, other, str(rank))
        for dish, others in pairs.items()
        for rank, other in enumerate(others, start=1)
    ]
    return pd.DataFrame(rows, columns=["dish_id", "similar_id", "rank"])


def completion(content: object, usage: dict[str, int] | None = None) -> dict:
    """The body of a chat completion whose message holds `content` (text as it is, anything else as
    JSON).
    """
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        ],
        "usage": usage or {"prompt_tokens": 1000, "completion_tokens": 100},
    }


class Server:
    """A local server that answers each chat request with `answer(request)`: (status, body) or
    (status, body, headers); None cuts the connection.

    `requests` holds the JSON bodies it got, `keys` the Authorization headers.
    """

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.keys = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.requests.append(
                    json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                )
                outer.keys.append(self.headers.get("Authorization", ""))
                outer._reply(self, outer.answer(outer.requests[-1]))

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _reply(self, handler, reply):
        if reply is None:
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        status, body, headers = (*reply, {})[:3]
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        handler.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def another_process_holding(lock_file):
    """A process that holds a lock for the block, as its `Popen`."""
    program = (
        "import sys, pathlib; from dishvl_lib.core import locks; "
        "locks.take(pathlib.Path(sys.argv[1]), 'toy'); print('held', flush=True); "
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(lock_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def tree_of(folder: Path) -> list[str]:
    """All files and folders below `folder`, relative to it; [] when it is not there."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def copied_weights(shipped: Path, folder: Path) -> Path:
    """Shipped weights with their checksum in a folder of their own, free to be damaged."""
    for file in (shipped, shipped_weights.checksum_file(shipped)):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / shipped.name
