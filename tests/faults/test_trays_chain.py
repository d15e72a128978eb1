"""The whole chain on photos of trays: stage 00 is killed on the way, and the rest takes its crops."""

import contextlib
import subprocess
import sys
import time

import psutil
import pytest
from chain import DISHES, SMALL, contents, dishvl, environment, keep_only_declared

from dishvl_lib.core import artefacts, dependencies, markers, paths, records
from dishvl_lib.demo import trays as drawn

MARGIN = 0.9
N_TRAYS = 40
CHAIN = {
    **SMALL,
    "common.yaml": "base: demo\nrun_name: toy\ntrays_root: {frames}\nsites: []\nmin_pixels: 3136\n"
    "max_pixels: 3136\n",
    "00_trays.yaml": "tray_labels: {labels}\ndetector_epochs: 3\ndetector_size: 160\n"
    f"crop_margin: {MARGIN}\n",
    "01_annotation.yaml": "annotators: []\n",
    "05_evaluation.yaml": "tray_menu_size: 4\nprices_csv: {prices}\n",
}


def kill_when_cropping(profile, outputs):
    """Starts the chain, and kills it when the first crops are written."""
    command = [sys.executable, "-m", "dishvl_lib.cli", "run", str(profile), "--to", "00"]
    process = subprocess.Popen(
        command,
        cwd=paths.PROJECT_ROOT,
        env=environment(outputs),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    crops = outputs / "toy" / paths.TRAYS / "crops"
    until = time.monotonic() + 200
    while time.monotonic() < until and not list(crops.glob("*.jpg")):
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    for victim in [psutil.Process(process.pid), *family]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    process.wait(30)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trays")
    drawn.draw_demo_trays(folder / "trays", n=N_TRAYS, seed=3, dishes=DISHES, processes=2)
    prices = folder / "prices.csv"
    prices.write_text("name,price\n" + "".join(f"{name},8.5\n" for name in DISHES), "utf-8")
    places = {
        "frames": folder / "trays" / drawn.FRAMES,
        "labels": folder / "trays" / drawn.LABELS,
        "prices": prices,
    }
    for name, text in CHAIN.items():
        records.write_text(folder / "profile" / name, text.format(**places))
    outputs = folder / "outputs"
    kill_when_cropping(folder / "profile", outputs)
    was_killed = not markers.finished(outputs / "toy" / paths.TRAYS)
    ran = dishvl("run", folder / "profile", outputs=outputs, timeout=560)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    return folder / "profile", outputs, ran.stdout, was_killed


@pytest.fixture
def stage(world):
    return lambda name: world[1] / "toy" / name


def test_it_was_killed_on_the_way(world):
    assert world[3]


def test_no_frame_is_in_two_splits(stage):
    crops = records.read_table(stage(paths.TRAYS) / artefacts.CROPS)
    photos = records.read_table(stage("01_annotation") / "catalog.parquet")
    frame_of = dict(zip(crops.path, crops.frame_id, strict=True))
    splits = photos.split.groupby(photos.path.map(frame_of)).nunique()
    assert len(splits) > N_TRAYS * 0.8
    assert (splits == 1).all()


def test_every_crop_is_a_photo_or_left_out_with_a_reason(stage):
    crops = records.read_table(stage(paths.TRAYS) / artefacts.CROPS)
    photos = records.read_table(stage("01_annotation") / "catalog.parquet")
    rejected = records.read_table(stage("01_annotation") / "rejected.csv")
    assert len(crops) == len(photos) + len(rejected)


def test_the_margin_is_kept_beside_the_model(stage):
    best = records.read_json(stage("04_training") / "best" / "dishvl.json")
    assert best["crop_margin"] == MARGIN


@pytest.mark.parametrize("protocol", ["tray", "tray_true_boxes"])
@pytest.mark.parametrize("predictor", ["tuned", "hybrid", "pplcnet"])
def test_whole_trays_are_judged(stage, predictor, protocol):
    measured = records.read_json(stage("05_evaluation") / "metrics.json")[predictor][protocol]
    assert 0 < measured["n"] <= N_TRAYS * 0.2
    assert measured["ci95"][0] <= measured["accuracy"] <= measured["ci95"][1]
    assert measured["dishes_right"] <= measured["dishes_found"] <= measured["dishes"]
    assert measured["priced"] == measured["n"]


def test_with_true_boxes_every_dish_is_found(stage):
    measured = records.read_json(stage("05_evaluation") / "metrics.json")["tuned"]
    assert measured["tray_true_boxes"]["dishes_found"] == measured["tray_true_boxes"]["dishes"]


def test_the_command_prints_the_tray_row(world):
    assert any(line.startswith("tuned") and " tray " in line for line in world[2].splitlines())


def test_the_report_shows_whole_trays(stage):
    assert "whole trays" in (stage("05_evaluation") / "report.html").read_text("utf-8")


def test_stage_05_reads_only_the_files_it_declares(world):
    profile, outputs = world[:2]
    read = dependencies.stages_read("05_evaluation", {"trays_root": "builtin"})
    keep_only_declared(outputs / "toy", outputs / "only", "05_evaluation", read)
    again = ["--set", "run_name=only", "--from", "05", "--to", "05"]
    done = dishvl("run", profile, *again, outputs=outputs)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    answers = []
    for run_name in ("only", "toy"):
        rows = records.read_table(outputs / run_name / "05_evaluation" / "trays.parquet")
        answers.append(rows[rows.predictor == "tuned"].reset_index(drop=True))
    assert answers[0].equals(answers[1])


def test_a_finished_run_does_nothing(world, stage):
    before = contents(world[1] / "toy")
    again = dishvl("run", world[0], outputs=world[1])
    assert again.returncode == 0
    assert again.stdout.count("nothing to do") == 6
    assert contents(world[1] / "toy") == before


def test_the_status_lists_stage_00(world):
    shown = dishvl("status", "toy", outputs=world[1]).stdout
    assert shown.startswith("00_trays")
