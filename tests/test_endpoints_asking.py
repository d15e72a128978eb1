"""Asking: what is tried again, repaired, put aside or stops everything; what is stored; and what it
costs.
"""

import json
import sqlite3
import threading
import time
import traceback

import pytest
from pydantic import BaseModel, Field
from toys import Server, completion

from dishvl_lib.endpoints import attempts, client
from dishvl_lib.endpoints.asking import ask_all
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.errors import BudgetError, EndpointError
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.requests import Request

KEY = "sk-very-secret-12345"
PACE = 1e-3


class Dish(BaseModel):
    name: str
    calories: float = Field(default=0.0, le=900)


SMALL = {"prompt_tokens": 40, "completion_tokens": 100}
GOOD = {"name": "鱼", "calories": 5.0}
BAD = {"name": "鱼", "calories": 5000.0}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TOY_KEY", KEY)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def endpoint(server, **changed):
    given = {
        "name": "toy",
        "base_url": getattr(server, "base_url", server),
        "model": "m-1",
        "api_key_env": "TOY_KEY",
        "price_input": 2.0,
        "price_output": 8.0,
    }
    return client.connect([given | {"concurrency": 4, "max_tokens": 100} | changed])[0]


def question(text="什么菜？", schema=Dish):
    return Request(text, text, lambda: [{"role": "user", "content": text}], schema)


def ask(server, journal, *texts, schema=Dish, run="r", budget=None, **changed):
    asked_endpoint = endpoint(server, **changed)
    return ask_all(
        asked_endpoint,
        [question(text, schema) for text in texts or ["什么菜？"]],
        journal,
        run=run,
        budget=budget or Budget({"USD": 100.0}),
        pace=PACE,
    )


def replies(*given):
    """Answers these in turn, the last one for ever."""
    queue = list(given)
    return lambda _: queue.pop(0) if len(queue) > 1 else queue[0]


def error(status, code, message="no", headers=None):
    return (
        status,
        {"error": {"message": f"{message} {KEY}", "type": "x", "code": code}},
        headers or {},
    )


def stored(journal, columns="status"):
    with sqlite3.connect(journal.path) as db:
        rows = db.execute(f"SELECT {columns} FROM attempts ORDER BY sent_at, attempt").fetchall()
    return [row[0] for row in rows] if "," not in columns else rows


def settled(journal):
    """Statuses once the writer has caught up."""
    journal.set_mode("any", "any", "prompt")
    return stored(journal)


def test_an_answer_its_price_and_its_row(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        (answer,) = ask(server, journal)
    assert (answer.id, answer.status, answer.value, answer.problem, answer.from_journal) == (
        "什么菜？",
        "ok",
        Dish(**GOOD),
        "",
        False,
    )
    assert answer.cost == pytest.approx((1000 * 2 + 100 * 8) / 1e6)
    assert answer.usage == {"prompt_tokens": 1000, "completion_tokens": 100}
    assert answer.currency == "USD"
    (sent,) = server.requests
    form = sent["response_format"]["json_schema"]
    assert form["name"] == "dish"
    assert form["strict"]
    assert form["schema"]["required"] == ["name", "calories"]
    assert sent["temperature"] == 0
    assert sent["max_tokens"] == 100
    settled(journal)
    assert stored(journal, "status, run, currency, cost, reserved, final") == [
        ("ok", "r", "USD", pytest.approx(0.0028), 0.0, 1)
    ]


def test_plain_text_needs_no_schema(journal):
    with Server(lambda _: (200, completion("一条鱼"))) as server:
        (answer,) = ask(server, journal, schema=None)
    assert answer.value == "一条鱼"
    assert "response_format" not in server.requests[0]


def test_what_was_paid_for_is_never_asked_again_and_costs_another_run_nothing(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        first = ask(server, journal)[0]
        same = ask(server, journal)[0]
        other = ask(server, journal, run="other")[0]
        assert len(server.requests) == 1
        assert (same.value, other.value) == (first.value, first.value)
        assert same.from_journal
        assert same.cost == first.cost
        assert other.cost == 0.0
        ask(server, journal, "别的")
        ask(server, journal, model="m-2")
        ask(server, journal, parameters={"temperature": 1})
        assert len(server.requests) == 4
        assert server.requests[3]["temperature"] == 1
    with Server(lambda _: (200, completion(BAD))) as moved:
        assert ask(moved, journal)[0].value == first.value, (
            "the port of a local server does not count"
        )
        assert moved.requests == [], "the port of a local server does not count"


PASSING = [
    error(429, "rate_limit"),
    error(500, None),
    error(503, None),
    error(408, None),
    error(409, None),
    None,
    (200, b"<html>busy</html>"),
    (200, {"choices": None}),
    (200, {"choices": []}),
    (200, b'{"choices": [{"mess'),
    (200, b"[]"),
    (200, {"choices": [{"message": {"content": ["x"]}}]}),
]


@pytest.mark.parametrize("failure", PASSING)
def test_failures_that_may_pass_are_tried_again(journal, failure):
    with Server(replies(failure, failure, (200, completion(GOOD)))) as server:
        assert ask(server, journal)[0].value == Dish(**GOOD)
    assert len(server.requests) == 3
    assert settled(journal)[2] == "ok"
    assert set(settled(journal)[:2]) <= {"failed", "malformed"}


def test_they_are_not_tried_for_ever_and_a_later_run_tries_again(journal):
    with Server(
        lambda request: (
            error(503, None)
            if request["messages"][0]["content"] == "bad"
            else (200, completion(GOOD))
        )
    ) as server:
        good, bad = ask(server, journal, "good", "bad", concurrency=1)
        assert (good.status, bad.status, bad.value) == (
            "ok",
            "failed",
            None,
        )
        assert "HTTP 503" in bad.problem
        assert len(server.requests) == 1 + attempts.MAX_ATTEMPTS
        ask(server, journal, "bad")
        assert len(server.requests) == 1 + 2 * attempts.MAX_ATTEMPTS, (
            "nothing was paid, so it is asked again"
        )


def test_an_empty_completion_is_bought_twice_and_then_put_aside(journal):
    with Server(lambda _: (200, completion("  "))) as server:
        first = ask(server, journal)[0]
        second = ask(server, journal)[0]
    assert first.status == second.status == "empty"
    assert len(server.requests) == attempts.MOST_BOUGHT
    assert first.cost == pytest.approx(2 * 0.0028) == second.cost
    assert second.from_journal


def test_an_empty_completion_may_be_followed_by_a_whole_one(journal):
    with Server(replies((200, completion("")), (200, completion(GOOD)))) as server:
        assert ask(server, journal)[0].value == Dish(**GOOD)
    assert len(server.requests) == 2


def test_too_fast_is_waited_out_longer_than_a_failure(journal):
    with Server(
        replies(*[error(429, "rate_limit")] * (attempts.MAX_ATTEMPTS + 3), (200, completion(GOOD)))
    ) as server:
        assert ask(server, journal)[0].status == "ok"
    assert len(server.requests) == attempts.MAX_ATTEMPTS + 4


def test_a_limit_that_does_not_pass_stops_the_run_instead_of_putting_all_dishes_aside(journal):
    with (
        Server(lambda _: error(429, "rate_limit", "requests per day")) as server,
        pytest.raises(
            EndpointError, match="too fast .HTTP 429 rate_limit: requests per day.*lower requests"
        ),
    ):
        ask(server, journal, *map(str, range(10)), concurrency=1)
    assert len(server.requests) == attempts.MAX_TOO_FAST


def test_pauses_grow_and_the_servers_wish_is_obeyed(journal, monkeypatch):
    waits = []
    monkeypatch.setattr(
        attempts.StopSignal,
        "wait",
        lambda self, seconds: waits.append(seconds / PACE) if seconds else None,
    )
    monkeypatch.setattr(attempts.random, "uniform", lambda low, high: high)
    with Server(lambda _: error(500, None)) as server:
        ask(server, journal, concurrency=8)
    assert waits == pytest.approx([0.5, 1.0, 2.0, 4.0])
    waits.clear()
    with Server(
        replies(error(429, "x", headers={"Retry-After": "7"}), (200, completion(GOOD)))
    ) as server:
        ask(server, journal, model="m-2")
    assert waits == pytest.approx([7.0])


@pytest.mark.parametrize(
    "failure, words",
    [
        (error(401, "invalid_api_key"), ["TOY_KEY", "refused", "401"]),
        (error(403, None), ["TOY_KEY", "refused", "403"]),
        (
            error(404, "model_not_found"),
            ["no model 'm-1'", "change this endpoint's model or base_url"],
        ),
        (error(429, "insufficient_quota"), ["quota is used up", "top it up"]),
        (error(402, None), ["quota is used up"]),
    ],
)
def test_failures_that_stay_stop_at_once_with_the_remedy_and_without_the_key(
    journal, tmp_path, failure, words
):
    with Server(lambda _: failure) as server, pytest.raises(EndpointError) as caught:
        ask(server, journal, *map(str, range(40)), concurrency=2)
    assert all(word in str(caught.value) for word in [*words, "toy", server.base_url])
    assert len(server.requests) <= 2
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert all(
        KEY.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    )


def test_a_bad_request_is_put_aside_but_when_all_are_bad_it_stops(journal):
    def answer(request):
        return (
            error(400, "bad_thing", "unsupported value")
            if request["messages"][0]["content"] != "fine"
            else (200, completion(GOOD))
        )

    with Server(answer) as server:
        fine, bad = ask(server, journal, "fine", "x", concurrency=1)
        assert fine.status == "ok"
        assert bad.status == "failed"
        assert "HTTP 400 bad_thing: unsupported value [key]" in bad.problem
        assert len(server.requests) == 2
        with pytest.raises(
            EndpointError,
            match="the first 10 requests were all refused; check parameters and "
            "model.*unsupported value",
        ):
            ask(server, journal, *map(str, range(50)), concurrency=1)
        assert len(server.requests) == 12


@pytest.mark.parametrize(
    "reply, status",
    [
        (
            {
                **completion(""),
                "choices": [
                    {"finish_reason": "stop", "message": {"content": None, "refusal": "我不能看"}}
                ],
            },
            "refusal",
        ),
        (
            {
                **completion(""),
                "choices": [{"finish_reason": "content_filter", "message": {"content": ""}}],
            },
            "content_filter",
        ),
        (
            {
                **completion(""),
                "choices": [{"finish_reason": "length", "message": {"content": '{"name": "'}}],
            },
            "length",
        ),
    ],
)
def test_answers_that_cannot_get_better_have_a_status_of_their_own_and_are_paid_once(
    journal, reply, status
):
    with Server(lambda _: (200, reply)) as server:
        first = ask(server, journal)[0]
        second = ask(server, journal)[0]
    assert first.status == second.status == status
    assert first.value is None
    assert first.problem.startswith(f"{status}: ")
    assert len(server.requests) == 1
    assert settled(journal) == [status]
    assert first.cost > 0


def test_a_content_filter_by_status_400_is_one_too(journal):
    with Server(lambda _: error(400, "content_filter")) as server:
        assert [ask(server, journal)[0].status for _ in range(2)] == ["content_filter"] * 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "broken, status",
    [(json.dumps(BAD), "schema_violation"), ("没有 JSON", "malformed"), ("[]", "schema_violation")],
)
def test_one_repair_turn_then_the_raw_text_is_put_aside(journal, broken, status):
    with Server(
        lambda request: (200, completion(GOOD if len(request["messages"]) == 3 else broken))
    ) as server:
        (mended,) = ask(server, journal)
    first, second, third = server.requests[1]["messages"]
    assert mended.value == Dish(**GOOD)
    assert mended.cost == pytest.approx(2 * 0.0028)
    assert len(server.requests) == 2
    assert second == {"role": "assistant", "content": broken}
    assert third["role"] == "user"
    assert "不能使用" in third["content"]
    assert first["content"] == "什么菜？"
    with Server(lambda _: (200, completion(broken))) as server:
        given_up = ask(server, journal, "另一道")[0]
        again = ask(server, journal, "另一道")[0]
    assert given_up.status == status
    assert given_up.value is None
    assert given_up.text == broken
    assert len(server.requests) == 2
    assert again.from_journal
    assert settled(journal) == [status, "ok", status, status]


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}```", "  ```JSON\n{}\n```\n"])
def test_a_fenced_answer_is_read(journal, fence):
    with Server(lambda _: (200, completion(fence.replace("{}", json.dumps(GOOD))))) as server:
        assert ask(server, journal)[0].value == Dish(**GOOD)
    assert len(server.requests) == 1


def test_the_ladder_is_climbed_down_once_per_model_and_remembered(journal):
    def only_prompt(request):
        form = request.get("response_format", {}).get("type")
        if form == "json_schema":
            return error(
                400, "InvalidParameter", "response_format.type json_schema is not supported"
            )
        return (
            error(400, None, "json_object is not supported by this model")
            if form
            else (200, completion(GOOD))
        )

    with Server(only_prompt) as server:
        answers = ask(server, journal, *map(str, range(20)), concurrency=4)
        forms = [request.get("response_format", {}).get("type", "") for request in server.requests]
        assert all(answer.value == Dish(**GOOD) for answer in answers)
        assert 1 <= forms.count("json_schema") <= 4
        assert 1 <= forms.count("json_object") <= 4
        assert "JSON Schema" in server.requests[-1]["messages"][0]["content"]
        assert journal.mode("toy", "m-1") == "prompt"
        before = len(server.requests)
        ask(server, journal, "new")
        assert len(server.requests) == before + 1, "a later run begins where the ladder ended"
    with Server(lambda _: (200, completion(BAD))) as server:
        assert ask(server, journal, "0")[0].from_journal, (
            "the way a schema is asked for is no part of the key"
        )


def only(field, instead=""):
    """A server that refuses a field of the request, as OpenAI's newer models do."""

    def answer(request):
        if field not in request:
            return 200, completion(GOOD)
        sentence = f"Unsupported parameter: '{field}' is not supported with this model. {instead}"
        return 400, {
            "error": {"message": sentence, "code": "unsupported_parameter", "param": field}
        }

    return answer


def test_a_model_that_takes_no_max_tokens_gets_max_completion_tokens(journal, capsys):
    with Server(only("max_tokens", "Use 'max_completion_tokens' instead.")) as server:
        answers = ask(server, journal, *map(str, range(9)), concurrency=1)
        ask(server, journal, "later")
    assert all(answer.value == Dish(**GOOD) for answer in answers)
    assert len(server.requests) == 1 + 9 + 1, "found out once, and recorded for later runs"
    assert server.requests[-1]["max_completion_tokens"] == 100
    assert capsys.readouterr().out.count("max_tokens is refused; max_completion_tokens from") == 1


def test_a_model_that_takes_no_temperature_is_asked_without(journal):
    with Server(only("temperature")) as server:
        answers = ask(server, journal, *map(str, range(9)), concurrency=1)
    assert all(answer.value == Dish(**GOOD) for answer in answers)
    assert len(server.requests) == 1 + 9
    assert journal.refused_fields("toy", "m-1") == ["temperature"]


def test_what_was_asked_in_another_way_is_the_same_request(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        ask(server, journal)
        journal.refuse_field("toy", "m-1", "temperature")
        assert ask(server, journal)[0].from_journal


def test_a_server_that_refuses_both_names_of_a_field_is_refused_soon(journal):
    def answer(request):
        field = next(name for name in request if name.startswith("max_"))
        return 400, {"error": {"message": f"unknown field {field}", "param": field}}

    with Server(answer) as server, pytest.raises(EndpointError, match="max_completion_tokens"):
        ask(server, journal, *map(str, range(40)), concurrency=1)
    assert len(server.requests) == 11


def test_a_bound_on_max_tokens_is_said_and_not_gone_around(journal):
    detail = [{"loc": ["body", "max_tokens"], "msg": "ensure this value is less than 64"}]
    with Server(lambda _: (422, {"detail": detail})) as server:
        answer = ask(server, journal)[0]
    assert "HTTP 422: max_tokens: ensure this value is less than 64" in answer.problem
    assert "lower this endpoint's max_tokens" in answer.problem
    assert len(server.requests) == 1


EMPTY_ACCOUNTS = [
    (429, {"error": {"type": "exceeded_current_quota_error", "message": "suspended"}}),
    (429, {"error": {"code": "1113", "message": "余额不足"}}),
    (400, {"error": {"code": "Arrearage", "message": "in good standing"}}),
    (403, {"error": {"code": "AllocationQuota.FreeTierOnly", "message": "free tier"}}),
    (402, {"error": {"message": "Insufficient Balance"}}),
    (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
]


@pytest.mark.parametrize("reply", EMPTY_ACCOUNTS)
def test_an_empty_account_stops_everything_at_once(journal, reply):
    with Server(lambda _: reply) as server:
        with pytest.raises(EndpointError, match="the account's quota is used up"):
            ask(server, journal, *map(str, range(40)), concurrency=1)
    assert len(server.requests) == 1


FILTERS = [
    (400, {"error": {"code": "data_inspection_failed", "message": "inappropriate"}}),
    (400, {"error": {"code": "1301", "message": "不安全"}}),
    (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    (403, {"error": {"message": "your input was flagged", "code": 403}}),
    (451, {"error": {"message": "censored"}}),
    (200, {"error": {"code": "1301", "message": "敏感"}}),
    (200, {"choices": [{"finish_reason": "sensitive", "message": {"content": ""}}]}),
]


@pytest.mark.parametrize("reply", FILTERS)
def test_a_content_filter_puts_one_dish_aside_and_is_paid_once(journal, reply):
    with Server(lambda _: reply) as server:
        answers = [ask(server, journal)[0] for _ in range(2)]
    assert [answer.status for answer in answers] == ["content_filter"] * 2
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "boom", "code": 502}}, "HTTP 502: boom"),
        ({"error": {"message": "boom"}}, "the reply holds an error in place of an answer"),
        (b'data: {"choices": []}\n\ndata: [DONE]\n\n', "the reply is an event stream"),
    ],
)
def test_what_stands_in_the_place_of_a_completion_is_said_and_tried_again(journal, body, words):
    with Server(lambda _: (200, body)) as server:
        answer = ask(server, journal)[0]
    assert words in answer.problem
    assert len(server.requests) == attempts.MAX_ATTEMPTS


def test_a_malformed_answer_after_an_empty_one_is_not_repaired(journal):
    with Server(replies((200, completion("")), (200, completion("?")))) as server:
        assert ask(server, journal)[0].status == "malformed"
    assert len(server.requests) == attempts.MOST_BOUGHT


def test_an_empty_repair_is_not_bought_again(journal):
    with Server(replies((200, completion("?")), (200, completion("")))) as server:
        assert ask(server, journal)[0].status == "empty"
    assert len(server.requests) == attempts.MOST_BOUGHT


def test_a_repair_turn_names_all_faults_at_once(journal):
    broken = {"calories": 5000.0}
    with Server(replies((200, completion(broken)), (200, completion(GOOD)))) as server:
        ask(server, journal)
    repair = server.requests[1]["messages"][2]["content"]
    assert "name: " in repair
    assert "calories: " in repair


@pytest.mark.parametrize("useless", ["", "没有 JSON"])
def test_what_was_put_aside_is_bought_again_only_when_the_stage_is_made_again(journal, useless):
    def ask_for(making):
        return ask_all(
            endpoint(server),
            [question()],
            journal,
            run="r",
            budget=Budget({"USD": 1.0}),
            pace=PACE,
            making=making,
        )[0]

    with Server(lambda _: (200, completion(useless))) as server:
        for _ in range(2):
            ask_for("first")
            assert len(server.requests) == 2
        for _ in range(2):
            ask_for("second")
            assert len(server.requests) == 4
    with Server(lambda _: (200, completion(GOOD))) as server:
        assert ask_for("third").value == Dish(**GOOD)
        assert ask_for("fourth").from_journal


def test_an_old_reply_that_can_be_read_by_now_is_not_bought_again(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        ask(server, journal)
        settled(journal)
        with sqlite3.connect(journal.path) as db:
            db.execute("UPDATE attempts SET status = 'malformed', making = 'an earlier one'")
        assert ask(server, journal)[0].value == Dish(**GOOD)
    assert len(server.requests) == 1


def test_an_answer_in_parts_or_beside_an_empty_content_is_read(journal):
    text = json.dumps(GOOD)
    parts = [{"type": "thinking", "thinking": "看"}, {"type": "text", "text": text}]
    messages = [{"content": parts}, {"content": "", "reasoning_content": f"看\n{text}"}]
    replied = [(200, {"choices": [{"message": message}]}) for message in messages]
    with Server(replies(*replied)) as server:
        answers = ask(server, journal, "a", "b", concurrency=1)
    assert [answer.value for answer in answers] == [Dish(**GOOD)] * 2
    assert len(server.requests) == 2


def test_a_model_that_takes_schemas_is_recorded_too(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        ask(server, journal)
    assert journal.mode("toy", "m-1") == "json_schema"


def test_a_budget_is_never_exceeded_and_what_is_paid_stays(journal):
    with Server(lambda _: (200, completion(GOOD, SMALL))) as server:
        with pytest.raises(
            BudgetError,
            match=r"of 0\.03 USD are paid.*set budget: .USD: AMOUNT. to more and run again",
        ):
            ask(server, journal, *map(str, range(100)), budget=Budget({"USD": 0.03}))
        paid = len(server.requests) * 0.00088
        assert 0.025 < paid <= 0.03
        assert journal.spent("r")["USD"] == pytest.approx(paid)
        with pytest.raises(BudgetError):
            ask(server, journal, *map(str, range(100)), budget=Budget({"USD": 0.03}))
        assert len(server.requests) * 0.00088 == pytest.approx(paid), (
            "what an earlier part of the run paid counts"
        )
        assert len(ask(server, journal, *map(str, range(100)), budget=Budget({"USD": 1.0}))) == 100
        assert len(server.requests) == 100


def test_a_server_that_counts_more_than_the_upper_bound_costs_the_budget_one_surprise(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        with pytest.raises(BudgetError):
            ask(
                server,
                journal,
                *map(str, range(100)),
                budget=Budget({"USD": 0.0281}),
                concurrency=1,
            )
    assert len(server.requests) == 10, (
        "ten replies of 0.0028; their upper bound of 0.0013 would have let an eleventh pass"
    )


def test_what_is_free_needs_no_budget_and_what_may_have_been_paid_counts(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        ask(server, journal, "free", budget=Budget({}), price_input=0.0, price_output=0.0)
        with pytest.raises(BudgetError, match="of 0 USD"):
            ask(server, journal, "paid", budget=Budget({}))
    assert len(server.requests) == 1
    with Server(replies(None, (200, completion(GOOD)))) as server:
        ask(server, journal, "cut")
    row = next(row for row in stored(journal, "reserved, http_status") if row[1] is None)
    assert row[0] == pytest.approx(0.0013, rel=0.1), "a reply that was cut may have been billed"


def test_answers_keep_their_order_and_no_more_than_concurrency_are_out(journal):
    out = 0
    most = 0
    lock = threading.Lock()

    def answer(request):
        nonlocal out, most
        with lock:
            out, most = out + 1, max(most, out + 1)
        time.sleep(0.01)
        with lock:
            out -= 1
        return 200, completion({"name": request["messages"][0]["content"]})

    with Server(answer) as server:
        answers = ask(server, journal, *map(str, range(40)), concurrency=6)
    assert (
        [answer.value.name for answer in answers]
        == list(map(str, range(40)))
        == [answer.id for answer in answers]
    )
    assert 3 <= most <= 6


def test_of_equal_requests_one_is_sent_and_paid_for(journal):
    def answer(_):
        time.sleep(0.05)
        return 200, completion(GOOD)

    with Server(answer) as server:
        served = endpoint(server)
        equal = [
            Request(str(number), "the same", lambda: [{"role": "user", "content": "x"}], Dish)
            for number in range(8)
        ]
        answers = ask_all(served, equal, journal, run="r", budget=Budget({"USD": 1.0}), pace=PACE)
    assert len(server.requests) == 1
    assert [answer.id for answer in answers] == list(map(str, range(8)))
    assert all(answer.value == Dish(**GOOD) for answer in answers)
    assert sum(answer.cost for answer in answers) == pytest.approx(0.0028)


def test_messages_are_made_only_when_they_are_sent_and_a_request_that_cannot_be_made_is_put_aside(
    journal,
):
    sent = []

    def messages(text):
        sent.append(text)
        if text == "broken":
            raise ValueError("the photo is damaged")
        return [{"role": "user", "content": text}]

    def run(*texts):
        requests = [Request(text, text, lambda text=text: messages(text), Dish) for text in texts]
        return ask_all(
            endpoint(server), requests, journal, run="r", budget=Budget({"USD": 1.0}), pace=PACE
        )

    with Server(lambda _: (200, completion(GOOD))) as server:
        good, broken = run("good", "broken")
        run("good")
    assert sent.count("good") == 1
    assert good.status == "ok"
    assert (broken.status, broken.value) == ("failed", None)
    assert "the photo is damaged" in broken.problem


def test_nobody_listening_is_said_soon(journal):
    with pytest.raises(
        EndpointError,
        match=r"toy at http://127.0.0.1:9/v1: the server is down .*the last: no answer "
        r".*run again when it answers",
    ):
        ask("http://127.0.0.1:9/v1", journal, *map(str, range(30)))


def test_a_server_that_comes_back_is_waited_for_and_nothing_is_put_aside(journal):
    down = threading.Event()

    def answer(request):
        number = int(request["messages"][0]["content"])
        if number == 20:
            down.set()
            threading.Timer(0.3, down.clear).start()
        return error(502, None) if down.is_set() else (200, completion(GOOD))

    with Server(answer) as server:
        served = endpoint(server)
        answers = ask_all(
            served,
            [question(str(i)) for i in range(60)],
            journal,
            run="r",
            budget=Budget({"USD": 100.0}),
            pace=0.01,
        )
    assert [a.status for a in answers].count("ok") >= 58
    assert [a.status for a in answers[30:]] == ["ok"] * 30


def test_an_unjudged_reply_of_a_killed_run_is_judged_and_not_bought_again(journal):
    with Server(lambda _: (200, completion(GOOD))) as server:
        ask(server, journal)
        journal.set_mode("any", "any", "prompt")  # waits for what was put down before it
        with sqlite3.connect(journal.path) as db:
            db.execute("UPDATE attempts SET status = 'received', final = 0")
        assert ask(server, journal)[0].value == Dish(**GOOD)
        assert len(server.requests) == 1
        journal.set_mode("any", "any", "prompt")
        with sqlite3.connect(journal.path) as db:
            db.execute("UPDATE attempts SET status = 'received', final = 0, body = '<html>'")
        assert ask(server, journal)[0].value == Dish(**GOOD), (
            "an unjudged reply that is of no use is asked for again"
        )
        assert len(server.requests) == 2, "an unjudged reply that is of no use is asked for again"
