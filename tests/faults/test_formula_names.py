"""Dishes whose names a spreadsheet takes for formulas go through the whole chain as they are."""

import chain
import pytest

from dishvl_lib.core import records

NAMES = {"红烧鱼": "=a", "红烧鱼块": "-5", "番茄炒蛋": "@c", "麻婆豆腐": "+豆腐"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run over drawn dishes that names_csv calls so."""
    folder = tmp_path_factory.mktemp("formulas")
    photos = chain.draw(folder / "drawn")
    profile = chain.profile(folder / "profile", photos)
    rows = [f"{photo_folder.name},{NAMES[name]}" for photo_folder, name in _named(photos)]
    records.write_text(folder / "names.csv", "\n".join(["folder,name", *rows]) + "\n")
    settings = (f"names_csv={folder / 'names.csv'}", "num_train_epochs=1.0", "sites=[]")
    options = [part for setting in settings for part in ("--set", setting)]
    done = chain.dishvl("run", profile, *options, outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "outputs" / "toy"


def _named(photos):
    """(folder, the dish of NAMES that it shows); the drawn folders have poor names."""
    from dishvl_lib.core import names

    for place in sorted(photos.iterdir()):
        name = names.clean_folder_name(place.name)
        if name in NAMES:
            yield place, name


def test_the_dishes_have_their_names(run):
    dishes = records.read_jsonl(run / "01_annotation" / "dishes.jsonl")
    given = {dish["name"] for dish in dishes if dish["name_source"] == "names_csv"}
    assert given == set(NAMES.values())


def test_questions_ask_and_answer_with_them(run):
    rows = records.read_jsonl(run / "03_dataset" / "train.jsonl")
    answers = {row["conversations"][1]["value"] for row in rows if row["kind"] == "naming"}
    assert set(NAMES.values()) <= answers


def test_predictions_and_confusions_hold_them(run):
    predictions = records.read_jsonl(run / "05_evaluation" / "predictions.jsonl")
    names = set(NAMES.values())
    assert names <= {row["truth"] for row in predictions if row["predictor"] == "tuned"}
    confusions = records.read_table(run / "05_evaluation" / "confusions.csv")
    assert names & set(confusions["truth"])
    assert not any(truth.startswith("'") for truth in confusions["truth"])


def test_a_spreadsheet_sees_no_formula(run):
    text = (run / "05_evaluation" / "confusions.csv").read_text("utf-8-sig")
    cells = {cell for line in text.splitlines()[1:] for cell in line.split(",")}
    shown = {cell.strip('"') for cell in cells}
    assert shown & {"'=a", "'-5", "'@c", "'+豆腐"}
    assert not shown & set(NAMES.values())
