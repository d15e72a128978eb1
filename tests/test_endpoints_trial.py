"""When an endpoint is asked no more: what counts, what does not, and what is said."""

import re

import pytest
from toys import Server, completion

from dishvl_lib.endpoints import client, outcomes, trial
from dishvl_lib.endpoints.asking import ask_all
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.errors import EndpointError, UselessError
from dishvl_lib.endpoints.forms import Form
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.outcomes import DONE, DOWN, RETRY, TOO_FAST, Outcome
from dishvl_lib.endpoints.requests import Request
from dishvl_lib.endpoints.trial import Usefulness

PACE = 1e-3
GOOD = Outcome("ok", DONE, value="鱼")
USELESS = [
    Outcome("empty", outcomes.AGAIN),
    Outcome("malformed", outcomes.REPAIR),
    Outcome("refusal", DONE),
    Outcome("length", DONE),
    Outcome("failed", DONE, rejected=True),
    Outcome("ok", DONE, value=""),
]
SILENT = [
    Outcome("failed", RETRY, pressure=DOWN),
    Outcome("failed", RETRY, pressure=TOO_FAST),
    Outcome("content_filter", DONE),
    Outcome("failed", DONE, problem="the request cannot be made (photo missing)"),
]


class Dish(Form):
    name: str


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def after(*seen):
    usefulness = Usefulness(bool)
    for outcome in seen:
        usefulness.note(outcome)
    return usefulness.given_up


@pytest.mark.parametrize("outcome", USELESS)
def test_five_useless_answers_at_the_start_are_enough(outcome):
    assert not after(*[outcome] * 4)
    assert after(*[outcome] * 5)


@pytest.mark.parametrize("outcome", SILENT)
def test_what_says_nothing_of_the_others_does_not_count(outcome):
    assert not after(*[outcome] * 30)
    assert after(*[outcome] * 30, *[USELESS[0]] * 5)


def test_ten_of_the_first_twenty_are_enough_and_later_ones_do_not_count():
    assert not after(GOOD, *[USELESS[0]] * 9, *[GOOD] * 10, *[USELESS[0]] * 50)
    assert after(GOOD, *[USELESS[0]] * 10)


@pytest.mark.parametrize("status", ["empty", "malformed", "schema_violation", "refusal", "length"])
def test_what_came_and_what_to_change_is_said(status):
    usefulness = Usefulness(bool)
    for _ in range(5):
        usefulness.note(Outcome(status, DONE, text="我 想想", problem="no good"))
    assert (
        f"5 of the first 5 answers hold nothing that can be used (5 {status})"
        in usefulness.sentence
    )
    assert "The last: no good, in '我 想想'" in usefulness.sentence
    assert re.search("What to change: .*(model|max_tokens)", usefulness.sentence)


def ask(server, journal, count, is_useful=bool, run="r", **changed):
    given = {
        "name": "toy",
        "base_url": server.base_url,
        "model": "m",
        "price_input": 1.0,
        "price_output": 1.0,
        "concurrency": 1,
        "max_tokens": 100,
    }
    (endpoint,) = client.connect([given | changed])
    all_requests = [
        Request(str(n), str(n), lambda n=n: [{"role": "user", "content": str(n)}], Dish)
        for n in range(count)
    ]
    return ask_all(
        endpoint,
        all_requests,
        journal,
        run=run,
        budget=Budget({"USD": 1.0}),
        pace=PACE,
        trial=Usefulness(is_useful),
    )


def test_after_the_trial_nothing_more_is_sent_and_what_was_paid_is_said(journal):
    with Server(lambda _: (200, completion("这不是 JSON"))) as server:
        with pytest.raises(
            UselessError, match=r"toy at .* is asked no more after 5 of 40 "
        ) as error:
            ask(server, journal, 40)
    assert len(server.requests) == 10, "five dishes, each with its repair turn"
    assert "for which 0.0110 USD were paid" in str(error.value)
    assert [answer.was_asked for answer in error.value.answers] == [True] * 5 + [False] * 35


def test_what_is_under_way_is_still_paid_and_kept(journal):
    with Server(lambda _: (200, completion("这不是 JSON"))) as server:
        with pytest.raises(UselessError):
            ask(server, journal, 40, concurrency=4)
    assert 10 <= len(server.requests) <= 10 + 2 * 4
    assert journal.spent("r")["USD"] == pytest.approx(len(server.requests) * 1100 / 1e6)


def test_a_given_up_endpoint_is_given_up_from_the_journal_alone(journal):
    with Server(lambda _: (200, completion("这不是 JSON"))) as server:
        for _ in range(2):
            with pytest.raises(UselessError):
                ask(server, journal, 40)
    assert len(server.requests) == 10


def test_a_few_bad_ones_end_nothing(journal):
    def answer(request):
        number = int(request["messages"][0]["content"])
        return 200, completion("?" if number % 3 == 0 else {"name": str(number)})

    with Server(answer) as server:
        answers = ask(server, journal, 40)
    assert [answer.status for answer in answers].count("ok") == 26


def test_without_a_trial_refusals_alone_end_an_endpoint():
    refusals = trial.Refusals()
    refused = Outcome("failed", DONE, problem="no such field", rejected=True)
    sentences = [refusals.note(refused) for _ in range(10)]
    assert sentences[:9] == [""] * 9
    assert "the first 10 requests were all refused" in sentences[9]


def test_an_empty_account_ends_everything_in_a_trial_too(journal):
    empty = {"error": {"type": "exceeded_current_quota_error", "message": "recharge"}}
    with Server(lambda _: (429, empty)) as server:
        with pytest.raises(EndpointError, match="quota is used up .*recharge.*top it up"):
            ask(server, journal, 40)
    assert len(server.requests) == 1
