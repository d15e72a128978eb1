"""What every test shares: outputs go to the test's own folder."""

import pytest


@pytest.fixture(autouse=True)
def own_outputs(tmp_path, monkeypatch):
    """DISHVL_OUTPUTS points into the test's temporary folder; the folder is handed to tests that ask for it."""
    folder = tmp_path / "outputs"
    monkeypatch.setenv("DISHVL_OUTPUTS", str(folder))
    return folder
