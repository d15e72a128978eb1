"""Stage 01 settles names and decisions about photos: who moves, who is left out, which dishes
stay.
"""

import pandas as pd
import pytest

from dishvl_lib.core import artefacts, decided_photos, paths, records, stages
from dishvl_lib.steps import annotation as steps

PARAMS = {"run_name": "r", "names_csv": "", "near_features": "", "same_name": "ask"}


def photo(dish, number, split="train"):
    path = f"{dish}/{number}.jpg"
    return {
        "image_id": artefacts.image_id_of(path),
        "path": path,
        "dish_id": dish,
        "folder": dish,
        "group_id": path,
        "split": split,
        "sha256": path,
        "typical": number,
    }


PHOTOS = pd.DataFrame(
    [
        photo("红烧鱼", 0),
        photo("红烧鱼", 1, "test"),
        photo("土豆丝", 0),
        photo("土豆丝", 1),
        photo("GX1", 0),
    ]
)
NO_PAIRS = pd.DataFrame(
    columns=["image_id_a", "image_id_b", "dish_a", "dish_b", "by", "distance", "joined"]
)


@pytest.fixture
def settle(tmp_path, monkeypatch):
    """Settles PHOTOS with decisions (path, right dish) and names (folder, name)."""
    run = tmp_path / "r"
    monkeypatch.setattr(paths, "run_folder", lambda name: run)

    def settled(*decisions, named=()):
        lines = ["image_id,path,decision,right_dish"]
        lines += [
            f"{artefacts.image_id_of(path)},{path},other dish,{right}" for path, right in decisions
        ]
        names = ["folder,name", *(f"{folder},{name}" for folder, name in named)]
        (run / "decisions").mkdir(parents=True, exist_ok=True)
        (run / "decisions" / "photos.csv").write_text("\n".join(lines) + "\n", "utf-8")
        (run / "decisions" / "names.csv").write_text("\n".join(names) + "\n", "utf-8")
        stage = stages.Stage("01_annotation", PARAMS, run / "01_annotation", {}, {}, done=False)
        rejected = pd.DataFrame(columns=list(artefacts.REJECTED_COLUMNS), dtype=str)
        read = decided_photos.read(stage.decisions("photos"))
        stage.make(decided_photos.READ_FILE, read.copy)
        stage.make("rejected.csv", rejected.copy)
        scanned = steps.Catalogue(tmp_path, PHOTOS, rejected, NO_PAIRS)
        return stage, steps.settle_names(stage, scanned, [])

    return settled


def dish_of(settled, path):
    return settled.catalogue.set_index("path").dish_id[path]


def test_a_name_by_hand_means_the_dish_that_people_call_so(settle):
    _, settled = settle(("红烧鱼/1.jpg", "酸辣土豆丝"), named=[("土豆丝", "酸辣土豆丝")])
    assert dish_of(settled, "红烧鱼/1.jpg") == "土豆丝"
    counts = {dish["dish_id"]: dish["n_images"] for dish in settled.dishes}
    assert counts == {"红烧鱼": 1, "土豆丝": 3, "GX1": 1}


def test_a_dish_that_was_merged_away_is_the_one_that_took_it_in(settle):
    named = [("土豆丝", "土豆丝"), ("GX1", "土豆丝")]
    _, settled = settle(("红烧鱼/1.jpg", "GX1"), named=named)
    assert dish_of(settled, "红烧鱼/1.jpg") == "土豆丝"


def test_a_moved_photos_folder_does_not_name_its_new_dish(settle):
    _, settled = settle(("红烧鱼/1.jpg", "GX1"), named=[("红烧鱼", "干烧鱼")])
    by_id = {dish["dish_id"]: dish for dish in settled.dishes}
    assert by_id["GX1"]["folders"] == ["GX1"]
    assert by_id["红烧鱼"]["name"] == "干烧鱼"


def test_a_dish_without_a_photo_left_is_gone_and_named(settle):
    stage, settled = settle(("GX1/0.jpg", "土豆丝"))
    assert {dish["dish_id"] for dish in settled.dishes} == {"红烧鱼", "土豆丝"}
    assert any("1 dishes have no photo left" in note and "GX1" in note for note in stage.notes)


def test_a_photo_without_a_right_dish_is_rejected_with_its_split_and_counted_once(settle):
    stage, settled = settle(("红烧鱼/1.jpg", "没有这道"))
    rejected = records.read_table(stage.path("rejected.csv"))
    assert rejected[["path", "reason", "split"]].values.tolist() == [
        ["红烧鱼/1.jpg", "other dish", "test"]
    ]
    assert "红烧鱼/1.jpg" not in set(settled.catalogue.path)
    assert settled.misplaced == 1
    counts = steps.counts(settled, pd.DataFrame())
    assert (counts["files"], counts["ok"], counts["skipped"]) == (5, 4, 1)


def test_a_stage_that_goes_on_after_a_kill_rejects_it_once(settle, tmp_path):
    stage, first = settle(("红烧鱼/1.jpg", "没有这道"))
    rejected = records.read_table(stage.path("rejected.csv"))
    again = steps.settle_names(stage, steps.Catalogue(tmp_path, PHOTOS, rejected, NO_PAIRS), [])
    assert len(again.rejected) == 1
    assert steps.counts(again, pd.DataFrame()) == steps.counts(first, pd.DataFrame())


def test_a_finished_stage_of_an_earlier_version_is_read_as_it_is(settle, tmp_path):
    stage, _ = settle()
    stage.path(decided_photos.OUTCOME_FILE).unlink()
    stage.done = True
    before = stage.path("catalog.parquet").read_bytes()
    rejected = records.read_table(stage.path("rejected.csv"))
    again = steps.settle_names(stage, steps.Catalogue(tmp_path, PHOTOS, rejected, NO_PAIRS), [])
    assert again.decided.empty
    assert stage.path("catalog.parquet").read_bytes() == before
    assert not stage.path(decided_photos.OUTCOME_FILE).exists()


def test_annotators_are_not_shown_a_photo_of_another_dish(settle):
    stage, _ = settle(("红烧鱼/0.jpg", "土豆丝"))
    shown = steps._shown_to_annotators(stage, PHOTOS)
    assert set(PHOTOS.path) - set(shown.path) == {"红烧鱼/0.jpg"}
