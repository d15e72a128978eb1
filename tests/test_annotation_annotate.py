"""Annotation against a local server: cards, votes, texts, the journal, the budget, and answers that
are put aside.
"""

import base64
import hashlib
import json
import os
import threading
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from toys import Server, completion, fill, picture

from dishvl_lib.annotation import annotate
from dishvl_lib.annotation.cards import FOLDER_LINE, PROMPT_VERSION
from dishvl_lib.core import images
from dishvl_lib.demo.annotator import BuiltinAnnotator
from dishvl_lib.endpoints import client
from dishvl_lib.endpoints.errors import BudgetError, EndpointError, UselessError

CARD = {"name": "红烧鱼", "cuisine": "家常菜", "ingredients": ["鱼"], "calories": 150.0}
TEXTS = {"introduction": "一道菜。", "recipe": "1. 烧鱼。"}
FOLDERS = {"GX4_6": 3, "土豆丝1@HGD_20211221": 2, "土豆丝2@XX_20220101": 2}
FIELDS = [
    "dish_id",
    "annotator",
    "model",
    "prompt_version",
    "image_ids",
    "votes",
    "name",
    "card",
    "introduction",
    "recipe",
    "problems",
    "quarantined",
    "cost",
    "currency",
    "tokens",
    "seconds",
]


@pytest.fixture
def photos(tmp_path):
    """GX4_6 with 3 photos, 土豆丝 with 4 in two folders; the first of each folder is for testing.
    typical: the later the better.
    """
    fill(tmp_path, FOLDERS)
    rows = [
        {
            "image_id": f"{folder}-{i}",
            "path": f"{folder}/{i}.jpg",
            "dish_id": folder.split("1@")[0].split("2@")[0],
            "folder": folder,
            "split": "train" if i else "test",
            "typical": 10 - i,
        }
        for folder, n in FOLDERS.items()
        for i in range(n)
    ]
    return with_hashes(pd.DataFrame(rows), tmp_path)


def with_hashes(table, root):
    return table.assign(
        sha256=[hashlib.sha256((root / path).read_bytes()).hexdigest() for path in table.path]
    )


def wanted(request):
    return request["response_format"]["json_schema"]["name"]


def folder_in(request):
    """The folder that a card is asked for; '' for a request for texts."""
    content = request["messages"][0]["content"]
    return "" if isinstance(content, str) else content[0]["text"].rpartition(FOLDER_LINE)[2]


def photo_in(request):
    return images.load_rgb(
        base64.b64decode(
            request["messages"][0]["content"][1]["image_url"]["url"].removeprefix(
                "data:image/jpeg;base64,"
            )
        )
    )


def knows(request):
    """Knows GX4_6 by sight, and of other photos nothing."""
    if wanted(request) == "dish_texts":
        return 200, completion(TEXTS)
    return 200, completion(CARD if folder_in(request) == "GX4_6" else {"name": ""})


def endpoints(*servers, **changed):
    given = {"price_input": 1.0, "price_output": 1.0, "max_tokens": 200} | changed
    return client.connect(
        [
            {"name": f"a{i}", "base_url": server.base_url, "model": f"m{i}", **given}
            for i, server in enumerate(servers)
        ]
    )


def run(photos, tmp_path, *servers, run_name="r", budget=None, photos_per_dish=1, **changed):
    options = {
        "run_name": run_name,
        "budget": {"USD": 100.0} if budget is None else budget,
        "photos_per_dish": photos_per_dish,
        "pace": 1e-3,
    }
    return annotate.ask_dishes(
        photos, tmp_path, endpoints(*servers, **changed), tmp_path / "journal.sqlite", **options
    )


def without_costs(rows):
    return [
        {name: value for name, value in row.items() if name not in ("cost", "tokens", "seconds")}
        for row in rows
    ]


def test_a_known_dish_gets_its_card_texts_and_name_and_another_nothing(photos, tmp_path):
    with Server(knows) as server:
        known, unknown = run(photos, tmp_path, server)
    assert list(known) == FIELDS
    assert (
        known["dish_id"],
        known["annotator"],
        known["model"],
        known["prompt_version"],
    ) == ("GX4_6", "a0", "m0", PROMPT_VERSION)
    assert (known["name"], known["votes"], known["image_ids"]) == (
        "红烧鱼",
        {"红烧鱼": 1},
        ["GX4_6-2"],
    )
    assert known["card"]["ingredients"] == ["鱼"]
    assert (known["introduction"], known["recipe"]) == tuple(TEXTS.values())
    assert known["card"]["difficulty"] == ""
    assert known["problems"] == known["quarantined"] == []
    assert (known["cost"], known["currency"], known["tokens"]) == (0.0022, "USD", 2200)
    assert known["seconds"] > 0
    assert (
        unknown["name"],
        unknown["card"],
        unknown["votes"],
        unknown["recipe"],
        unknown["problems"],
    ) == ("", None, {}, "", [])
    assert len(server.requests) == 3, "no texts are asked for when nothing is known of the dish"
    assert annotate.total_cost([known, unknown]) == {"USD": 0.0033}
    assert not annotate.no_annotator([known, unknown])
    assert annotate.no_annotator([unknown])
    json.dumps([known, unknown])


def test_the_most_typical_photo_is_sent_small_with_its_own_folder(photos, tmp_path):
    picture(5, (2000, 1000)).save(tmp_path / "GX4_6" / "2.jpg")
    photos = with_hashes(photos.assign(typical=[2, 1, 0, 7, 5, 6, 4]), tmp_path)
    with Server(knows) as server:
        rows = run(photos, tmp_path, server)
    assert [row["image_ids"] for row in rows] == [["GX4_6-2"], ["土豆丝2@XX_20220101-1"]]
    cards = {
        folder_in(request): photo_in(request)
        for request in server.requests
        if wanted(request) == "dish_card"
    }
    assert set(cards) == {"GX4_6", "土豆丝2@XX_20220101"}
    assert cards["GX4_6"].size == (768, 384)


def test_another_split_sends_the_same_photos(photos, tmp_path):
    with Server(knows) as server:
        first = run(photos, tmp_path, server)
        sent = len(server.requests)
        again = run(photos.assign(split="held_out"), tmp_path, server)
    assert [row["image_ids"] for row in again] == [row["image_ids"] for row in first]
    assert len(server.requests) == sent


def brightness(request):
    return sum(photo_in(request).resize((1, 1)).getpixel((0, 0)))


@pytest.mark.parametrize(
    "names, winner, card_of",
    [
        (["红烧鱼", "清蒸鱼", "清蒸鱼。"], "清蒸鱼", 1),
        (["红烧鱼", "清蒸鱼", "水煮鱼"], "红烧鱼", 0),
        (["", "水煮鱼", ""], "水煮鱼", 1),
        (["", "", ""], "", 0),
    ],
)
def test_three_photos_vote_and_the_card_is_of_the_first_that_won(
    photos, tmp_path, names, winner, card_of
):
    for number in range(3):
        Image.new("RGB", (64, 64), (60 + 60 * number,) * 3).save(
            tmp_path / "GX4_6" / f"{number}.jpg"
        )
    only = photos[photos.folder == "GX4_6"].assign(split="train", typical=[0, 1, 2])

    def answer(request):
        number = round((brightness(request) / 3 - 60) / 60) if wanted(request) == "dish_card" else 0
        return 200, completion(
            TEXTS
            if wanted(request) == "dish_texts"
            else CARD | {"name": names[number], "calories": float(number)}
        )

    with Server(answer) as server:
        (row,) = run(with_hashes(only, tmp_path), tmp_path, server, photos_per_dish=3)
    assert row["image_ids"] == ["GX4_6-0", "GX4_6-1", "GX4_6-2"]
    assert row["name"] == winner
    assert row["card"]["calories"] == card_of
    assert sum(row["votes"].values()) == sum(bool(name) for name in names)
    assert row["votes"].get("清蒸鱼", 0) == (2 if winner == "清蒸鱼" else names.count("清蒸鱼"))
    assert [wanted(request) for request in server.requests].count("dish_texts") == 1


def test_both_annotators_are_asked_and_at_once(photos, tmp_path):
    together = threading.Barrier(2, timeout=10)

    def answer(request, name):
        if wanted(request) == "dish_card" and folder_in(request) == "GX4_6":
            together.wait()
        return 200, completion(TEXTS if wanted(request) == "dish_texts" else CARD | {"name": name})

    with (
        Server(lambda request: answer(request, "一")) as first,
        Server(lambda request: answer(request, "二")) as second,
    ):
        rows = run(photos, tmp_path, second, first)
    assert [(row["dish_id"], row["annotator"], row["name"]) for row in rows] == [
        ("GX4_6", "a0", "二"),
        ("GX4_6", "a1", "一"),
        ("土豆丝", "a0", "二"),
        ("土豆丝", "a1", "一"),
    ]
    assert len(first.requests) == len(second.requests) == 3, (
        "equal cards ask for equal texts: these are bought once"
    )


def test_an_annotator_that_cannot_go_on_stops_the_other(photos, tmp_path):
    with (
        Server(lambda _: (401, {"error": {"code": "x"}})) as bad,
        Server(knows) as good,
        pytest.raises(EndpointError, match="a0 at .*was refused"),
    ):
        run(photos, tmp_path, bad, good)


def test_nobody_to_ask_costs_nothing_and_outside_sites_are_not_asked_about(photos, tmp_path):
    assert run(photos, tmp_path) == []
    assert not (tmp_path / "journal.sqlite").exists()
    assert annotate.no_annotator([])
    assert annotate.total_cost([]) == {}
    assert annotate.quarantined([]).columns.tolist() == annotate.QUARANTINE_COLUMNS
    outside = photos.iloc[:1].assign(dish_id="b/x", split="site:b", image_id="b")
    with Server(knows) as server:
        assert {row["dish_id"] for row in run(pd.concat([photos, outside]), tmp_path, server)} == {
            "GX4_6",
            "土豆丝",
        }


def test_a_second_run_sends_nothing_and_opens_no_photo(photos, tmp_path):
    with Server(knows) as server:
        first = run(photos, tmp_path, server)
        sent = len(server.requests)
        for path in photos.path:
            (tmp_path / path).unlink()
        again = run(photos, tmp_path, server)
        other = run(photos, tmp_path, server, run_name="other")
    assert len(server.requests) == sent
    assert without_costs(first) == without_costs(again) == without_costs(other)
    assert annotate.total_cost(again) == annotate.total_cost(first), (
        "what this run paid before it was stopped is its cost"
    )
    assert annotate.total_cost(other) == {"USD": 0.0}


def test_a_stopped_run_goes_on_without_paying_again(photos, tmp_path):
    def full(request):
        return (
            (429, {"error": {"code": "insufficient_quota"}})
            if folder_in(request).startswith("土豆丝")
            else knows(request)
        )

    with Server(full) as server, pytest.raises(EndpointError, match="quota is used up"):
        run(photos, tmp_path, server, concurrency=1)
    assert [folder_in(request) for request in server.requests] == ["GX4_6", "土豆丝1@HGD_20211221"]
    with Server(knows) as server:
        run(photos, tmp_path, server)
    assert [folder_in(request) for request in server.requests] == ["土豆丝1@HGD_20211221", ""]


def test_a_photo_that_changed_or_went_is_put_aside_and_never_sent(photos, tmp_path):
    (tmp_path / "GX4_6" / "2.jpg").write_bytes((tmp_path / "GX4_6" / "1.jpg").read_bytes())
    (tmp_path / "土豆丝1@HGD_20211221" / "1.jpg").unlink()
    with Server(knows) as server:
        rows = run(photos, tmp_path, server)
    assert server.requests == []
    assert "changed: " in rows[0]["problems"][0]
    assert "missing: " in rows[1]["problems"][0]


@pytest.mark.parametrize(
    "answer, status",
    [
        ("{not json", "malformed"),
        ("[]", "schema_violation"),
        ('{"name": 7, "calories": 5000}', "schema_violation"),
        ('{"name": "鱼、肉", "cuisine": "川菜"}', "schema_violation"),
        ("", "empty"),
    ],
)
def test_a_bad_answer_is_put_aside_with_its_text(photos, tmp_path, answer, status):
    with Server(lambda _: (200, completion(answer))) as server:
        rows = run(photos, tmp_path, server)
        sent = len(server.requests)
        again = run(photos, tmp_path, server)
    assert all(row["card"] is None and row["name"] == "" for row in rows)
    assert rows[0]["problems"][0].startswith(f"dish_card: {status}: ")
    table = annotate.quarantined(rows)
    assert table.columns.tolist() == annotate.QUARANTINE_COLUMNS
    assert table.dish_id.tolist() == ["GX4_6", "土豆丝"]
    assert table.status.tolist() == [status] * 2
    assert table.kind.tolist() == ["dish_card"] * 2
    assert table.image_id[0] == "GX4_6-2"
    assert answer in table.text[0]
    assert len(server.requests) == sent, "it is not asked for again"
    assert without_costs(again) == without_costs(rows), "it is not asked for again"


MANY = [f"菜{letter}" for letter in "甲乙丙丁戊己庚辛壬癸子丑寅卯"]


@pytest.fixture
def many(tmp_path):
    """Fourteen dishes with a photo each."""
    fill(tmp_path, dict.fromkeys(MANY, 1), first_seed=500)
    rows = [
        {
            "image_id": dish,
            "path": f"{dish}/0.jpg",
            "dish_id": dish,
            "folder": dish,
            "split": "train",
            "typical": 0,
        }
        for dish in MANY
    ]
    return with_hashes(pd.DataFrame(rows), tmp_path)


def says_nothing(_):
    return 200, completion("这张照片里好像是一道菜。")


def test_an_annotator_of_no_use_is_asked_no_more_and_fails_alone(many, tmp_path, capsys):
    def knows_all(request):
        name = folder_in(request) or "x"
        return 200, completion(TEXTS if wanted(request) == "dish_texts" else CARD | {"name": name})

    with Server(says_nothing) as bad, Server(knows_all) as good:
        rows = run(many, tmp_path, bad, good, concurrency=1)
    assert len(bad.requests) == 10, "five dishes, each with its repair turn"
    assert [row["dish_id"] for row in rows if row["annotator"] == "a1"] == sorted(MANY)
    assert all(row["card"] for row in rows if row["annotator"] == "a1")
    assert sum(row["annotator"] == "a0" for row in rows) == 5
    output = capsys.readouterr().out
    assert "a0 at http" in output
    assert "asked no more after 5 of 14 requests, for which 0.0110 USD were paid" in output
    assert not annotate.failure(rows)


def test_when_no_annotator_is_of_use_the_annotation_fails_with_what_came(many, tmp_path):
    with Server(says_nothing) as server:
        with pytest.raises(UselessError, match="好像是一道菜.*What to change") as caught:
            run(many, tmp_path, server, concurrency=1)
    assert len(server.requests) == 10
    assert annotate.quarantined(caught.value.answers).status.tolist() == ["malformed"] * 5


def test_refusals_of_all_requests_end_an_annotator_too(many, tmp_path):
    refusal = {"error": {"message": "unknown parameter: seed_of_run"}}
    with Server(lambda _: (400, refusal)) as server:
        with pytest.raises(UselessError, match="5 failed.*unknown parameter: seed_of_run"):
            run(many, tmp_path, server, concurrency=1)
    assert len(server.requests) == 5


def test_texts_of_no_use_cost_the_texts_alone(many, tmp_path):
    def no_texts(request):
        is_card = wanted(request) == "dish_card"
        return 200, completion(CARD | {"name": folder_in(request)} if is_card else "抱歉")

    with Server(no_texts) as server:
        rows = run(many, tmp_path, server, concurrency=1)
    assert all(row["card"] for row in rows)
    assert [wanted(request) for request in server.requests].count("dish_texts") == 10


def test_an_annotation_without_a_card_is_a_failure(photos, tmp_path):
    with Server(says_nothing) as server:
        rows = run(photos, tmp_path, server)
    sentence = annotate.failure(rows)
    assert sentence.startswith("no annotator gave a card for any of 2 dishes, for which 0.0044 USD")
    assert "dish_card: " not in sentence
    assert "好像是一道菜" in sentence
    assert annotate.failure([]) == ""


def test_another_making_of_the_stage_asks_anew_for_what_was_put_aside(photos, tmp_path):
    def ask(making):
        return annotate.ask_dishes(
            photos,
            tmp_path,
            endpoints(server),
            tmp_path / "journal.sqlite",
            run_name="r",
            budget={"USD": 1.0},
            pace=1e-3,
            making=making,
        )

    with Server(says_nothing) as server:
        ask("first")
        ask("first")
        assert len(server.requests) == 4
        ask("second")
        assert len(server.requests) == 8
    with Server(knows) as server:
        assert ask("third")[0]["card"]["name"] == "红烧鱼"


def test_bad_texts_leave_the_card(photos, tmp_path):
    with Server(
        lambda request: (200, completion(CARD if wanted(request) == "dish_card" else "没有 JSON"))
    ) as server:
        rows = run(photos, tmp_path, server)
    assert rows[0]["card"]["name"] == "红烧鱼"
    assert rows[0]["introduction"] == ""
    assert rows[0]["problems"][0].startswith("dish_texts: malformed: ")
    assert annotate.quarantined(rows).kind.tolist() == ["dish_texts"] * 2


def test_a_name_alone_is_a_card_unless_it_names_no_dish(photos, tmp_path):
    """The builtin annotator hands the folder's name back for photos that it did not draw."""
    with BuiltinAnnotator() as server:
        rows = run(photos, tmp_path, server, price_input=0.0, price_output=0.0, budget={})
        batch = run(
            photos, tmp_path, server, price_input=0.0, price_output=0.0, budget={}, batch=True
        )
    assert [row["name"] for row in rows] == ["", "土豆丝"]
    assert rows[0]["card"] is None
    assert rows[1]["card"]["name"] == "土豆丝"
    assert without_costs(batch) == without_costs(rows)


def test_a_whole_annotation_by_batch_costs_half(photos, tmp_path):
    class Knowing(BuiltinAnnotator):
        def complete(self, request):
            return knows(request)[1]

    with Knowing() as server:
        rows = run(photos, tmp_path, server, batch=True)
    assert rows[0]["introduction"] == TEXTS["introduction"]
    assert rows[0]["cost"] == 0.0011
    assert len(server.desk.batches) == 2


def test_the_estimate_is_near_what_real_requests_take(photos, tmp_path):
    with Server(knows) as server:
        priced = annotate.estimate(
            endpoints(server, price_input=2.0, price_output=8.0, requests_per_minute=10),
            100,
            photos_per_dish=3,
        )
        run(photos, tmp_path, server)
    row = priced.iloc[0]
    assert row.requests == 400
    assert row.low < row.likely < row.high
    assert row.currency == "USD"
    assert row.minutes == 40.0
    card, texts = (
        next(request for request in server.requests if wanted(request) == kind)
        for kind in ("dish_card", "dish_texts")
    )
    sizes = [
        len(
            json.dumps(
                [
                    request["messages"][0]["content"]
                    if kind == "dish_texts"
                    else request["messages"][0]["content"][0]["text"],
                    request["response_format"]["json_schema"]["schema"],
                ],
                ensure_ascii=False,
            ).encode()
        )
        / 3
        for kind, request in (("dish_card", card), ("dish_texts", texts))
    ]
    expected = 300 * (sizes[0] + 765 + annotate.CARD_TOKENS) + 100 * (
        sizes[1] + annotate.TEXTS_TOKENS
    )
    assert row.tokens == pytest.approx(expected, rel=0.2)
    halved = annotate.estimate(
        endpoints(server, price_input=2.0, price_output=8.0, batch=True), 100, photos_per_dish=3
    ).iloc[0]
    assert halved.likely == pytest.approx(row.likely / 2)
    assert halved.minutes == 24 * 60


def test_the_published_rough_cost_of_3600_dishes(photos):
    """About 20 USD for the cards and 25 for the texts at 2 and 8 USD a million tokens."""
    (endpoint,) = client.connect(
        [
            {
                "name": "a",
                "base_url": "http://x/v1",
                "model": "m",
                "price_input": 2.0,
                "price_output": 8.0,
            }
        ]
    )
    assert 30 < annotate.estimate([endpoint], 3600).likely.iloc[0] < 60


def test_no_money_no_request_and_each_currency_for_itself(photos, tmp_path):
    with Server(knows) as first, Server(knows) as second:
        both = [
            *endpoints(first, price_output=8.0),
            *client.connect(
                [
                    {
                        "name": "b",
                        "base_url": second.base_url,
                        "model": "m",
                        "price_output": 20.0,
                        "currency": "CNY",
                    }
                ]
            ),
        ]
        priced = annotate.estimate(both, 100)
        usd, cny = priced.likely
        annotate.check_budget(priced, {"USD": usd, "CNY": cny})
        with pytest.raises(
            BudgetError,
            match=rf"likely to cost {usd:.2f} USD .*200 requests, over the 0 USD of budget; "
            r"set budget: .USD: [\d.]+. .*max_dishes.*Nothing was sent",
        ):
            annotate.check_budget(priced, {"CNY": cny})
        with pytest.raises(BudgetError, match="CNY"):
            annotate.check_budget(priced, {"USD": usd})
        annotate.check_budget(
            annotate.estimate(endpoints(first, price_input=0.0, price_output=0.0), 100), {}
        )
        annotate.check_budget(annotate.estimate([], 100), {})
        with pytest.raises(BudgetError):
            run(photos, tmp_path, first, budget={})
        assert first.requests == second.requests == []


def test_what_was_paid_stands_beside_the_estimate(photos, tmp_path):
    with Server(knows) as server:
        priced = annotate.estimate(endpoints(server), 2)
        rows = run(photos, tmp_path, server)
    (row,) = annotate.compare(priced, rows).itertuples()
    assert (row.annotator, row.paid, row.tokens, row.cards, row.quarantined, row.currency) == (
        "a0",
        0.0033,
        3300,
        1,
        0,
        "USD",
    )
    assert (row.likely, row.tokens_estimated) == (priced.likely[0], priced.tokens[0])


@pytest.mark.skipif(
    not os.environ.get("DISHVL_TEST_DATA"), reason="DISHVL_TEST_DATA is not set: no real photos"
)
def test_real_photos_are_sent_whole_and_small(tmp_path):
    root = Path(os.environ["DISHVL_TEST_DATA"]) / "zh_dishes10"
    files = [
        path
        for folder in sorted(root.iterdir())
        if folder.is_dir()
        for path in sorted(folder.iterdir())[:3]
    ]
    rows = [
        {
            "image_id": path.name,
            "path": str(path.relative_to(root)),
            "dish_id": path.parent.name,
            "folder": path.parent.name,
            "split": "train",
        }
        for path in files
    ]
    table = with_hashes(pd.DataFrame(rows).assign(typical=range(len(rows))), root)
    with Server(
        lambda request: (200, completion(TEXTS if wanted(request) == "dish_texts" else CARD))
    ) as server:
        answers = annotate.ask_dishes(
            table,
            root,
            endpoints(server),
            tmp_path / "j.sqlite",
            run_name="r",
            budget={"USD": 1.0},
            photos_per_dish=3,
        )
    sent = [photo_in(request) for request in server.requests if wanted(request) == "dish_card"]
    assert len(answers) == 10
    assert len(sent) == 30
    assert all(max(photo.size) <= 768 for photo in sent)
    assert not any(row["problems"] for row in answers)
    originals = {path.relative_to(root).as_posix(): images.load_rgb(path) for path in files}
    assert sorted(photo.size for photo in sent) == sorted(
        images.load_rgb(images.jpeg_bytes(photo, 768)).size for photo in originals.values()
    )
