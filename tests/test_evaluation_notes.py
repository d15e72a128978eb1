"""What stands beside the table: notes, facts, the names that sites were given, and the command that
makes the run again.
"""

import re

from evaluation_toys import prediction, table

from dishvl_lib.core import paths, settings
from dishvl_lib.evaluation import decided, notes, reproduce, sites

MARKER = {"counts": {"files": 10, "skipped": 2}, "no_annotator": True}


def site(number, truth, dish, **more):
    return prediction(
        number, truth, truth, dish_id=f"b/{dish}", **{"protocol": "site:b", "framed": True, **more}
    )


def test_failures_sites_and_absent_predictors_are_said():
    rows = table(
        prediction(0, None, error="damaged: cut off"),
        prediction(1, "红烧鱼"),
        site(2, "鱼", "甲", near_training="same frame"),
        site(3, "鱼", "乙", lost="2 dishes were given the name 鱼"),
        site(4, "", "丙", lost=sites.NO_NAME),
        site(5, "红烧鱼", "甲", protocol="site:b:own_menu", framed=False),
    )
    sentences = notes.notes(MARKER, rows, 3, classifier=False)
    assert sentences[:2] == [
        "names from folders, no annotator",
        "2 of 10 files were left out of the catalogue (01_annotation/rejected.csv)",
    ]
    assert any(note.startswith("pplcnet_classifier is absent") for note in sentences)
    assert (
        "tuned: 1 of 6 questions failed and count as wrong, the first: damaged: cut off"
        in sentences
    )
    assert "site:b: 1 of 3 photos resemble a training photo (1 same frame)" in sentences
    assert any(
        "2 of 3 questions are wrong in any case (1 share a name, 1 have none)" in note
        for note in sentences
    )
    assert "site:b:own_menu: 0 of 1 photos resemble a training photo" in sentences
    assert sum("not by its true name" in note for note in sentences) == 1


def test_an_absent_classifier_goes_by_its_net():
    said = notes.notes(
        MARKER, table(prediction(0, "红烧鱼")), 0, net="pplcnet_v2", classifier=False
    )
    assert any(note.startswith("pplcnet_v2_classifier is absent") for note in said)


def test_answers_that_were_cleaned_are_said_with_the_first_that_was_removed():
    rows = table(
        prediction(0, "红烧鱼", predictor="gpt", removed="<think>\n像鱼。</think>"),
        prediction(1, "红烧鱼", predictor="gpt", removed=""),
        prediction(2, "红烧鱼", predictor="tuned", removed=""),
    )
    assert notes.notes({"counts": {"files": 1, "skipped": 0}}, rows, 0) == [
        "gpt: 1 of 2 answers were cleaned before they were marked; from the first was removed: "
        "<think> 像鱼。</think>"
    ]


def test_the_same_notes_are_there_in_chinese():
    rows = table(
        prediction(0, None, error="damaged: cut off"),
        prediction(1, "红烧鱼", removed="<think>"),
        site(2, "鱼", "甲", near_training="same frame"),
        site(4, "", "丙", lost=sites.NO_NAME),
    )
    english = notes.notes(MARKER, rows, 3, classifier=False)
    chinese = notes.notes(MARKER, rows, 3, classifier=False, language="zh")
    assert len(english) == len(chinese) == 8
    assert "site:b：2 张照片中有 1 张与某张训练照片相近 (1 同一帧)" in chinese
    assert chinese[0] == "菜名来自文件夹，没有标注模型"


def test_every_sentence_is_there_in_both_languages():
    for texts in (notes.SENTENCES, notes.FACTS, decided.SENTENCES):
        assert texts["en"].keys() == texts["zh"].keys()
        for name, english in texts["en"].items():
            fields = sorted(re.findall("{[^}]*}", english))
            assert sorted(re.findall("{[^}]*}", texts["zh"][name])) == fields, name


def test_a_plain_run_has_nothing_to_confess():
    assert (
        notes.notes(
            {"counts": {"files": 10, "skipped": 0}, "no_annotator": False},
            table(prediction(0, "红烧鱼")),
            0,
        )
        == []
    )


def test_the_names_that_sites_were_given_stand_beside_the_true_ones():
    rows = table(
        site(0, "鱼", "甲"),
        site(1, "鱼", "甲"),
        site(2, "鱼", "乙", lost="2 dishes were given the name 鱼"),
        site(3, "", "丙", lost=sites.NO_NAME),
        site(4, "红烧鱼", "甲", protocol="site:b:own_menu", framed=False),
    )
    names = notes.site_names(rows)
    assert names[["dish_id", "name", "shared", "true_name", "questions"]].values.tolist() == [
        ["b/甲", "鱼", False, "红烧鱼", 2],
        ["b/乙", "鱼", True, "", 1],
        ["b/丙", "", False, "", 1],
    ]
    assert notes.site_names(table(prediction(0, "红烧鱼"))).empty


def test_facts_say_what_was_trained_on_what():
    best = {
        "base_model": "tiny",
        "min_pixels": 3136,
        "max_pixels": 12544,
        "checkpoint": "checkpoint-9",
        "temperature": 1.5,
    }
    given = {
        "lora_rank": 0,
        "train_visual": True,
        "train_merger": True,
        "train_language_model": False,
        "train_lm_head": False,
        "num_train_epochs": 2.0,
        "learning_rate": 1e-5,
    }
    training = {"parameters": given, "best": best, "counts": {"steps": 90}, "validation_loss": 0.25}
    dataset = {"counts": {"ok": 26, "questions": {"train": 1586, "validation": 208, "test": 462}}}
    facts = notes.facts(dataset, training, {"trained_parameters": 1000, "parameters": 4000})
    assert facts["trained"] == "visual and merger: 1,000 of 4,000 parameters"
    assert "1,586 questions about 26 dishes" in facts["on"]
    assert facts["how"] == "2 epochs, 90 steps, learning rate 1e-05"
    assert facts["small net"] == "pplcnet"
    assert facts["menu choice"] == "temperature 1.5, off-menu threshold 0"
    lora = {**training, "parameters": {**given, "lora_rank": 64}}
    assert notes.facts(dataset, lora, {"trained_parameters": 1, "parameters": 2})[
        "trained"
    ].startswith("LoRA of rank 64:")


def test_the_profile_is_read_as_it_was_written_and_is_one_run(tmp_path):
    wanted = settings.load_profile(
        "demo", {"run_name": "mine", "learning_rate": 1e-05, "upstream_run": "other"}
    )
    mixed = {
        stage: {**values, "run_name": "other" if stage < "03" else "mine"}
        for stage, values in wanted.items()
    }
    reproduce.write_profile(tmp_path / "profile", mixed)
    read = settings.load_profile(tmp_path / "profile")
    assert read == {stage: {**values, "upstream_run": ""} for stage, values in wanted.items()}
    assert (
        reproduce.command(tmp_path / "profile", "mine")
        == "dishvl run './profile' --set 'run_name=mine_again'"
    )


def test_inside_the_project_the_command_holds_no_absolute_path():
    inside = "outputs/mine/05_evaluation/profile"
    assert (
        reproduce.command(paths.PROJECT_ROOT / inside, "mine")
        == f"dishvl run '{inside}' --set 'run_name=mine_again'"
    )
