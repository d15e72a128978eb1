"""The scripts that people with a GPU run, tried on a CPU with a tiny model: the same code at
another size.
"""

import os
import subprocess
import sys

from dishvl_lib.core import paths, records

BENCHMARKS = paths.PROJECT_ROOT / "benchmarks"


def run(script, *arguments, outputs):
    environment = {**os.environ, "DISHVL_OUTPUTS": str(outputs)}
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=500,
        cwd=paths.PROJECT_ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_real_size_goes_through_every_phase(tmp_path):
    printed = run("real_size.py", "--size", "tiny", outputs=tmp_path)
    for phase in (
        "train, checkpoint, kill",
        "resume, one step more, best/",
        "name, score menus of 20",
        "LoRA: train",
    ):
        assert phase in printed
    assert "2 photos named and scored on a menu of 20" in printed
    assert "299,008 of 1,202,176 parameters trained" in printed
    assert "planner within 15%" in printed
    assert not list(tmp_path.glob("real-size-*")), "nothing of it is left"


def test_the_gpu_table_has_a_row_for_every_goal_and_its_two_ways_agree(tmp_path):
    run(
        "bench_gpu.py",
        "--size",
        "tiny",
        "--device",
        "cpu",
        "--photos",
        "2",
        "--repeats",
        "1",
        outputs=tmp_path,
    )
    table = records.read_table(tmp_path / "bench_gpu.csv").set_index("what")
    goals = table.goal[table.goal != ""]
    assert goals.to_dict() == {
        "training, one question a photo": "32.0",
        "training, two questions a photo": "50.0",
        "training against the official way": "2.5",
        "menus of 20 scored": "40.0",
    }
    assert float(table.measured["loss of a tree of 4 against 4 plain samples"]) < 1e-3
    assert float(table.measured["segments against dense"]) < 1e-3
