"""Asking the annotators as a step of stage 01: what is left behind when the annotation fails."""

import hashlib

import pandas as pd
import pytest
from toys import Server, completion, fill

from dishvl_lib.core import paths, records, redo, stages
from dishvl_lib.demo import builtin
from dishvl_lib.endpoints import client
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.steps import annotation as steps

DISHES = ("红烧鱼", "土豆丝")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "cache", lambda name: tmp_path)
    params = {"run_name": "r", "budget": {}, "photos_per_dish": 1}
    folder = tmp_path / "01_annotation"
    folder.mkdir()
    return stages.Stage("01_annotation", params, folder, {}, {}, done=False)


@pytest.fixture
def catalogue(tmp_path):
    root = tmp_path / "photos"
    fill(root, dict.fromkeys(DISHES, 1))
    rows = [
        {
            "image_id": dish,
            "path": f"{dish}/0.jpg",
            "dish_id": dish,
            "folder": dish,
            "split": "train",
            "typical": 0,
            "sha256": hashlib.sha256((root / dish / "0.jpg").read_bytes()).hexdigest(),
        }
        for dish in DISHES
    ]
    nothing = pd.DataFrame()
    return steps.Catalogue(root, pd.DataFrame(rows), nothing, nothing)


def annotators(server):
    return client.connect([{"name": "toy", "base_url": server.base_url, "model": "m"}])


def says(content):
    return Server(lambda _: (200, completion(content)))


def test_an_annotation_without_a_card_fails_and_lists_what_came(stage, catalogue):
    with says("这是一道菜。") as server:
        with pytest.raises(EndpointError, match="no annotator gave a card .*--redo 01"):
            steps.ask_annotators(stage, catalogue, annotators(server), None)
    listed = records.read_table(stage.path("quarantined.csv"))
    assert listed.text.tolist() == ["这是一道菜。"] * 2
    assert not stage.path("answers.jsonl").exists()


def test_after_a_failure_the_stage_asks_again_and_lists_anew(stage, catalogue):
    with says("这是一道菜。") as server, pytest.raises(EndpointError):
        steps.ask_annotators(stage, catalogue, annotators(server), None)
    records.write_json(stage.path("_STARTED.json"), {"making": "another"})
    with says({"name": "红烧鱼"}) as server:
        answers, put_aside = steps.ask_annotators(stage, catalogue, annotators(server), None)
    assert [row["card"]["name"] for row in answers] == ["红烧鱼"] * 2
    assert set(put_aside.kind) == {"dish_texts"}


def test_nobody_to_ask_is_no_failure(stage, catalogue, capsys):
    answers, put_aside = steps.ask_annotators(stage, catalogue, [], None)
    assert answers == []
    assert put_aside.empty
    assert "names from folders, no annotator" in capsys.readouterr().out


def test_the_demos_annotator_is_not_asked_about_photos_that_it_did_not_draw(tmp_path, capsys):
    ours = {"name": "builtin", "base_url": "builtin", "model": "demo"}
    other = {"name": "gpt", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    assert builtin.annotators([ours, other], str(tmp_path)) == ([other], None)
    assert "knows only photos that it drew" in capsys.readouterr().out


def test_an_annotator_is_not_paid_again_unasked(stage, catalogue):
    """A stage that is made again since a decision changed asks for money only by --redo."""
    priced = {"price_input": 1.0, "price_output": 1.0, "currency": "USD"}
    stage.params["budget"] = {"USD": 100.0}
    records.write_json(stage.path(stages.STARTED), {"changed": ["decisions/photos.csv"]})
    with says("{}") as server:
        paid = [{"name": "toy", "base_url": server.base_url, "model": "m", **priced}]
        with pytest.raises(redo.RedoNeeded) as refusal:
            steps.ask_annotators(stage, catalogue, client.connect(paid), None)
        assert server.requests == []
    message = str(refusal.value)
    assert "decisions/photos.csv" in message
    assert "--from 01 --to 01 --redo 01" in message
