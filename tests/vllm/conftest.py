"""One vLLM server over one trained folder for all tests here. Skipped, loudly, where there is no
vLLM.
"""

import os

import pytest
import served

from dishvl_lib import Recognizer


def pytest_configure(config):
    """A request to this machine goes past any proxy, ours and vLLM's own."""
    os.environ.setdefault("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The newest trained run under outputs/, or a toy's."""
    if not served.VLLM.is_file():
        pytest.skip("no .venv-vllm: make test-vllm makes it. vLLM is NOT tested")
    return served.newest_run() or served.toy_run(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def recognizer(run):
    return Recognizer.load(run.best, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def base_url(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    model = served.with_penalty(run.best, folder)
    server, address = served.start(model, folder / "vllm.log")
    yield address
    served.stop(server)
