"""One JupyterLab and one Chromium for each test file here. Skipped, loudly, where there is none."""

import labs
import pytest


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """A JupyterLab of its own; yields its address and the folder with notebooks/ and outputs/."""
    folder = tmp_path_factory.mktemp("lab")
    server, address = labs.start(folder)
    yield address, folder
    server.terminate()
    server.wait(20)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make test-browser installs it"
    )
    if not labs.CHROMIUM:
        pytest.skip("no Chromium on this machine: JupyterLab and the reports are NOT tested")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=labs.CHROMIUM, args=labs.FLAGS)
        yield browser
        browser.close()
