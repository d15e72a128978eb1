"""Tokens and money: what a reply cost, the most a request can cost, and what many of them are
likely to.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dishvl_lib.core.types import Record, RecordView, RecordViews
from dishvl_lib.endpoints.errors import BudgetError

if TYPE_CHECKING:
    from dishvl_lib.endpoints.client import Endpoint

# A photo of 768 px: 765 tokens by OpenAI's tile rule (85 + 4 x 170), 752 by 28-pixel patches, up to
# 1,452 by the mini models' patches.
IMAGE_TOKENS = 765
MOST_IMAGE_TOKENS = 1600
# Chinese is three UTF-8 bytes a character and about a token; a byte-level tokenizer can never make
# more tokens than bytes.
BYTES_PER_TOKEN = 3.0
MESSAGE_TOKENS = 50
# Rough on purpose: answers of half and twice the length are normal.
LOW = 0.6
HIGH = 2.0
SECONDS_PER_REQUEST = 8.0
BATCH_MINUTES = 24 * 60  # a batch is done within a day
COLUMNS = [
    "annotator",
    "model",
    "requests",
    "tokens",
    "low",
    "likely",
    "high",
    "currency",
    "minutes",
]


def usage_of(body: str) -> dict[str, int]:
    """{prompt_tokens, completion_tokens} of a chat completion's raw body; {} when it does not
    say.
    """
    try:
        usage = json.loads(body)["usage"]
        return {
            name: max(0, int(usage[name] or 0)) for name in ("prompt_tokens", "completion_tokens")
        }
    except (ValueError, KeyError, TypeError, OverflowError):
        return {}


def most_usage(messages: RecordViews, schema: RecordView | None, max_tokens: int) -> dict[str, int]:
    """An upper bound of what one request can use: its bytes as tokens, its photos at the dearest
    rule, the longest answer.
    """
    size, photos = _measure(messages)
    extra = len(json.dumps(schema, ensure_ascii=False).encode()) if schema else 0
    return {
        "prompt_tokens": size + extra + MESSAGE_TOKENS + photos * MOST_IMAGE_TOKENS,
        "completion_tokens": max_tokens,
    }


def likely_usage(
    messages: RecordViews, schema: RecordView | None, answer_tokens: int
) -> dict[str, int]:
    """What one request probably uses, for an answer of about `answer_tokens`."""
    size, photos = _measure(messages)
    if schema:
        size += len(json.dumps(schema, ensure_ascii=False).encode())
    text_tokens = round(size / BYTES_PER_TOKEN)
    prompt_tokens = text_tokens + MESSAGE_TOKENS + photos * IMAGE_TOKENS
    return {"prompt_tokens": prompt_tokens, "completion_tokens": answer_tokens}


def estimate(
    endpoints: Sequence["Endpoint"], kinds: Sequence[tuple[int, dict[str, int]]]
) -> pd.DataFrame:
    """What asking is likely to cost, an endpoint a row, before anything is sent.

    `kinds`: (number of requests, usage of one) for each kind of request. Columns: annotator, model,
    requests, tokens, low, likely, high (in `currency`), minutes (at the endpoint's limits; a batch
    is promised within a day).
    """
    return pd.DataFrame([_estimate_one(endpoint, kinds) for endpoint in endpoints], columns=COLUMNS)


def check_budget(
    estimated: pd.DataFrame, budget: Mapping[str, float], what: str, instead: str
) -> None:
    """Raises `BudgetError` when the likely cost of an `estimate` is over `budget` {currency:
    amount}, currency by currency.

    `what` is to be paid for; `instead`: what else could be done.
    """
    for currency, part in estimated.groupby("currency", sort=True):
        likely = float(part.likely.sum())
        high = float(part.high.sum())
        allowed = float(budget.get(currency, 0.0))
        if likely > allowed:
            raise BudgetError(
                f"{what} likely to cost {likely:.2f} {currency} (at most about {high:.2f}) "
                f"for {int(part.requests.sum())} requests, over the "
                f"{allowed:g} {currency} of budget; set budget: {{{currency}: {high:.2f}}} "
                f"to go on, or {instead}. Nothing was sent"
            )


def _estimate_one(endpoint: "Endpoint", kinds: Sequence[tuple[int, dict[str, int]]]) -> Record:
    requests = 0
    tokens = 0
    likely = 0.0
    for n, usage in kinds:
        requests += n
        tokens += n * sum(usage.values())
        likely += n * endpoint.cost(usage)
    if endpoint.batch:
        likely *= endpoint.batch_discount
    prices = {"low": LOW * likely, "likely": likely, "high": HIGH * likely}
    return {
        "annotator": endpoint.name,
        "model": endpoint.model,
        "requests": requests,
        "tokens": tokens,
        **prices,
        "currency": endpoint.currency,
        "minutes": _minutes(endpoint, requests, tokens),
    }


def _minutes(endpoint: "Endpoint", requests: int, tokens: int) -> float:
    if endpoint.batch:
        return float(BATCH_MINUTES)
    bounds = [requests * SECONDS_PER_REQUEST / 60 / endpoint.concurrency]
    bounds += [requests / endpoint.requests_per_minute] if endpoint.requests_per_minute else []
    bounds += [tokens / endpoint.tokens_per_minute] if endpoint.tokens_per_minute else []
    return round(max(bounds), 1)


def _measure(messages: RecordViews) -> tuple[int, int]:
    """(bytes of text, number of photos)."""
    n_bytes = 0
    n_photos = 0
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] == "text":
                n_bytes += len(part["text"].encode())
            else:
                n_photos += 1
    return n_bytes, n_photos
