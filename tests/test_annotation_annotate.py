"""Annotation against a local server: cards, names and their order, the journal, the budget, and bad answers."""

import base64
import json
import sqlite3

import pandas as pd
import pytest
from toys import Server, completion, fill, photo_rows, picture

from dishvl_lib.annotation import annotate
from dishvl_lib.core import images, records
from dishvl_lib.demo.annotator import BuiltinAnnotator
from dishvl_lib.endpoints import client

CARD = {"name": "红烧鱼", "cuisine": "家常菜", "ingredients": ["鱼"], "calories": 150.0}
TEXTS = {"introduction": "一道菜。", "recipe": "1. 烧鱼。"}
FOLDERS = {"GX4_6": 3, "土豆丝1@HGD_20211221": 2}


@pytest.fixture
def photos(tmp_path):
    fill(tmp_path, FOLDERS)
    rows = [
        {"image_id": f"{folder}-{i}", "path": f"{folder}/{i}.jpg", "dish_id": folder.split("1@")[0], "folder": folder, "split": "test" if i == 1 else "train", "width": 96, "height": 72}
        for folder, n in FOLDERS.items() for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)


def wanted(request):
    return request["response_format"]["json_schema"]["name"]


def folder_in(request):
    """The folder that a card is asked for; '' for a request for texts."""
    content = request["messages"][0]["content"]
    return "" if isinstance(content, str) else content[0]["text"].rpartition("：")[2]


def knows(request):
    """Knows GX4_6 by sight, and of other photos only the folder's name."""
    if wanted(request) == "dish_texts":
        return 200, completion(TEXTS)
    return 200, completion(CARD if folder_in(request) == "GX4_6" else {"name": "土豆丝"})


def endpoints(*servers, **changed):
    return client.connect(
        [{"name": f"a{i}", "base_url": one.base_url, "model": f"m{i}", "price_input": 1.0, "price_output": 1.0, **changed} for i, one in enumerate(servers)]
    )


def run(photos, tmp_path, servers=(), **options):
    return annotate.dishes(photos, tmp_path, endpoints(*servers) if servers else [], tmp_path / "journal.sqlite", **options)


def test_a_known_dish_gets_its_card_texts_and_name_and_another_its_folders(photos, tmp_path):
    with Server(knows) as server:
        known, unknown = run(photos, tmp_path, [server])
    assert known["name"] == "红烧鱼" and known["name_source"] == "annotator" and known["aliases"] == ["GX4_6"] and known["n_images"] == 3
    assert known["card"]["ingredients"] == ["鱼"] and known["card"]["difficulty"] == "" and (known["introduction"], known["recipe"]) == tuple(TEXTS.values())
    assert known["source"] == [
        {"annotator": "a0", "model": "m0", "prompt_version": "2026-11", "cost": 0.0022, "currency": "USD", "tokens": 2200, "problems": []}
    ]
    assert (unknown["name"], unknown["name_source"], unknown["card"], unknown["recipe"]) == ("土豆丝", "folder", None, "") and unknown["folders"] == [
        "土豆丝1@HGD_20211221"
    ]
    assert len(server.requests) == 3, "no texts are asked for when nothing is known of the dish"
    assert annotate.total_cost([known, unknown]) == {"USD": 0.0033} and not annotate.no_annotator([known, unknown])
    json.dumps([known, unknown])


def test_a_training_photo_is_sent_small_and_never_a_test_photo(photos, tmp_path):
    with Server(knows) as server:
        run(photos, tmp_path, [server])
    url = server.requests[0]["messages"][0]["content"][1]["image_url"]["url"]
    sent = images.load_rgb(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))
    train = [images.load_rgb(tmp_path / path) for path in photos[photos.split == "train"].path]
    test = [images.load_rgb(tmp_path / path) for path in photos[photos.split == "test"].path]

    def nearest(candidates):
        return min(sum(abs(a - b) for a, b in zip(one.resize((4, 4)).tobytes(), sent.resize((4, 4)).tobytes(), strict=True)) for one in candidates)

    assert nearest(train) < nearest(test) and sent.size == picture(0).size
    big = photos.assign(width=[10, 20, 30, 5, 5], split="train")
    assert annotate._typical_photo(big[big.dish_id == "GX4_6"], tmp_path).name == "1.jpg", "the median size"


def test_a_second_run_sends_nothing_and_costs_nothing(photos, tmp_path):
    with Server(knows) as server:
        first = run(photos, tmp_path, [server])
        sent = len(server.requests)
        second = run(photos, tmp_path, [server])
    assert len(server.requests) == sent and annotate.total_cost(second) == {"USD": 0.0}
    assert [one | {"source": 0} for one in second] == [one | {"source": 0} for one in first]


def test_a_stopped_run_goes_on_without_paying_again(photos, tmp_path):
    def full(request):
        return (
            (429, {"error": {"code": "insufficient_quota"}}) if folder_in(request).startswith("土豆丝") and wanted(request) == "dish_card" else knows(request)
        )

    with Server(full) as server, pytest.raises(client.EndpointError, match="quota is used up"):
        annotate.dishes(photos, tmp_path, endpoints(server, concurrency=1), tmp_path / "journal.sqlite")
    paid = sum(1 for request in server.requests if not folder_in(request).startswith("土豆丝"))
    with Server(knows) as server:
        run(photos, tmp_path, [server])
    assert paid == 2 and [folder_in(request) for request in server.requests] == ["土豆丝1@HGD_20211221"]


def test_a_refused_key_stops_before_all_dishes_were_tried(tmp_path):
    fill(tmp_path, {f"d{i:02d}": 1 for i in range(30)})
    photos = photo_rows({f"d{i:02d}": {"train": 1} for i in range(30)}).assign(width=1, height=1)
    photos["path"] = photos.dish_id + "/0.jpg"
    with Server(lambda _: (401, {"error": {"code": "x"}})) as server, pytest.raises(client.EndpointError, match="refused"):
        annotate.dishes(photos, tmp_path, endpoints(server, concurrency=1), tmp_path / "journal.sqlite")
    assert len(server.requests) < 10


def test_names_decisions_before_names_csv_before_annotator_before_folder(photos, tmp_path):
    (tmp_path / "names.csv").write_text("folder,name\nGX4_6,清蒸鱼\nGX4_6,  水煮鱼。\n土豆丝1@HGD_20211221,酸辣土豆丝\n", "utf-8")
    (tmp_path / "decided.csv").write_text("folder,name\nGX4_6,烤鱼\n", "utf-8")
    (tmp_path / "later.csv").write_text("folder,name\nGX4_6,烤鱼\nGX4_6,\n", "utf-8")
    with Server(knows) as server:

        def settled(**options):
            return [(one["name"], one["name_source"]) for one in run(photos, tmp_path, [server], **options)]

        assert settled() == [("红烧鱼", "annotator"), ("土豆丝", "folder")]
        assert settled(names_csv=str(tmp_path / "names.csv")) == [("水煮鱼", "names_csv"), ("酸辣土豆丝", "names_csv")]
        both = {"names_csv": str(tmp_path / "names.csv"), "decisions": tmp_path / "decided.csv"}
        assert settled(**both) == [("烤鱼", "decision"), ("酸辣土豆丝", "names_csv")]
        assert settled(decisions=tmp_path / "later.csv")[0] == ("烤鱼", "decision"), "an empty name decides nothing"
        assert settled(decisions=tmp_path / "none.csv")[0] == ("红烧鱼", "annotator")
    given = run(photos, tmp_path, names_csv=str(tmp_path / "names.csv"))[0]
    assert given["aliases"] == ["GX4_6"] and given["card"] is None


def test_a_names_csv_that_is_missing_or_lacks_a_column_is_named(photos, tmp_path):
    with pytest.raises(records.RecordError, match="names_csv: .*none.csv is missing"):
        run(photos, tmp_path, names_csv=str(tmp_path / "none.csv"))
    (tmp_path / "bad.csv").write_text("folder,nmae\n")
    with pytest.raises(records.RecordError, match="bad.csv: no column name"):
        run(photos, tmp_path, names_csv=str(tmp_path / "bad.csv"))


@pytest.mark.parametrize("answer", ["{not json", "[]", '{"name": "x", "calories": 5000}', '{"cuisine": "x"}', "null"])
def test_a_bad_answer_is_recorded_and_the_folders_name_stands(photos, tmp_path, answer):
    with Server(lambda _: (200, completion(answer))) as server:
        made = run(photos, tmp_path, [server])
        again = run(photos, tmp_path, [server])
    assert [one["name"] for one in made] == ["GX4_6", "土豆丝"] and all(one["card"] is None for one in made)
    assert "dish_card: the answer does not fit the schema" in made[0]["source"][0]["problems"][0]
    assert annotate.to_review(made).dish_id.tolist() == ["GX4_6", "土豆丝"] and len(server.requests) == 2 and again[0]["source"][0]["problems"]
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        assert all(json.loads(body)["choices"][0]["message"]["content"] == answer for (body,) in db.execute("SELECT body FROM attempts"))


def test_a_fenced_answer_is_read_and_bad_texts_leave_the_card(photos, tmp_path):
    def answer(request):
        return 200, completion(f"```json\n{json.dumps(CARD, ensure_ascii=False)}\n```" if wanted(request) == "dish_card" else "没有 JSON")

    with Server(answer) as server:
        made = run(photos, tmp_path, [server])
    assert made[0]["card"]["name"] == "红烧鱼" and made[0]["introduction"] == "" and "dish_texts" in made[0]["source"][0]["problems"][0]


def test_of_two_annotators_the_first_that_knows_the_dish_gives_card_texts_and_name(photos, tmp_path):
    def second(request):
        return 200, completion({"introduction": "二", "recipe": "二"} if wanted(request) == "dish_texts" else {"name": "炒土豆丝", "flavor": ["酸"]})

    with Server(knows) as one, Server(second) as two:
        fish, potato = run(photos, tmp_path, [one, two])
    assert (fish["name"], fish["introduction"], fish["card"]["cuisine"]) == ("红烧鱼", "一道菜。", "家常菜")
    assert (potato["name"], potato["introduction"], potato["card"]["flavor"], potato["aliases"]) == ("炒土豆丝", "二", ["酸"], ["土豆丝"])
    assert [source["annotator"] for source in fish["source"]] == ["a0", "a1"]


def test_one_name_for_two_dishes_is_marked_and_they_stay_apart(photos, tmp_path):
    with Server(lambda request: (200, completion(TEXTS if wanted(request) == "dish_texts" else CARD | {"name": "红烧鱼。"}))) as server:
        made = run(photos, tmp_path, [server])
    assert [(one["dish_id"], one["name"], one["review"]) for one in made] == [
        ("GX4_6", "红烧鱼", "same_name: 土豆丝"),
        ("土豆丝", "红烧鱼", "same_name: GX4_6"),
    ]
    assert annotate.to_review(made).reason.tolist() == ["same_name: 土豆丝", "same_name: GX4_6"] and annotate.names_by_dish(made) == {
        "GX4_6": "红烧鱼",
        "土豆丝": "红烧鱼",
    }


def test_nobody_to_ask_and_outside_sites_are_not_dishes_of_ours(photos, tmp_path):
    outside = photos.iloc[:1].assign(dish_id="b/x", split="site:b")
    made = run(pd.concat([photos, outside]), tmp_path)
    assert [one["name"] for one in made] == ["GX4_6", "土豆丝"] and annotate.no_annotator(made) and annotate.total_cost(made) == {}
    table = annotate.name_table(made)
    assert (
        table.columns.tolist() == ["dish_id", "name", "name_source", "n_images", "folders", "card"] and not table.card.any() and annotate.to_review(made).empty
    )


def test_the_builtin_annotator_answers_folder_names_for_photos_it_did_not_draw(photos, tmp_path):
    with BuiltinAnnotator() as server:
        made = run(photos, tmp_path, [server])
    assert [(one["name"], one["name_source"], one["card"]) for one in made] == [
        ("GX4_6", "folder", None),
        ("土豆丝", "folder", None),
    ] and annotate.no_annotator(made)


def test_the_estimate_and_the_budget(photos, tmp_path):
    with Server(knows) as server:
        priced = annotate.estimate(endpoints(server, price_input=2.0, price_output=8.0), 100)
        assert server.requests == []
    row = priced.iloc[0]
    assert row.requests == 200 and row.likely == pytest.approx(100 * (2600 * 2 + 700 * 8) / 1e6) and row.low < row.likely < row.high and row.currency == "USD"
    annotate.check_budget(priced, row.likely)
    with pytest.raises(annotate.BudgetError, match="likely to cost 1.08 USD, over budget=1; set budget .* max_dishes"):
        annotate.check_budget(priced, 1.0)
    annotate.check_budget(annotate.estimate([], 100), 0.0)
