"""A detector's training that is killed while it trains ends with the detector of an undisturbed
one.
"""

import json
import subprocess
import sys
import time

from dishvl_lib.core import paths
from dishvl_lib.detection import training

sys.path.insert(0, str(paths.PROJECT_ROOT / "tests"))
import square_toys

EPOCHS = 40
GIVE_UP_S = 120


def command(folder, out):
    """The command, on six photos."""
    options = ["--epochs", str(EPOCHS), "--size", "64", "--start", "none"]
    given = [str(folder / "labels.json"), str(folder / "photos"), str(folder / out)]
    return [sys.executable, "-m", "dishvl_lib.cli", "detect-train", *given, *options]


def kill_after_epochs(words, log, epochs):
    """SIGKILL once the log has so many rows."""
    process = subprocess.Popen(words, cwd=paths.PROJECT_ROOT, stdout=subprocess.DEVNULL)
    give_up = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up and process.poll() is None:
        if log.exists() and len(log.read_text("utf-8").splitlines()) >= epochs:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_a_training_that_is_killed_ends_as_an_undisturbed_one(tmp_path):
    frames = square_toys.frames(tmp_path / "photos", 6)
    labels = json.dumps(square_toys.coco(frames))
    (tmp_path / "labels.json").write_text(labels, "utf-8")
    subprocess.run(command(tmp_path, "whole"), cwd=paths.PROJECT_ROOT, check=True)
    killed = command(tmp_path, "killed")
    kill_after_epochs(killed, tmp_path / "killed" / training.LOG, 5)
    assert not (tmp_path / "killed" / training.METRICS).exists()
    done = subprocess.run(
        killed, cwd=paths.PROJECT_ROOT, check=True, capture_output=True, text=True
    )
    assert "going on after epoch" in done.stdout
    whole = (tmp_path / "whole" / training.DETECTOR).read_bytes()
    assert (tmp_path / "killed" / training.DETECTOR).read_bytes() == whole
