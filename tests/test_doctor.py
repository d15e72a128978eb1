"""What `dishvl doctor` says of versions."""

import re
import socket

import pytest
from huggingface_hub import constants
from toys import Server

from dishvl_lib import doctor
from dishvl_lib.core import paths, stages


def test_a_version_that_was_not_tested_is_named_with_the_one_that_was():
    tested = {"torch": "2.13.0", "transformers": "5.23.0"}
    (line,) = doctor.untested({"torch": "2.13.0+cpu", "transformers": "6.0.0", "new": "1"}, tested)
    assert "transformers 6.0.0 is not the version that was tested (5.23.0)" in line
    assert "pip install transformers==5.23.0" in line


def test_every_package_that_decides_a_result_was_tested_in_one_version():
    assert set(stages.PACKAGES) - {"dishvl"} <= set(doctor.tested_versions())


@pytest.fixture
def closed_port():
    """The address of a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


WORDS = ("python ", "torch ", "memory", "disk for outputs", "GPU: ", "torch.cuda: ", "Chinese font")


def test_the_report_names_versions_memory_disk_gpu_and_font(monkeypatch, closed_port):
    monkeypatch.setattr(constants, "ENDPOINT", closed_port)
    report = doctor.report()
    for word in WORDS:
        assert word in report


def test_a_hub_that_cannot_be_reached_is_told_with_what_helps(monkeypatch, closed_port):
    monkeypatch.setattr(constants, "ENDPOINT", closed_port)
    sentence = doctor._hub()
    for word in (closed_port, "cannot be reached", "HF_ENDPOINT", "modelscope:", "folder"):
        assert word in sentence


def test_a_hub_that_answers_is_told_whatever_it_says(monkeypatch):
    with Server(lambda _: (404, {})) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.base_url)
        assert doctor._hub() == f"{server.base_url} answers"


def test_the_memory_of_the_7b_is_that_of_the_docs():
    page = (paths.PROJECT_ROOT / "docs" / "7b.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| GPU memory")]
    of_page = re.findall(r"\| (\d+) GB", row)
    assert of_page == re.findall(r"(\d+) GB", doctor.GPU_NEEDED)
