"""A hub that cannot be reached is told within seconds; one that answers slowly is waited for."""

import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from dishvl_lib.core import paths
from dishvl_lib.vlm import hub, qwen

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
CONTENT = b"x" * 40_000


@pytest.fixture(autouse=True)
def endpoint(monkeypatch, tmp_path):
    """Sets the hub's address; nothing of this machine's cache is seen."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "")

    def at(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)

    return at


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["no such name", "refused"])
def test_a_hub_that_is_not_there_is_told_within_seconds(endpoint, fault):
    address = closed_port() if fault == "refused" else "http://no-such-name.invalid"
    endpoint(address)
    began = time.monotonic()
    with pytest.raises(qwen.ModelError) as error:
        qwen.locate(MODEL)
    assert time.monotonic() - began < 10
    for word in (MODEL, address, "HF_ENDPOINT", "modelscope:", "docs/offline.md"):
        assert word in str(error.value)


def test_a_model_that_was_downloaded_before_is_taken_from_the_cache(
    endpoint, monkeypatch, capsys, tmp_path
):
    endpoint(closed_port())
    cached = str(tmp_path / "config.json")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: cached)
    assert qwen.locate(MODEL) == MODEL
    assert "is taken from the cache" in capsys.readouterr().out
    assert constants.HF_HUB_OFFLINE


def test_a_folder_asks_no_hub(endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "unreachable", lambda: pytest.fail("the hub was asked"))
    assert qwen.locate(str(tmp_path)) == str(tmp_path)


class Trickling(BaseHTTPRequestHandler):
    """A hub that answers late and sends a file for longer than a connection is waited for."""

    def do_HEAD(self):
        time.sleep(self.server.late_s)
        self.send_response(200)
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        for start in range(0, len(CONTENT), 4000):
            self.wfile.write(CONTENT[start : start + 4000])
            self.wfile.flush()
            time.sleep(self.server.pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture
def trickling():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Trickling)
    server.late_s = 0.0
    server.pause_s = 0.0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_hub_that_is_slow_to_answer_is_reachable(endpoint, trickling, monkeypatch):
    endpoint(f"http://127.0.0.1:{trickling.server_address[1]}")
    monkeypatch.setattr(hub, "CONNECT_S", 0.2)
    trickling.late_s = 1.0
    assert hub.unreachable() == ""


DOWNLOAD = """
import sys
import huggingface_hub
from dishvl_lib.vlm import hub
hub.CONNECT_S = 0.2
hub.prepare(sys.argv[1])
print(huggingface_hub.hf_hub_download(sys.argv[1], "model.safetensors", local_dir=sys.argv[2]))
"""


def test_a_download_that_moves_is_not_cut(trickling, tmp_path):
    """It takes longer than a connection is waited for."""
    trickling.pause_s = 0.1
    address = f"http://127.0.0.1:{trickling.server_address[1]}"
    command = [sys.executable, "-c", DOWNLOAD, MODEL, str(tmp_path)]
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=paths.PROJECT_ROOT
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == CONTENT
