"""Asking the annotators for each dish's card, introduction and recipe. What was paid for is never
asked twice.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.annotation.cards import (
    CARD_KIND,
    CARD_LINE,
    PROMPT_VERSION,
    TEXTS_KIND,
    DishCard,
    DishTexts,
    card_messages,
    texts_messages,
)
from dishvl_lib.annotation.voting import (
    Vote,
    card_request,
    choose_photos,
    tells,
    texts_request,
    vote,
)
from dishvl_lib.core.types import AnyPath, Record, Records, RecordViews
from dishvl_lib.endpoints import prices, requests
from dishvl_lib.endpoints.asking import Answer, ask_all
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint
from dishvl_lib.endpoints.errors import UselessError
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.limits import StopSignal
from dishvl_lib.endpoints.requests import Request
from dishvl_lib.endpoints.trial import Usefulness, excerpt

# Lengths of usual answers, with which the estimate counts: a card has fourteen short fields, a
# recipe eight steps.
CARD_TOKENS = 320
TEXTS_TOKENS = 720
CARD_IN_PROMPT = "菜" * 320
NO_ANNOTATOR_NOTE = "names from folders, no annotator"
COMPARED_COLUMNS = [
    "annotator",
    "tokens_estimated",
    "tokens",
    "likely",
    "high",
    "paid",
    "currency",
    "cards",
    "quarantined",
]
QUARANTINE_COLUMNS = ["dish_id", "annotator", "kind", "image_id", "status", "problem", "text"]


def estimate(
    endpoints: Sequence[Endpoint], n_dishes: int, photos_per_dish: int = 1
) -> pd.DataFrame:
    """What asking about `n_dishes` is likely to take, one row per annotator, before anything is
    sent.

    Columns: annotator, model, requests, tokens, low, likely, high (in currency), currency, minutes.
    """
    card = prices.likely_usage(
        card_messages("菜" * 8, ""), requests.sent_schema(DishCard), CARD_TOKENS
    )
    prompt = texts_messages(DishCard(name=""))[0]["content"]
    before_card = prompt.partition(CARD_LINE)[0]
    messages = [{"role": "user", "content": before_card + CARD_IN_PROMPT}]
    texts = prices.likely_usage(messages, requests.sent_schema(DishTexts), TEXTS_TOKENS)
    return prices.estimate(endpoints, [(n_dishes * photos_per_dish, card), (n_dishes, texts)])


def check_budget(estimated: pd.DataFrame, budget: Mapping[str, float]) -> None:
    """Raises `BudgetError` when the likely cost of all annotators is over `budget` {currency:
    amount}, currency by currency.
    """
    prices.check_budget(estimated, budget, "the annotation is", "rehearse with max_dishes first")


def ask_dishes(
    photos: pd.DataFrame,
    image_root: AnyPath,
    endpoints: Sequence[Endpoint],
    journal_file: AnyPath,
    *,
    run_name: str,
    budget: Mapping[str, float],
    photos_per_dish: int = 1,
    pace: float = 1.0,
    making: str = "",
) -> Records:
    """answers.jsonl: what each annotator says of each dish, sorted by dish, annotators in their
    order; [] without any.

    `photos`: the catalogue; outside sites are left out, and a dish's most typical photos are sent.
    With several photos a dish the card's names are voted on. Fields: dish_id, annotator, model,
    prompt_version, image_ids, votes, name, card, introduction, recipe, problems, quarantined, cost,
    currency, tokens, seconds. `pace` multiplies every pause. `making`: which making of the stage
    this is; what another one has put aside is asked anew.

    An annotator whose first answers are of no use is asked no more, which is printed; the dishes
    that it was not asked about have no row of it. Raises `UselessError` with the rows until then
    when that goes for all of them, `EndpointError` or `BudgetError` when an annotator cannot go on;
    run again and what was paid for comes from the journal.
    """
    if not endpoints:
        return []
    chosen = choose_photos(photos, photos_per_dish)
    journal = Journal(journal_file)
    paying = {
        "run": run_name,
        "budget": Budget(budget),
        "pace": pace,
        "halt": StopSignal(),
        "making": making,
    }
    try:
        requests_for_cards = [
            card_request(photo, Path(image_root)) for photo in chosen.itertuples()
        ]
        to_ask = [(endpoint, requests_for_cards) for endpoint in endpoints]
        cards = _ask_everyone(to_ask, journal, paying, "cards", tells)
        polls = [_polls(chosen, replies.answers) for replies in cards]
        if all(replies.given_up for replies in cards):
            rows = _all_rows(endpoints, polls, [[] for _ in endpoints])
            raise UselessError("; ".join(replies.given_up for replies in cards), rows)
        to_ask = [
            (endpoint, [] if replies.given_up else _texts_requests(of_endpoint))
            for endpoint, replies, of_endpoint in zip(endpoints, cards, polls, strict=True)
        ]
        texts = _ask_everyone(to_ask, journal, paying, "texts", _tell_something)
    finally:
        journal.close()
    return _all_rows(endpoints, polls, [replies.answers for replies in texts])


def failure(answers: RecordViews) -> str:
    """Why an annotation has failed as a whole, with what came and was paid; '' when it has not:
    nobody was asked, or some annotator gave a card.
    """
    if not answers or not no_annotator(answers):
        return ""
    quarantined_rows = itertools.chain.from_iterable(row["quarantined"] for row in answers)
    nothing = {"problem": "nothing is known of the dish", "text": ""}
    first = next(quarantined_rows, nothing)
    text = excerpt(first.get("status", ""), first["text"])
    where = f", in {text!r}" if text else ""
    costs = total_cost(answers)
    paid = ", ".join(f"{cost:.4f} {currency}" for currency, cost in costs.items())
    dishes = {row["dish_id"] for row in answers}
    return (
        f"no annotator gave a card for any of {len(dishes)} dishes, "
        f"for which {paid} were paid. The first answer: {first['problem']}"
        f"{where}. Change model, parameters or base_url of annotators, "
        "or set annotators: [] to take the names from folders; all answers are in quarantined.csv"
    )


def _texts_requests(polls: Sequence[Any]) -> list[Request]:
    """Introduction and recipe are asked of the dishes that have a card."""
    return [texts_request(poll.dish_id, poll.vote.card) for poll in polls if poll.vote.card]


def quarantined(answers: RecordViews) -> pd.DataFrame:
    """The requests that gave no usable answer, with the raw text: dish_id, annotator, kind,
    image_id, status, problem, text.
    """
    rows = []
    for row in answers:
        asked_of = {"dish_id": row["dish_id"], "annotator": row["annotator"]}
        rows += [asked_of | refused for refused in row["quarantined"]]
    return pd.DataFrame(rows, columns=QUARANTINE_COLUMNS)


def compare(estimated: pd.DataFrame, answers: RecordViews) -> pd.DataFrame:
    """What was estimated beside what this run paid, an annotator a row: estimated and used tokens,
    likely, high, paid, dishes with a card.
    """
    rows = []
    for expected in estimated.itertuples():
        tokens = 0
        paid: float = 0
        cards = 0
        refused = 0
        for row in answers:
            if row["annotator"] == expected.annotator:
                tokens += row["tokens"]
                paid += row["cost"]
                cards += row["card"] is not None
                refused += len(row["quarantined"])
        rows.append(
            (
                expected.annotator,
                expected.tokens,
                tokens,
                expected.likely,
                expected.high,
                round(paid, 6),
                expected.currency,
                cards,
                refused,
            )
        )
    return pd.DataFrame(rows, columns=COMPARED_COLUMNS)


def total_cost(answers: RecordViews) -> dict[str, float]:
    """Sum per currency of what this run paid, also before it was killed; what another run paid for
    costs nothing again.
    """
    sums: dict[str, float] = {}
    for answer in answers:
        currency = answer["currency"]
        total = sums.get(currency, 0.0) + answer["cost"]
        sums[currency] = round(total, 6)
    return sums


def no_annotator(rows: RecordViews) -> bool:
    """True when no row (of answers or of dishes) has a card: every name comes from a folder or a
    list.
    """
    return all(row["card"] is None for row in rows)


@dataclass(frozen=True)
class _Poll:
    """One dish and annotator: the photos that were sent, an answer for each, and the vote."""

    dish_id: str
    answers: list[Answer]
    vote: Vote


@dataclass(frozen=True)
class _Replies:
    """An annotator's answers, and why it was given up on the way; '' when it was not."""

    answers: list[Answer]
    given_up: str = ""


def _polls(chosen: pd.DataFrame, answers: list[Answer]) -> list[_Poll]:
    """The dishes that were asked about."""
    by_dish: dict[str, list[Answer]] = {}
    for dish_id, answer in zip(chosen.dish_id, answers, strict=True):
        if answer.was_asked:
            by_dish.setdefault(dish_id, []).append(answer)
    return [_Poll(dish_id, given, vote(given)) for dish_id, given in by_dish.items()]


def _ask_everyone(
    todo: list[tuple[Endpoint, list[Request]]],
    journal: Journal,
    paying: Record,
    what: str,
    is_useful: Callable[[Any], bool],
) -> list[_Replies]:
    """All annotators at once, each within its own limits. One whose answers are of no use is given
    up alone; the first error of another kind stops the others too and is raised.
    """

    def ask(endpoint: Endpoint, its: list[Request]) -> _Replies:
        label = f"{endpoint.name}: {what}"
        trial = Usefulness(is_useful)
        try:
            return _Replies(ask_all(endpoint, its, journal, label=label, trial=trial, **paying))
        except UselessError as error:
            print(f"{what}: {error}", flush=True)
            return _Replies(error.answers, given_up=str(error))

    with ThreadPoolExecutor(len(todo)) as pool:
        futures = [pool.submit(ask, endpoint, its) for endpoint, its in todo]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            raise paying["halt"].fail(error) from None


def _tell_something(texts: DishTexts) -> bool:
    return bool(texts.introduction or texts.recipe)


def _all_rows(
    endpoints: Sequence[Endpoint], polls: list[list[_Poll]], texts: list[list[Answer]]
) -> Records:
    rows = []
    for endpoint, of_endpoint, texts_of_endpoint in zip(endpoints, polls, texts, strict=True):
        rows += _rows(endpoint, of_endpoint, texts_of_endpoint)
    return sorted(rows, key=lambda row: row["dish_id"])


def _rows(endpoint: Endpoint, polls: list[_Poll], texts: list[Answer]) -> Records:
    texts_by_dish = {answer.id: answer for answer in texts if answer.was_asked}
    return [_row(endpoint, poll, texts_by_dish.get(poll.dish_id)) for poll in polls]


def _row(endpoint: Endpoint, poll: _Poll, texts_answer: Answer | None) -> Record:
    texts = texts_answer.value if texts_answer and texts_answer.value else DishTexts()
    kinds = [(CARD_KIND, answer) for answer in poll.answers]
    if texts_answer:
        kinds.append((TEXTS_KIND, texts_answer))
    card = poll.vote.card
    return {
        "dish_id": poll.dish_id,
        "annotator": endpoint.name,
        "model": endpoint.model,
        "prompt_version": PROMPT_VERSION,
        "image_ids": [answer.id for answer in poll.answers],
        "votes": poll.vote.votes,
        "name": poll.vote.name,
        "card": card.model_dump() if card else None,
        "introduction": texts.introduction,
        "recipe": texts.recipe,
        "problems": [f"{kind}: {answer.problem}" for kind, answer in kinds if answer.problem],
        "quarantined": [_put_aside(kind, answer) for kind, answer in kinds if answer.problem],
        "cost": round(sum(answer.cost for _, answer in kinds), 8),
        "currency": endpoint.currency,
        "tokens": sum(sum(answer.usage.values()) for _, answer in kinds),
        "seconds": round(sum(answer.seconds for _, answer in kinds), 3),
    }


def _put_aside(kind: str, answer: Answer) -> dict[str, str]:
    image_id = answer.id if kind == CARD_KIND else ""
    return {
        "kind": kind,
        "image_id": image_id,
        "status": answer.status,
        "problem": answer.problem,
        "text": answer.text,
    }
