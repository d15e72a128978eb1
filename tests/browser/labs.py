"""A JupyterLab of a test's own, and how a notebook is opened and run in it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from dishvl_lib.core import paths

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def start(folder: Path) -> tuple[subprocess.Popen, str]:
    """(server, address) of a JupyterLab over a copy of the notebooks in `folder`, with folders and
    a port of its own.
    """
    shutil.copytree(paths.PROJECT_ROOT / "notebooks", folder / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        f"JUPYTER_{name}": str(folder / name.lower())
        for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--allow-root",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
    ]
    server = subprocess.Popen(
        command,
        env={**os.environ, **variables, "DISHVL_OUTPUTS": str(folder / "outputs")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    wait(lambda: _sessions(address) is not None, 60)
    return server, address


def write_notebook(folder: Path, name: str, source: str) -> None:
    cell = {
        "cell_type": "code",
        "id": "c",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    notebook = {
        "cells": [cell],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "notebooks" / name).write_text(json.dumps(notebook), "utf-8")


def run_all(browser, address: str, name: str, size: tuple[int, int] = (1300, 1500)):
    """A page with the notebook, its kernel connected and idle, and all its cells started by
    JupyterLab's own menu.
    """
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    wait(lambda: _ready(address, name), 60)
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    return page


def wait(condition, seconds: float) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "JupyterLab did not get there in time"
        time.sleep(0.3)


def _sessions(address: str):
    try:
        with urllib.request.urlopen(f"{address}/api/sessions", timeout=2) as reply:
            return json.load(reply)
    except OSError:
        return None


def _ready(address: str, name: str) -> bool:
    kernels = [session["kernel"] for session in _sessions(address) or () if session["path"] == name]
    return (
        bool(kernels) and kernels[0]["connections"] > 0 and kernels[0]["execution_state"] == "idle"
    )
