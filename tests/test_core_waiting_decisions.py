"""Which decisions no stage has read yet."""

import pytest

from dishvl_lib.core import decided_photos, records, waiting_decisions
from dishvl_lib.core.decisions import NameDecisions, PhotoDecisions


@pytest.fixture
def run(tmp_path):
    """A run whose stage 01 has read one decision about a photo and none about names."""
    file = PhotoDecisions(tmp_path / "decisions" / "photos.csv")
    file.add("photo bad", image_id="a")
    finish(tmp_path, "01_annotation")
    return tmp_path


def finish(run, stage):
    photos = run / "decisions" / "photos.csv"
    inputs = {"decisions/photos.csv": records.sha256_file(photos)}
    marker = {
        "stage": stage,
        "parameters": {},
        "inputs": inputs,
        "outputs": {},
        "counts": {},
        "cost": {},
        "seconds": 1.0,
        "finished_at": "",
        "versions": {},
        "image_root": "",
    }
    records.write_json(run / stage / "_SUCCESS.json", marker)
    records.write_table(run / stage / decided_photos.READ_FILE, decided_photos.read(photos))


def decisions(run):
    return PhotoDecisions(run / "decisions" / "photos.csv")


def test_nothing_waits_after_a_stage_has_read_all(run):
    assert waiting_decisions.sentences(run) == []


def test_photos_that_are_decided_otherwise_since_are_counted(run):
    decisions(run).add("other dish", image_id="a", right_dish="d1")
    decisions(run).add("label wrong", image_id="b")
    decisions(run).add("label wrong", image_id="c")
    decisions(run).take_back(image_id="c")
    (sentence,) = waiting_decisions.sentences(run)
    assert sentence.startswith("decisions wait: 2 photos of")
    assert "01_annotation read it; they count when it is made again" in sentence


def test_another_right_dish_waits_too(run):
    decisions(run).add("other dish", image_id="a", right_dish="d1")
    finish(run, "01_annotation")
    assert waiting_decisions.sentences(run) == []
    decisions(run).add("other dish", image_id="a", right_dish="d2")
    assert "1 photos" in waiting_decisions.sentences(run)[0]


def test_a_file_saved_anew_with_the_same_decisions_is_told_from_new_ones(run):
    file = run / "decisions" / "photos.csv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert "with the same decisions" in waiting_decisions.sentences(run)[0]


def test_decisions_about_names_wait_too(run):
    NameDecisions(run / "decisions" / "names.csv").add("name", {"a": "鱼"})
    (sentence,) = waiting_decisions.sentences(run)
    assert "names.csv has changed since 01_annotation read it" in sentence


def test_a_run_that_takes_its_catalogue_from_another_waits_for_stage_03(run):
    (run / "01_annotation" / "_SUCCESS.json").unlink()
    finish(run, "03_dataset")
    decisions(run).add("photo bad", image_id="b")
    assert "since 03_dataset read it" in waiting_decisions.sentences(run)[0]


def test_a_run_that_has_finished_no_stage_has_nothing_waiting(tmp_path):
    PhotoDecisions(tmp_path / "decisions" / "photos.csv").add("photo bad", image_id="a")
    assert waiting_decisions.sentences(tmp_path) == []


def test_a_file_that_cannot_be_read_is_said(run):
    (run / "decisions" / "photos.csv").write_text("a,b\n1,2\n", "utf-8")
    assert "01_annotation could not read them now" in waiting_decisions.sentences(run)[0]
