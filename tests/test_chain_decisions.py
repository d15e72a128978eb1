"""Decisions about photos through the stages that read them, as a user runs them on drawn dishes."""

import chain
import pytest

from dishvl_lib.core import records
from dishvl_lib.core.decisions import PhotoDecisions


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(outputs, profile) with the run `toy`, finished up to its questions."""
    folder = tmp_path_factory.mktemp("decisions")
    profile = chain.profile(folder / "profile", chain.draw(folder / "drawn"))
    run_to_questions(folder / "outputs", profile, "toy")
    return folder / "outputs", profile


def run_to_questions(outputs, profile, run_name, *more):
    settings = ("--set", f"run_name={run_name}", *more)
    done = chain.dishvl("run", profile, "--to", "03", *settings, outputs=outputs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def catalogue_of(run):
    return records.read_table(run / "01_annotation" / "catalog.parquet").set_index("image_id")


def answer_about(run, image_id):
    """The answers to the test questions about a photo whose dish is among them."""
    rows = records.read_jsonl(run / "03_dataset" / "test.jsonl")
    about = [row for row in rows if row["image_id"] == image_id and row["kind"] != "menu_absent"]
    return {row["conversations"][1]["value"] for row in about}


def test_a_photo_that_is_given_its_right_dish_is_asked_about_as_that_dish(world):
    outputs, profile = world
    run = outputs / "toy"
    before = catalogue_of(run)
    photo = before[before.split == "test"].iloc[0]
    right = sorted(set(before.dish_id[before.split == "train"]) - {photo.dish_id})[0]
    assert "decisions wait" not in chain.dishvl("status", "toy", outputs=outputs).stdout
    file = PhotoDecisions(run / "decisions" / "photos.csv")
    file.add("other dish", image_id=photo.name, right_dish=right)
    waits = chain.dishvl("status", "toy", outputs=outputs).stdout
    assert "decisions wait: 1 photos of" in waits
    printed = run_to_questions(outputs, profile, "toy")
    assert "1 photos are of another dish than their folder" in printed
    after = catalogue_of(run)
    assert after.loc[photo.name, ["dish_id", "moved_from"]].tolist() == [right, photo.dish_id]
    same = ["path", "group_id", "split"]
    assert after[same].equals(before[same])
    assert answer_about(run, photo.name) == {right}
    assert "decisions wait" not in chain.dishvl("status", "toy", outputs=outputs).stdout
    file.take_back(image_id=photo.name)
    run_to_questions(outputs, profile, "toy")
    assert catalogue_of(run).dish_id.equals(before.dish_id)


def test_stage_03_applies_the_runs_decisions_to_another_runs_catalogue(world):
    outputs, profile = world
    photos = records.read_table(outputs / "toy" / "01_annotation" / "catalog.parquet")
    tested = photos[photos.split == "test"]
    moved, bad = (photo for _, photo in tested.groupby("dish_id").head(1).head(2).iterrows())
    file = PhotoDecisions(outputs / "own" / "decisions" / "photos.csv")
    file.add("other dish", image_id=moved.image_id, right_dish=bad.dish_id)
    file.add("photo bad", image_id=bad.image_id)
    upstream = ("--set", "upstream_run=toy", "--from", "03")
    run_to_questions(outputs, profile, "own", *upstream)
    run = outputs / "own"
    assert answer_about(run, moved.image_id) == {bad.dish_id}
    assert answer_about(run, bad.image_id) == set()
    decided = records.read_table(run / "03_dataset" / "decided_photos.csv").set_index("image_id")
    assert decided.effect.to_dict() == {moved.image_id: "moved", bad.image_id: "left out"}
    assert set(decided.split) == {"test"}
