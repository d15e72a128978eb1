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
ERRORS = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] >> text=Traceback"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own over a copy of the notebooks; yields its address and the folder with notebooks/ and outputs/."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(paths.PROJECT_ROOT / "notebooks", folder / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}": str(folder / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--IdentityProvider.token=", "--allow-root", f"--ServerApp.root_dir={folder / 'notebooks'}"]  # fmt: skip
    environment = {**os.environ, **own, "DISHVL_OUTPUTS": str(folder / "outputs")}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    _wait(lambda: _sessions(address) is not None, 60)
    yield address, folder
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


def _ready(address, notebook):
    kernels = [one["kernel"] for one in _sessions(address) or () if one["path"] == notebook]
    return bool(kernels) and kernels[0]["connections"] > 0 and kernels[0]["execution_state"] == "idle"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("stage", paths.STAGES)
def test_a_notebook_runs_as_it_stands(lab, chromium, stage):
    """All five, in order, with the defaults of their parameters cells: the demo, cell by cell."""
    address, folder = lab
    page = chromium.new_page(viewport={"width": 1300, "height": 1500})
    page.goto(f"{address}/lab/tree/{stage}.ipynb?reset")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    _wait(lambda: _ready(address, f"{stage}.ipynb"), 60)
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    marker = folder / "outputs" / "demo" / stage / "_SUCCESS.json"
    _wait(lambda: marker.exists() or _tracebacks(page), 900)
    page.wait_for_timeout(1500)
    page.screenshot(path=str(folder / f"{stage}.png"))
    assert not _tracebacks(page), page.locator(ERRORS).first.inner_text()[-2000:]
    assert json.loads(marker.read_text("utf-8"))["counts"]
    page.close()


def _tracebacks(page):
    return page.locator(ERRORS).count()
