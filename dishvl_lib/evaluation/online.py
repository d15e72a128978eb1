"""Any OpenAI-compatible model as a predictor: GPT-4.1, Doubao, or our own folder served by vLLM,
through the same road as stage 01.

{name: vllm, base_url: "http://localhost:8000/v1", model: best, dishvl: true}
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dishvl_lib.core import images, params, questions
from dishvl_lib.core.types import Record, Records, RecordView, RecordViews
from dishvl_lib.endpoints import asking, client, forms, prices
from dishvl_lib.endpoints.budget import Budget
from dishvl_lib.endpoints.client import Endpoint
from dishvl_lib.endpoints.errors import EndpointError
from dishvl_lib.endpoints.journal import Journal
from dishvl_lib.endpoints.requests import Request
from dishvl_lib.evaluation import served_model
from dishvl_lib.evaluation.asking import kept
from dishvl_lib.evaluation.predictors import Answer, question
from dishvl_lib.evaluation.protocols import Plan

PROMPT_VERSION = "2026-12"
SYSTEM = params.ONLINE_SYSTEM
BINDING = ("structured", "system", "dishvl")  # what a predictor has besides a server's fields
LONGEST_SIDE = 768  # pixels of a photo that is sent, as in stage 01
ANSWER_TOKENS = 12
TOGETHER = (
    150  # questions between two entries in the answer file; the journal has every reply at once
)
ALL = 10**9


@dataclass(frozen=True)
class Rival:
    """An endpoint and how it is asked. structured: how its server binds an answer to the menu, one
    of params.STRUCTURED; system: what stands before every question ('': nothing); dishvl: it serves
    one of our models, which is sent what `served_model` says.
    """

    endpoint: Endpoint
    structured: str = "plain"
    system: str = SYSTEM
    dishvl: bool = False

    @property
    def name(self) -> str:
        return self.endpoint.name


class EndpointPredictor:
    """Answers of one endpoint, each paid for once. What is not on the menu stays as it was said,
    and is wrong.
    """

    def __init__(
        self,
        rival: Rival,
        image_root: Path,
        sha256: Mapping[str, str],
        journal_file: Path,
        *,
        run: str,
        budget: Mapping[str, float],
        version: str = "",
        making: str = "",
        pace: float = 1.0,
    ):
        """sha256: {image_id: hash of the photo's file}. run: who pays, within `budget` {currency:
        amount}, which all endpoints of a run share.

        version: what a free server's answers belong to: under one name and address it may serve
        another model tomorrow. making: which making of the stage this is; what another one has put
        aside is asked anew.
        """
        self.rival = rival
        self.image_root = Path(image_root)
        self.sha256 = sha256
        self.journal_file = journal_file
        self.run = run
        self.making = making
        self.pace = pace
        self.budget = budget
        self.version = "" if rival.endpoint.price_input or rival.endpoint.price_output else version
        self.answered = False
        self.batch_size = (
            ALL if rival.endpoint.batch else max(TOGETHER, 8 * rival.endpoint.concurrency)
        )

    def answer(self, rows: Sequence[Record]) -> list[Answer]:
        """Raises `EndpointError` (also `BudgetError`) when going on is of no use; what was paid for
        is in the journal.
        """
        journal = Journal(self.journal_file)
        try:
            requests = [self._request(row) for row in rows]
            given = asking.ask_all(
                self.rival.endpoint,
                requests,
                journal,
                run=self.run,
                budget=Budget(self.budget),
                pace=self.pace,
                making=self.making,
            )
        finally:
            journal.close()
        self._check_any(given)
        return [_answer(self.rival, row, reply) for row, reply in zip(rows, given, strict=True)]

    def _request(self, row: Record) -> Request:
        extra = binding(self.rival.structured, row)
        identity = {
            "prompt_version": PROMPT_VERSION,
            "system": self.rival.system,
            "question": question(row),
            "photo": self.sha256[row["image_id"]],
            "longest_side": None if self.rival.dishvl else LONGEST_SIDE,
            "extra": extra,
            "version": self.version,
        }
        return Request(row["id"], identity, lambda: self._messages(row), None, extra)

    def _messages(self, row: RecordView) -> Records:
        """Raises ValueError for a photo that cannot be used, and for a question that one of our
        models would read as a command.
        """
        text = question(row)
        file = self.image_root / row["image"]
        if not self.rival.dishvl:
            return messages(self.rival.system, text, _data_url(file))
        served_model.refuse_commands(text)
        return messages(self.rival.system, text, served_model.photo_url(file))

    def _check_any(self, given: Sequence[asking.Answer]) -> None:
        """A server that refuses every question was asked in a way it does not know: that is no
        accuracy of 0.
        """
        self.answered = self.answered or any(answer.status == "ok" for answer in given)
        refused = [answer for answer in given if answer.rejected]
        if not self.answered and refused and len(refused) == len(given):
            raise EndpointError(
                f"{self.rival.endpoint.where}: all of {len(given)} questions were "
                f"refused{self._hint()}. The first: {refused[0].problem}"
            )

    def _hint(self) -> str:
        """Which of our fields a server may not know; '' where it got none."""
        if self.rival.dishvl:
            return " (dishvl: true needs a server that knows structured_outputs, as vLLM does)"
        if self.rival.structured == "plain":
            return ""
        return f" (structured: {self.rival.structured} may be unknown to it; try structured: plain)"


def connect(settings: RecordViews) -> list[Rival]:
    """Rivals from a list of {name, base_url, model, ...} as stage 01 takes it, with `structured`,
    `system` and `dishvl` besides.

    Raises `EndpointError` as `endpoints.client.connect` does, for an unknown `structured`, and for
    a name that is taken or could not name a file.
    """
    faults = params.PREDICTORS.problems(settings)
    if faults:
        raise EndpointError("; ".join(faults))
    endpoints = client.connect([_server_fields(given) for given in settings])
    return [_rival(given, endpoint) for given, endpoint in zip(settings, endpoints, strict=True)]


def _rival(given: RecordView, endpoint: Endpoint) -> Rival:
    if given.get("dishvl"):
        return Rival(endpoint, served_model.STRUCTURED, served_model.SYSTEM, dishvl=True)
    return Rival(endpoint, **{key: given[key] for key in BINDING if key in given})


def _server_fields(given: RecordView) -> Record:
    """An entry without what only a predictor has; of one of our models with how it decodes."""
    fields = {key: value for key, value in given.items() if key not in BINDING}
    if given.get("dishvl"):
        fields["parameters"] = {**served_model.DECODING, **given.get("parameters", {})}
    return fields


def estimate(rivals: Sequence[Rival], plan: Plan) -> pd.DataFrame:
    """What a plan is likely to cost, an endpoint a row, before anything is sent: endpoint, model,
    requests, tokens, low, likely, high (in currency), currency, minutes.
    """
    rows = list(plan.rows)
    for site in plan.sites:
        naming = site.to_name()
        # The names that a model will give a site's dishes are not known yet; any of usual length
        # do.
        some_names = {
            row["dish_id"]: f"菜名{number:03d}" for number, row in enumerate(site.queries)
        }
        rows += [*naming, *site.to_judge(some_names)]
        # At most, when the photos of every dish disagree.
        rows += site.to_settle({row["id"]: f"菜名{place:03d}" for place, row in enumerate(naming)})
    tables = []
    for rival in rivals:
        kinds = [(1, _usage(rival, row)) for row in rows]
        tables.append(prices.estimate([rival.endpoint], kinds))
    return pd.concat([pd.DataFrame(columns=prices.COLUMNS), *tables], ignore_index=True).rename(
        columns={"annotator": "endpoint"}
    )


def check_budget(estimated: pd.DataFrame, budget: Mapping[str, float]) -> None:
    """Raises `BudgetError` when the likely cost of all endpoints is over `budget` {currency:
    amount}, currency by currency.
    """
    prices.check_budget(estimated, budget, "the endpoints are", "lower endpoint_questions")


def costs(folder: Path, names: Sequence[str]) -> pd.DataFrame:
    """What the endpoints `names` took, from their answer files in `folder`, the naming of sites'
    dishes included.

    endpoint, questions, failed, cleaned (answers that were taken out of something), off_menu (share
    of the menu answers given), seconds (median, 95th percentile), tokens, cost, currency.
    """
    rows = []
    for name in names:
        answers = pd.DataFrame(kept(Path(folder), name))
        rows.append(_cost(name, answers))
    return pd.DataFrame(
        rows,
        columns=[
            "endpoint",
            "questions",
            "failed",
            "cleaned",
            "off_menu",
            "seconds_median",
            "seconds_p95",
            "tokens",
            "cost",
            "currency",
        ],
    )


def totals(spent: pd.DataFrame) -> dict[str, float]:
    """Sum of `costs` per currency."""
    return {
        currency: round(float(part.cost.sum()), 6)
        for currency, part in spent[spent.currency != ""].groupby("currency")
    }


def messages(system: str, text: str, image_url: str) -> Records:
    """The photo first and the question after it, as in training."""
    question = {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": image_url}},
            {"type": "text", "text": text},
        ],
    }
    return [{"role": "system", "content": system}, question] if system else [question]


def binding(structured: str, row: RecordView) -> Record:
    """The fields that bind an answer to the row's menu: vLLM's structured_outputs, or a JSON schema
    with an enum; {} for plain or without a menu.
    """
    entries = list(row["menu"])
    if row["kind"] == "menu_absent":
        entries.append(questions.NOT_ON_MENU)
    if structured == "plain" or not entries:
        return {}
    if structured == "choice":
        return {"structured_outputs": {"choice": entries}}
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": entries}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "menu_choice", "strict": True, "schema": schema},
        }
    }


def _answer(rival: Rival, row: RecordView, given: asking.Answer) -> Answer:
    answer = Answer(
        None,
        seconds=given.seconds,
        cost=round(given.cost, 8),
        currency=rival.endpoint.currency,
        tokens=sum(given.usage.values()),
    )
    if given.value is None:
        return replace(answer, error=given.problem or given.status)
    text: str | None = given.value
    removed = given.removed
    if rival.structured == "json_schema" and row["menu"]:
        text = forms.entry(given.text, "answer")
        removed = ""  # the object was asked for
    if text is None:
        beginning = given.text.strip()[:80]
        return replace(answer, error=f"the answer is not the JSON that was asked for: {beginning}")
    absent = row["kind"] == "menu_absent" and questions.mark_normalised(text, questions.NOT_ON_MENU)
    return replace(answer, text=None if absent else text, removed=removed)


def _usage(rival: Rival, row: RecordView) -> dict[str, int]:
    return prices.likely_usage(
        messages(rival.system, question(row), ""), binding(rival.structured, row), ANSWER_TOKENS
    )


def _cost(name: str, answers: pd.DataFrame) -> Record:
    answered = answers[answers.lost.eq("")]
    menus = answered[answered.answer.notna() & answered.menu.map(len).gt(0)]
    off = [answer not in menu for answer, menu in zip(menus.answer, menus.menu, strict=True)]
    has_failed = answered.error.ne("")
    cleaned = 0
    if "removed" in answered:
        cleaned = int(answered.removed.fillna("").ne("").sum())
    return {
        "endpoint": name,
        "questions": len(answered),
        "failed": int(has_failed.sum()),
        "cleaned": cleaned,
        "off_menu": sum(off) / len(off) if off else None,
        "seconds_median": answered.seconds.median(),
        "seconds_p95": answered.seconds.quantile(0.95),
        "tokens": int(answered.tokens.sum()),
        "cost": round(float(answered.cost.sum()), 6),
        "currency": answered.currency.iloc[0] if len(answered) else "",
    }


def _data_url(path: Path) -> str:
    """The photo as a data URL. Raises `ImageError` (a ValueError): the question is then recorded as
    failed.
    """
    small = images.jpeg_bytes(
        images.load_rgb(path, draft_size=(LONGEST_SIDE, LONGEST_SIDE)), LONGEST_SIDE
    )
    return "data:image/jpeg;base64," + base64.b64encode(small).decode()
