"""Endpoints as rivals: what is sent, what an answer counts as, what it costs, and servers that
refuse or die.
"""

import pytest
from evaluation_toys import prediction, row, site_rows
from toys import Server, completion, jpeg

from dishvl_lib.core import questions, records
from dishvl_lib.endpoints.errors import BudgetError, EndpointError
from dishvl_lib.evaluation import asking, online, sites
from dishvl_lib.evaluation.protocols import Plan

MENU = ["红烧鱼", "米饭"]
PACE = 1e-3


@pytest.fixture
def world(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    return tmp_path


def rival(server, **changed):
    given = {
        "name": "gpt",
        "base_url": getattr(server, "base_url", server),
        "model": "m",
        "price_input": 2.0,
        "price_output": 8.0,
        "concurrency": 4,
        "max_tokens": 50,
    }
    return online.connect([given | changed])[0]


def opened(settings, folder, budget=100.0, version="", run="r"):
    hashes = {f"i{number}": f"sha{number}" for number in range(40)}
    return online.EndpointPredictor(
        settings,
        folder,
        hashes,
        folder / "journal.sqlite",
        run=run,
        budget={"USD": budget},
        version=version,
        pace=PACE,
    )


def says(content):
    return lambda request: (200, completion(content(request) if callable(content) else content))


def last_text(request):
    return next(
        part["text"] for part in request["messages"][-1]["content"] if part["type"] == "text"
    )


def test_the_photo_comes_first_the_question_after_it_and_the_answer_is_marked_strictly(world):
    with Server(says(" 红烧鱼\n")) as server:
        prediction = asking.predict(
            "gpt", opened(rival(server), world), [row(0)], world / "a.jsonl"
        )[0]
    system, user = server.requests[0]["messages"]
    assert system == {"role": "system", "content": online.SYSTEM}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert last_text(server.requests[0]) == questions.ask("naming-1")
    assert prediction["correct"]
    assert prediction["answer"] == "红烧鱼"
    assert prediction["seconds"] > 0
    assert (prediction["cost"], prediction["currency"], prediction["tokens"]) == (
        pytest.approx(1000 * 2e-6 + 100 * 8e-6),
        "USD",
        1100,
    )


def test_our_own_model_is_asked_as_it_was_trained(world):
    with Server(says("米饭")) as server:
        opened(rival(server, system=""), world).answer([row(0)])
    assert [message["role"] for message in server.requests[0]["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("structured", "content", "sent"),
    [
        ("plain", "米饭", {}),
        ("choice", "米饭", {"structured_outputs": {"choice": MENU}}),
        ("json_schema", {"answer": "米饭"}, "response_format"),
    ],
)
def test_the_answer_to_a_menu_is_bound_as_the_server_can(world, structured, content, sent):
    with Server(says(content)) as server:
        answer = opened(rival(server, structured=structured), world).answer([row(0, menu=MENU)])[0]
    assert answer.text == "米饭"
    assert answer.error == ""
    if sent == "response_format":
        assert (
            server.requests[0]["response_format"]["json_schema"]["schema"]["properties"]["answer"][
                "enum"
            ]
            == MENU
        )
    else:
        assert {
            key: value
            for key, value in server.requests[0].items()
            if key in ("structured_outputs", "response_format")
        } == sent


def test_naming_is_never_bound(world):
    with Server(says("米饭")) as server:
        opened(rival(server, structured="json_schema"), world).answer([row(0)])
    assert "response_format" not in server.requests[0]


def test_an_answer_off_the_menu_stays_as_it_was_said_and_is_wrong(world):
    """A server may ignore the binding: membership is checked here."""
    with Server(says("素鸡")) as server:
        predictions = asking.predict(
            "gpt",
            opened(rival(server, structured="choice"), world),
            [row(0, menu=MENU)],
            asking.answer_file(world, "gpt"),
        )
    assert predictions[0]["answer"] == "素鸡"
    assert not predictions[0]["correct"]
    assert predictions[0]["error"] == ""
    assert online.costs(world, ["gpt"]).off_menu.tolist() == [1.0]


def test_not_on_the_menu_is_an_answer_where_it_may_be_given(world):
    absent = row(0, questions.NOT_ON_MENU, MENU, "menu_absent")
    with Server(says(questions.NOT_ON_MENU)) as server:
        predictions = asking.predict(
            "gpt",
            opened(rival(server, structured="choice"), world),
            [absent, row(1, menu=MENU)],
            world / "a.jsonl",
        )
    assert [(prediction["answer"], prediction["correct"]) for prediction in predictions] == [
        (None, True),
        (questions.NOT_ON_MENU, False),
    ]
    choices = {len(prediction["structured_outputs"]["choice"]) for prediction in server.requests}
    assert choices == {2, 3}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda _: (200, completion("这不是 JSON")), "not the JSON that was asked for"),
        (
            lambda _: (
                200,
                {"choices": [{"finish_reason": "length", "message": {"content": "红"}}]},
            ),
            "max_tokens",
        ),
        (
            lambda _: (
                200,
                {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]},
            ),
            "content_filter",
        ),
    ],
    ids=["no JSON", "cut", "filtered"],
)
def test_an_answer_that_cannot_be_used_is_a_recorded_failure(world, reply, words):
    with Server(reply) as server:
        prediction = asking.predict(
            "gpt",
            opened(rival(server, structured="json_schema"), world),
            [row(0, menu=MENU)],
            world / "a.jsonl",
        )[0]
    assert words in prediction["error"]
    assert not prediction["correct"]
    assert prediction["answer"] is None


THOUGHTS = "<think>\n像鱼。\n</think>\n\n"


@pytest.mark.parametrize("structured", ["plain", "choice"])
def test_an_answer_is_cleaned_before_it_is_marked_and_what_was_removed_is_shown(world, structured):
    with Server(says(THOUGHTS + "红烧鱼<|im_end|>")) as server:
        predictions = asking.predict(
            "gpt",
            opened(rival(server, structured=structured), world),
            [row(0), row(1, menu=MENU)],
            asking.answer_file(world, "gpt"),
        )
    assert [prediction["answer"] for prediction in predictions] == ["红烧鱼"] * 2
    assert [prediction["correct"] for prediction in predictions] == [True] * 2
    assert predictions[0]["removed"] == "<think>\n像鱼。\n</think> <|im_end|>"
    assert online.costs(world, ["gpt"]).cleaned.tolist() == [2]


def test_a_plain_answer_has_nothing_removed(world):
    with Server(says("红烧鱼")) as server:
        predictions = asking.predict(
            "gpt", opened(rival(server), world), [row(0)], world / "a.jsonl"
        )
    assert predictions[0]["removed"] == ""


def test_the_entry_is_taken_out_of_what_stands_around_its_object(world):
    with Server(says(THOUGHTS + '```json\n{"answer": "米饭"}\n```')) as server:
        answers = opened(rival(server, structured="json_schema"), world).answer([row(0, menu=MENU)])
    assert answers[0].text == "米饭"


def test_an_empty_answer_is_bought_twice_and_recorded_as_failed(world):
    with Server(says("<think>\n我先想想，\n再想想")) as server:
        answer = opened(rival(server), world).answer([row(0)])[0]
    assert answer.text is None
    assert "empty" in answer.error
    assert len(server.requests) == 2


def test_a_photo_that_is_gone_is_a_recorded_failure_and_is_not_paid_for(world):
    (world / "0.jpg").unlink()
    with Server(says("红烧鱼")) as server:
        predictions = asking.predict(
            "gpt", opened(rival(server), world), [row(0), row(1)], world / "a.jsonl"
        )
    assert "missing" in predictions[0]["error"]
    assert predictions[0]["cost"] == 0
    assert predictions[1]["correct"]
    assert len(server.requests) == 1


def test_an_endpoint_that_dies_half_way_says_so_and_what_it_answered_is_not_paid_for_again(world):
    alive = {"left": 10}
    rows = [row(number) for number in range(20)]

    def dying(_):
        alive["left"] -= 1
        return (200, completion("红烧鱼")) if alive["left"] >= 0 else None

    with Server(dying) as server:
        with pytest.raises(EndpointError, match="gpt at .*the server is down"):
            asking.predict("gpt", opened(rival(server), world), rows, world / "a.jsonl")
    with Server(says("红烧鱼")) as server:
        predictions = asking.predict("gpt", opened(rival(server), world), rows, world / "a.jsonl")
        assert len(server.requests) == 10
    assert all(prediction["correct"] for prediction in predictions)
    assert sum(prediction["cost"] for prediction in predictions) == pytest.approx(
        20 * (1000 * 2e-6 + 100 * 8e-6)
    )


def test_a_server_that_refuses_every_question_is_no_accuracy_of_zero(world):
    refusing = {
        "error": {"message": "unknown field response_format", "code": "invalid_request_error"}
    }
    with Server(lambda _: (400, refusing)) as server:
        with pytest.raises(
            EndpointError,
            match="all of 2 questions were refused .*try structured: plain.*response_format",
        ):
            asking.predict(
                "gpt",
                opened(rival(server, structured="json_schema"), world),
                [row(0, menu=MENU), row(1, menu=MENU)],
                world / "a.jsonl",
            )


def test_the_budget_holds_for_all_questions(world):
    with Server(says("红烧鱼")) as server:
        with pytest.raises(BudgetError, match=r"set budget: \{USD"):
            asking.predict(
                "gpt",
                opened(rival(server, concurrency=1), world, budget=0.03),
                [row(number) for number in range(20)],
                world / "a.jsonl",
            )
    assert 0 < len(server.requests) < 20


def test_a_free_server_may_serve_another_model_tomorrow(world):
    free = {"price_input": 0.0, "price_output": 0.0}
    with Server(says("红烧鱼")) as server:
        for version, n_requests in (("model one", 1), ("model one", 1), ("model two", 2)):
            opened(rival(server, **free), world, version=version).answer([row(0)])
            assert len(server.requests) == n_requests
        for version in ("model one", "model two"):
            opened(rival(server), world, version=version).answer([row(0)])
        assert len(server.requests) == 3


def test_sites_are_named_and_judged_online_too(world):
    rows = [
        {**question, "image": f"{place}.jpg", "image_id": f"i{place}"}
        for place, question in enumerate(site_rows(["甲", "乙"]))
    ]
    site = sites.protocols("b", rows)[0]

    def steady(request):
        place = next(
            number
            for number in range(8)
            if jpeg_of(world, number) == request["messages"][-1]["content"][0]["image_url"]["url"]
        )
        return "鱼" if place < 4 else "肉"

    with Server(says(steady)) as server:
        predictions = asking.follow(
            "gpt", opened(rival(server), world), Plan([], [site]), asking.answer_file(world, "gpt")
        )
        assert online.costs(world, ["gpt"]).questions.tolist() == [8]
    assert len(server.requests) == 8
    assert all(prediction["correct"] for prediction in predictions)
    assert {prediction["truth"] for prediction in predictions} == {"鱼", "肉"}


def jpeg_of(world, number):
    return online._data_url(world / f"{number}.jpg")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"structured": "enum"},
            "structured must be one of plain, choice, json_schema, got 'enum'",
        ),
        ({"name": "tuned"}, "this name is ours"),
        ({"name": "a/b"}, "name must be a plain folder name: without /"),
        ({"system": 3}, "system must be str, got 3"),
        ({"modell": "m"}, "unknown field 'modell'; did you mean model"),
    ],
)
def test_a_slip_in_the_list_is_found_before_anything_is_sent(changed, words):
    with pytest.raises(EndpointError, match=words):
        rival("http://127.0.0.1:1/v1", **changed)


def test_the_estimate_counts_what_will_be_asked_and_the_budget_is_checked_before():
    plan = Plan(
        [{**row(number, menu=MENU), "protocol": "menu"} for number in range(10)],
        sites.protocols("b", site_rows(["甲", "乙"])),
    )
    two = [
        rival("http://127.0.0.1:1/v1"),
        rival("http://127.0.0.1:1/v1", name="free", price_input=0.0, price_output=0.0),
    ]
    estimated = online.estimate(two, plan)
    assert estimated.endpoint.tolist() == ["gpt", "free"]
    # Of the 8 for the sites four name dishes, and where these disagree they are asked again.
    assert estimated.requests.tolist() == [10 + 8 + 4] * 2
    assert 0 < estimated.likely[0] < estimated.high[0]
    assert estimated.likely[1] == 0
    online.check_budget(estimated, {"USD": 1.0})
    with pytest.raises(BudgetError, match="lower endpoint_questions. Nothing was sent"):
        online.check_budget(estimated, {})
    online.check_budget(online.estimate([], plan), {})


def test_costs_are_summed_per_endpoint_and_currency_with_what_the_naming_of_sites_took(tmp_path):
    rows = {
        "gpt": [
            prediction(0, "红烧鱼", cost=0.5, currency="USD", tokens=10, seconds=1.0),
            prediction(1, None, error="x", currency="USD", seconds=3.0),
        ],
        "dou": [
            prediction(2, "素鸡", cost=0.25, currency="CNY", menu=MENU),
            prediction(3, None, lost="no name", seconds=0.0),
        ],
    }
    for name, of_endpoint in rows.items():
        records.write_jsonl(asking.answer_file(tmp_path, name), of_endpoint)
    spent = online.costs(tmp_path, ["gpt", "dou"])
    assert spent[
        ["endpoint", "questions", "failed", "tokens", "cost", "seconds_median"]
    ].values.tolist() == [
        ["gpt", 2, 1, 10, 0.5, 2.0],
        ["dou", 1, 0, 0, 0.25, 0.5],
    ]
    assert online.totals(spent) == {"USD": 0.5, "CNY": 0.25}
    assert online.totals(online.costs(tmp_path, [])) == {}
