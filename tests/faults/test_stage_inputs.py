"""Stages and the files between them: only what is declared is read, photos may go, and two runs
never share a folder.
"""

import json
import shutil
import subprocess
import sys

import chain
import jupyter_client
import pytest

from dishvl_lib.core import dependencies, markers, paths, records
from dishvl_lib.core.paths import STAGES


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(outputs, profile, photos) with run `toy` finished."""
    folder = tmp_path_factory.mktemp("inputs")
    photos = chain.draw(folder / "drawn")
    profile = chain.profile(folder / "profile", photos)
    done = chain.dishvl("run", profile, outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "outputs", profile, photos


def run(world, name, *arguments):
    return chain.dishvl("run", world[1], "--set", f"run_name={name}", *arguments, outputs=world[0])


def files_of(folder):
    """The names of what a stage wrote; TensorBoard's hold the time."""
    return {name for name in markers.read(folder)["outputs"] if not name.startswith("tensorboard/")}


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_reads_only_the_files_it_declares(world, stage):
    name = f"only_{stage[:2]}"
    read = dependencies.stages_read(stage, {})
    chain.keep_only_declared(world[0] / "toy", world[0] / name, stage, read)
    done = run(world, name, "--from", stage, "--to", stage)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    here, there = (files_of(world[0] / run_name / stage) for run_name in (name, "toy"))
    assert here == there


def test_exports_are_added_to_a_finished_run_without_making_anything_again(world):
    before = {stage: markers.read(world[0] / "toy" / stage) for stage in STAGES}
    done = run(world, "toy", "--set", "exports=[qwen]")
    assert done.returncode == 0, done.stderr
    added = [
        name
        for name in markers.read(world[0] / "toy" / "03_dataset")["outputs"]
        if name.startswith("exports/")
    ]
    assert added
    assert all(
        markers.read(world[0] / "toy" / stage)["finished_at"] == before[stage]["finished_at"]
        for stage in STAGES
    )
    assert chain.dishvl("verify", "toy", outputs=world[0]).returncode == 0


def test_another_language_remakes_the_report_alone(world):
    before = chain.contents(world[0] / "toy" / "05_evaluation")
    done = run(world, "toy", "--set", "exports=[qwen]", "--set", "language=zh")
    assert done.returncode == 0, done.stderr
    after = chain.contents(world[0] / "toy" / "05_evaluation")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"report.html", markers.SUCCESS}
    assert "准确率" in (world[0] / "toy" / "05_evaluation" / "report.html").read_text("utf-8")
    assert chain.dishvl("verify", "toy", outputs=world[0]).returncode == 0


def test_photos_that_go_between_stages_are_left_out_and_listed(world, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(world[2], photos)
    place = ["--set", f"image_root={photos}", "--set", "max_missing_share=0.2"]
    assert run(world, "gone", *place, "--to", "01").returncode == 0
    folder = world[0] / "gone"
    catalogue = records.read_table(folder / "01_annotation" / "catalog.parquet")

    def lose(split):
        """Delete a photo of this split that is still there; its path."""
        there = [
            path for path in catalogue[catalogue.split == split].path if (photos / path).exists()
        ]
        (photos / there[-1]).unlink()
        return there[-1]

    before_02 = lose("train")
    done = run(world, "gone", *place, "--from", "02", "--to", "03")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert records.read_table(folder / "02_similar_dishes" / "skipped.csv").path.tolist() == [
        before_02
    ]
    assert before_02 not in {
        row["image"] for row in records.iter_jsonl(folder / "03_dataset" / "train.jsonl")
    }
    before_04 = lose("train")
    done = run(world, "gone", *place, "--from", "04", "--to", "04")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert records.read_table(folder / "04_training" / "missing_photos.csv").path.tolist() == [
        before_04
    ]
    before_05 = lose("test")
    done = run(world, "gone", *place, "--from", "05")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert records.read_table(folder / "05_evaluation" / "missing_photos.csv").path.tolist() == [
        before_05
    ]
    judged = {
        row["image_id"]
        for row in records.iter_jsonl(folder / "05_evaluation" / "predictions.jsonl")
    }
    assert catalogue.set_index("path").image_id[before_05] not in judged
    refused = run(
        world,
        "refused",
        "--set",
        "upstream_run=gone",
        "--set",
        f"image_root={photos}",
        "--set",
        "max_missing_share=0.001",
        "--from",
        "05",
    )
    assert refused.returncode == 1
    assert "raise max_missing_share (now 0.001)" in refused.stderr


def test_two_runs_in_one_folder_are_told_apart(world):
    """B with another seed begins at many moments of A's chain: it is refused each time, and A ends
    as if it were alone.
    """
    command = [
        sys.executable,
        "-m",
        "dishvl_lib.cli",
        "run",
        str(world[1]),
        "--set",
        "run_name=shared",
    ]
    first = subprocess.Popen(
        command,
        env=chain.environment(world[0]),
        cwd=paths.PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    refusals = []
    while first.poll() is None:
        if not (world[0] / "shared" / "01_annotation").exists():
            continue
        second = run(world, "shared", "--set", "seed=1")
        refusals.append(second.stderr)
        if first.poll() is None:
            assert second.returncode == 1
    assert first.returncode == 0, first.stderr.read()
    first.stderr.close()
    busy = [refusal for refusal in refusals if "is being made by process" in refusal]
    print(
        f"{len(refusals)} starts beside a running chain: {len(busy)} refused as busy, "
        f"{len(refusals) - len(busy)} for other parameters"
    )
    assert busy
    assert {
        markers.read(world[0] / "shared" / stage)["parameters"]["seed"] for stage in STAGES
    } == {0}
    assert not list((world[0] / "shared").glob("*.old-*"))
    assert chain.dishvl("verify", "shared", outputs=world[0]).returncode == 0
    tables = [
        records.read_table(world[0] / run_name / "01_annotation" / "catalog.parquet")
        for run_name in ("shared", "toy")
    ]
    assert tables[0].equals(tables[1])


def test_a_kernel_holds_its_stage_until_it_ends(world):
    manager = jupyter_client.KernelManager()
    manager.start_kernel(cwd=str(paths.PROJECT_ROOT), env=chain.environment(world[0]))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        cells = [
            cell
            for cell in json.loads(paths.notebook("01").read_text("utf-8"))["cells"]
            if cell["cell_type"] == "code"
        ]
        declared = "".join(cells[0]["source"])
        given = f"run_name = 'kernel'; image_root = {str(world[2])!r}; sites = []"
        for code in (
            declared,
            given,
            "from dishvl_lib.core import stages",
            "stage = stages.start('01_annotation', globals())",
            "stage = stages.start('01_annotation', globals())",
        ):
            reply = client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
            assert reply["content"]["status"] == "ok", reply["content"]
        refused = run(world, "kernel", "--to", "01")
        assert refused.returncode == 1
        assert "01_annotation of run kernel is being made by process" in refused.stderr
        assert "restart that notebook's kernel" in refused.stderr
        assert "running (process" in chain.dishvl("status", "kernel", outputs=world[0]).stdout
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "nobody works on it" in chain.dishvl("status", "kernel", outputs=world[0]).stdout
    assert run(world, "kernel", "--to", "01").returncode == 0
