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


KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
REVIEW = """
import os
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image
from dishvl_lib.display.review import NameReview
root = Path(os.environ["DISHVL_OUTPUTS"]) / "review"
for number, dish in enumerate("ab"):
    (root / dish).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40, 3), 90 + 80 * number, np.uint8)).save(root / dish / "1.png")
photos = pd.DataFrame({"image_id": ["a1", "b1"], "path": ["a/1.png", "b/1.png"], "dish_id": ["a", "b"]})
dishes = [dict(dish_id=dish, folders=[f"f-{dish}"], name="红烧鱼", name_source="annotator", aliases=[], n_images=1, card=None, introduction="", recipe="", source=[], review="") for dish in "ab"]
rows = pd.DataFrame([("a", "红烧鱼", "same_name", "b", "both are called <img src=x onerror=window.hurt=1>", "1")], columns=["dish_id", "name", "suspicion", "other_dish", "evidence", "n_images"])
NameReview(rows, dishes, photos, root, root / "names.csv").show()
"""


def test_a_name_is_decided_with_the_keyboard_and_still_decided_after_a_reload(lab, chromium):
    address, folder = lab
    cell = {"cell_type": "code", "id": "c", "metadata": {}, "outputs": [], "execution_count": None, "source": REVIEW}
    (folder / "notebooks" / "review.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}), "utf-8"
    )
    decided = folder / "outputs" / "review" / "names.csv"
    for visit, progress in enumerate(("0 of 1", "1 of 1")):
        page = chromium.new_page(viewport={"width": 1300, "height": 1200})
        page.goto(f"{address}/lab/tree/review.ipynb?reset")
        page.wait_for_selector(".jp-Notebook", timeout=60_000)
        _wait(lambda: _ready(address, "review.ipynb"), 60)
        page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
        page.wait_for_selector(f'.dishvl:has-text("{progress}")', timeout=60_000)
        assert page.evaluate("window.hurt") is None
        if visit == 0:
            page.locator('button:has-text("keep apart")').focus()
            page.keyboard.press("Enter")
            _wait(decided.exists, 20)
            page.wait_for_selector('.dishvl:has-text("1 of 1")', timeout=20_000)
        page.screenshot(path=str(folder / f"review{visit}.png"))
        page.close()
    rows = decided.read_text("utf-8").splitlines()
    assert len(rows) == 2 and "f-a" in rows[1] and "keep_apart" in rows[1]
