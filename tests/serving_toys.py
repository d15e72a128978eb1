"""A service with a tiny model: in this process behind a client, or as the command itself."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import tiny
from fastapi.testclient import TestClient
from gallery_toys import gallery_folder

from dishvl_lib import Recognizer, Trays
from dishvl_lib.core import paths, records
from dishvl_lib.serving import app
from dishvl_lib.serving.limits import Limits
from dishvl_lib.serving.served_model import ServedModel
from dishvl_lib.serving.service import Folders, Service
from dishvl_lib.vlm.recognizer import METADATA, model_fingerprint

LOCAL = "http://127.0.0.1"
MENU = ["红烧鱼", "米饭", "番茄炒蛋"]
WRITTEN_MENU = ["1. 红烧鱼 ￥12", "2. 米饭 1元", "番茄炒蛋"]


def model_folder(folder: Path, with_gallery: bool = True) -> Path:
    """`04_training/best` of a run, with a gallery beside it."""
    best = tiny.base_folder(folder / "04_training" / "best")
    records.write_json(best / METADATA, {"temperature": 1.0})
    if with_gallery:
        add_gallery(best)
    return best


def add_gallery(best: Path) -> None:
    """A gallery that belongs to the model as its folder is now."""
    gallery_folder(best.parent / "gallery", model=model_fingerprint(best))


def service(best: Path, home: Path, use_gallery: bool = True, detector=None, **limits) -> Service:
    """A service that keeps what it is given in `home`."""
    recognizer = Recognizer.load(best, device="cpu")
    trays = Trays(detector, recognizer) if detector else None
    model = ServedModel(recognizer, use_gallery)
    return Service(model, Folders(home), Limits(**limits), trays)


@contextlib.contextmanager
def client(served: Service, token: str = ""):
    """A client of a running service; the service ends with the block."""
    door = app.build(served, token)
    with TestClient(door, LOCAL, raise_server_exceptions=False) as opened:
        yield opened


def error_of(response) -> dict:
    """The error of a response, which must have the one form and the request's id."""
    error = response.json()["error"]
    assert set(error) >= {"code", "message", "request_id"}
    assert error["request_id"] == response.headers["X-Request-ID"]
    return error


@contextlib.contextmanager
def command(best: Path | str, *arguments: str, outputs: Path, token: str = ""):
    """`dishvl serve` as a process of its own: (its address, the process)."""
    environment = {**os.environ, "DISHVL_OUTPUTS": str(outputs), "DISHVL_TOKEN": token}
    environment["PYTHONPATH"] = str(paths.PROJECT_ROOT)
    process = subprocess.Popen(
        [sys.executable, "-m", "dishvl_lib.cli", "serve", str(best), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=paths.PROJECT_ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        match = re.search(r"http://\S+", first)
        assert match, f"the service did not start: {first!r}"
        yield match[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
