"""Asking the annotators for each dish's card, introduction and recipe. What was paid for is never
asked twice.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.annotation.cards import (
    CARD_LINE,
    PROMPT_VERSION,
    DishCard,
    DishTexts,
    card_messages,
    texts_messages,
)
from dishvl_lib.annotation.voting import Vote, card_request, choose_photos, texts_request, vote
from dishvl_lib.endpoints import prices, requests
from dishvl_lib.endpoints.asking import Answer, ask_all
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.limits import StopSignal
from dishvl_lib.endpoints.requests import Request

# Lengths of usual answers, with which the estimate counts: a card has fourteen short fields, a
# recipe eight steps.
CARD_TOKENS = 320
TEXTS_TOKENS = 720
CARD_IN_PROMPT = "菜" * 320
NO_ANNOTATOR_NOTE = "names from folders, no annotator"
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
    told = [
        {
            "role": "user",
            "content": texts_messages(DishCard(name=""))[0]["content"].partition(CARD_LINE)[0]
            + CARD_IN_PROMPT,
        }
    ]
    texts = prices.likely_usage(told, requests.sent_schema(DishTexts), TEXTS_TOKENS)
    return prices.estimate(endpoints, [(n_dishes * photos_per_dish, card), (n_dishes, texts)])


def check_budget(estimated: pd.DataFrame, budget: Mapping[str, float]) -> None:
    """Raises `BudgetError` when the likely cost of all annotators is over `budget` {currency:
    amount}, currency by currency.
    """
    prices.check_budget(estimated, budget, "the annotation is", "rehearse with max_dishes first")


def ask_dishes(
    photos: pd.DataFrame,
    image_root: str | Path,
    endpoints: Sequence[Endpoint],
    journal_file: str | Path,
    *,
    run_name: str,
    budget: Mapping[str, float],
    photos_per_dish: int = 1,
    pace: float = 1.0,
) -> list[dict[str, Any]]:
    """answers.jsonl: what each annotator says of each dish, sorted by dish, annotators in their
    order; [] without any.

    `photos`: the catalogue; outside sites are left out, and a dish's most typical photos are sent.
    With several photos a dish the card's names are voted on. Fields: dish_id, annotator, model,
    prompt_version, image_ids, votes, name, card, introduction, recipe, problems, quarantined, cost,
    currency, tokens, seconds. `pace` multiplies every pause. Raises `EndpointError` or
    `BudgetError` when an annotator cannot go on; run again and what was paid for comes from the
    journal.
    """
    if not endpoints:
        return []
    chosen = choose_photos(photos, photos_per_dish)
    journal = Journal(journal_file)
    paying = {"run": run_name, "budget": Budget(budget), "pace": pace, "halt": StopSignal()}
    try:
        requests_for_cards = [
            card_request(photo, Path(image_root)) for photo in chosen.itertuples()
        ]
        to_ask = [(endpoint, requests_for_cards) for endpoint in endpoints]
        cards = _ask_everyone(to_ask, journal, paying, "cards")
        polls = [_polls(chosen, answers) for answers in cards]
        requests_for_texts = [_texts_requests(of_endpoint) for of_endpoint in polls]
        to_ask = list(zip(endpoints, requests_for_texts, strict=True))
        texts = _ask_everyone(to_ask, journal, paying, "texts")
    finally:
        journal.close()
    rows = []
    for endpoint, of_endpoint, answers in zip(endpoints, polls, texts, strict=True):
        rows += _rows(endpoint, of_endpoint, answers)
    return sorted(rows, key=lambda row: row["dish_id"])


def _texts_requests(polls: Sequence[Any]) -> list[Request]:
    """Introduction and recipe are asked of the dishes that have a card."""
    return [texts_request(poll.dish_id, poll.vote.card) for poll in polls if poll.vote.card]


def quarantined(answers: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The requests that gave no usable answer, with the raw text: dish_id, annotator, kind,
    image_id, status, problem, text.
    """
    rows = [
        {"dish_id": row["dish_id"], "annotator": row["annotator"], **refused}
        for row in answers
        for refused in row["quarantined"]
    ]
    return pd.DataFrame(rows, columns=QUARANTINE_COLUMNS)


def compare(estimated: pd.DataFrame, answers: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What was estimated beside what this run paid, an annotator a row: estimated and used tokens,
    likely, high, paid, dishes with a card.
    """
    rows = []
    for expected in estimated.itertuples():
        own = [row for row in answers if row["annotator"] == expected.annotator]
        paid = round(sum(row["cost"] for row in own), 6)
        tokens = sum(row["tokens"] for row in own)
        rows.append(
            {
                "annotator": expected.annotator,
                "tokens_estimated": expected.tokens,
                "tokens": tokens,
                "likely": expected.likely,
                "high": expected.high,
                "paid": paid,
                "currency": expected.currency,
                "cards": sum(row["card"] is not None for row in own),
                "quarantined": sum(len(row["quarantined"]) for row in own),
            }
        )
    return pd.DataFrame(
        rows,
        columns=[
            "annotator",
            "tokens_estimated",
            "tokens",
            "likely",
            "high",
            "paid",
            "currency",
            "cards",
            "quarantined",
        ],
    )


def total_cost(answers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sum per currency of what this run paid, also before it was killed; what another run paid for
    costs nothing again.
    """
    sums: dict[str, float] = {}
    for answer in answers:
        sums[answer["currency"]] = round(sums.get(answer["currency"], 0.0) + answer["cost"], 6)
    return sums


def no_annotator(rows: Sequence[Mapping[str, Any]]) -> bool:
    """True when no row (of answers or of dishes) has a card: every name comes from a folder or a
    list.
    """
    return all(row["card"] is None for row in rows)


def names_by_dish(dishes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """{dish_id: name} of dishes.jsonl."""
    return {dish["dish_id"]: dish["name"] for dish in dishes}


@dataclass(frozen=True)
class _Poll:
    """One dish and annotator: the photos that were sent, an answer for each, and the vote."""

    dish_id: str
    answers: list[Answer]
    vote: Vote


def _polls(chosen: pd.DataFrame, answers: list[Answer]) -> list[_Poll]:
    by_dish: dict[str, list[Answer]] = {}
    for dish_id, answer in zip(chosen.dish_id, answers, strict=True):
        by_dish.setdefault(dish_id, []).append(answer)
    return [_Poll(dish_id, own, vote(own)) for dish_id, own in by_dish.items()]


def _ask_everyone(
    asked: list[tuple[Endpoint, list[Request]]], journal: Journal, paying: dict[str, Any], what: str
) -> list[list[Answer]]:
    """All annotators at once, each within its own limits. The first error stops the others too and
    is raised.
    """
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = [
            pool.submit(ask_all, endpoint, its, journal, label=f"{endpoint.name}: {what}", **paying)
            for endpoint, its in asked
        ]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            raise paying["halt"].fail(error) from None


def _rows(endpoint: Endpoint, polls: list[_Poll], texts: list[Answer]) -> list[dict[str, Any]]:
    told = {answer.id: answer for answer in texts}
    return [_row(endpoint, poll, told.get(poll.dish_id)) for poll in polls]


def _row(endpoint: Endpoint, poll: _Poll, told: Answer | None) -> dict[str, Any]:
    texts = told.value if told and told.value else DishTexts()
    kinds = [("dish_card", answer) for answer in poll.answers] + (
        [("dish_texts", told)] if told else []
    )
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
    image_id = answer.id if kind == "dish_card" else ""
    return {
        "kind": kind,
        "image_id": image_id,
        "status": answer.status,
        "problem": answer.problem,
        "text": answer.text,
    }
