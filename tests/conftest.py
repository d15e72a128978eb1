"""What every test shares: an outputs folder of its own, and workers that share the cores."""

import os

import pytest

# The files that take longest, longest first: begun last, one would keep one core busy at the end.
LONGEST = (
    "test_chain.py",
    "test_chain_base_run.py",
    "test_training_run.py",
    "test_similarity_features.py",
    "test_estimate_planner.py",
    "test_estimate_trial.py",
    "test_vlm_answer_together.py",
    "test_training_checkpoints.py",
    "test_dataset_shortcuts.py",
    "test_training_export.py",
    "test_training_kills.py",
    "test_kills.py",
    "test_processes.py",
)


def pytest_configure(config):
    """Threads of torch and Paddle, before either is imported: the cores that a worker has."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_collection_modifyitems(items):
    """The longest files first; the others, and the tests within a file, as they were."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True)
def own_outputs(tmp_path, monkeypatch):
    """DISHVL_OUTPUTS points into the test's temporary folder; the folder is handed to tests that
    ask for it.
    """
    folder = tmp_path / "outputs"
    monkeypatch.setenv("DISHVL_OUTPUTS", str(folder))
    return folder
