"""A notebook run in a real JupyterLab, cell by cell by its own menu, in headless Chromium. Skipped, loudly, without one."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from dishvl_lib.core import paths

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser installs it")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: JupyterLab is NOT tested")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab of its own over a copy of the notebooks; yields its address and that folder."""
    shutil.copytree(paths.PROJECT_ROOT / "notebooks", tmp_path / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}": str(tmp_path / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--allow-root",
        f"--ServerApp.root_dir={tmp_path / 'notebooks'}",
    ]
    server = subprocess.Popen(
        command, env={**os.environ, **own, "DISHVL_OUTPUTS": str(tmp_path / "outputs")}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    _wait(lambda: _sessions(address) is not None, 60)
    yield address, tmp_path / "notebooks"
    server.terminate()
    server.wait(20)


def _sessions(address):
    try:
        with urllib.request.urlopen(f"{address}/api/sessions", timeout=2) as reply:
            return json.load(reply)
    except OSError:
        return None


def _wait(condition, seconds):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "JupyterLab did not get there in time"
        time.sleep(0.3)


def _ready(address):
    found = _sessions(address)
    return bool(found) and found[0]["kernel"]["connections"] > 0 and found[0]["kernel"]["execution_state"] == "idle"


def test_notebook_01_runs_as_it_stands(lab, tmp_path):
    address, _ = lab
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 1500})
        page.goto(f"{address}/lab/tree/01_annotation.ipynb?reset")
        page.wait_for_selector(".jp-Notebook", timeout=60_000)
        _wait(lambda: _ready(address), 60)
        page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
        marker = tmp_path / "outputs" / "demo" / "01_annotation" / "_SUCCESS.json"
        _wait(marker.exists, 240)
        page.wait_for_timeout(1500)
        page.screenshot(path=str(tmp_path / "lab.png"))
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback").count() == 0
        browser.close()
    assert json.loads(marker.read_text("utf-8"))["counts"]["ok"] > 1000
