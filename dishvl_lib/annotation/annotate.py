"""Asking the annotators for each dish's card and texts, and settling on a name. What was paid for is never asked twice."""

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ValidationError
from tqdm.auto import tqdm

from dishvl_lib.annotation.cards import PROMPT_VERSION, DishCard, DishTexts, card_messages, texts_messages
from dishvl_lib.core import images, names, records
from dishvl_lib.endpoints.client import Endpoint, Reply, RequestRefused, ask
from dishvl_lib.endpoints.journal import Journal

# Per dish: both prompts with schema, a photo of 768 px, both answers. Rough on purpose, shown as an estimate.
TOKENS_PER_DISH = {"prompt_tokens": 2600, "completion_tokens": 700}
NO_ANNOTATOR_NOTE = "names from folders, no annotator"


class BudgetError(RuntimeError):
    """The estimate is over the budget: nothing was sent."""


def estimate(endpoints: Sequence[Endpoint], n_dishes: int) -> pd.DataFrame:
    """What asking about `n_dishes` is likely to cost, one row per annotator, before anything is sent."""
    rows = [
        {"annotator": one.name, "model": one.model, "requests": 2 * n_dishes, "tokens": n_dishes * sum(TOKENS_PER_DISH.values()),
         "low": 0.5 * n_dishes * one.cost(TOKENS_PER_DISH), "likely": n_dishes * one.cost(TOKENS_PER_DISH), "high": 2 * n_dishes * one.cost(TOKENS_PER_DISH), "currency": one.currency}
        for one in endpoints
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["annotator", "model", "requests", "tokens", "low", "likely", "high", "currency"])


def check_budget(estimated: pd.DataFrame, budget: float) -> None:
    """Raises `BudgetError` when the likely cost of all annotators is over `budget` (in their currency)."""
    likely = float(estimated.likely.sum())
    if likely > budget:
        raise BudgetError(
            f"the annotation is likely to cost {likely:.2f} {estimated.currency.iloc[0]}, over budget={budget:g}; set budget to at least that, or rehearse with max_dishes"
        )


def dishes(
    photos: pd.DataFrame, image_root: Path, endpoints: Sequence[Endpoint], journal_file: Path, *, names_csv: str = "", decisions: Path | None = None
) -> list[dict[str, Any]]:
    """One record per dish: dish_id, folders, name, name_source, aliases, n_images, card, introduction, recipe, source, review.

    The name is the first of: a decision (CSV folder,name), `names_csv` (folder,name), the first annotator that knows the
    dish (more than its name; its card and texts are the dish's), the cleaned folder name. Two dishes that end with one name are marked `same_name` for the review and stay apart. Raises
    `EndpointError` when a server cannot be used at all; a single bad answer is recorded and the folder's name stands.
    """
    own = photos[~photos.split.str.startswith("site:")]
    given = {"names_csv": read_names(names_csv), "decision": read_names(decisions)}
    journal = Journal(journal_file)
    jobs = [(dish_id, part) for dish_id, part in own.groupby("dish_id", sort=True)]
    try:
        with ThreadPoolExecutor(max([1, *(one.concurrency for one in endpoints)])) as pool:
            asked = pool.map(lambda job: _dish(*job, Path(image_root), endpoints, journal, given), jobs)
            made = list(tqdm(asked, total=len(jobs), desc="dishes", mininterval=10, disable=len(jobs) < 200))
    finally:
        journal.close()
    return _mark_same_names(made)


def read_names(path: str | Path | None) -> dict[str, str]:
    """{folder: name} from a CSV with these two columns; {} for no file given. The last row of a folder counts."""
    if not path or not Path(path).exists():
        if path and isinstance(path, str):
            raise records.RecordError(f"names_csv: {path} is missing")
        return {}
    table = records.read_table(path, ["folder", "name"])
    return {folder: names.clean(name) for folder, name in zip(table["folder"], table["name"], strict=True) if names.clean(name)}


def no_annotator(records_: Sequence[dict[str, Any]]) -> bool:
    """True when no dish has a card: every name comes from a folder or a list."""
    return all(one["card"] is None for one in records_)


def total_cost(records_: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Sum per currency of what this run paid (replies from the journal cost nothing again)."""
    sums: dict[str, float] = {}
    for one in records_:
        for paid in one["source"]:
            sums[paid["currency"]] = round(sums.get(paid["currency"], 0.0) + paid["cost"], 6)
    return sums


def _dish(
    dish_id: str, photos: pd.DataFrame, image_root: Path, endpoints: Sequence[Endpoint], journal: Journal, given: dict[str, dict[str, str]]
) -> dict[str, Any]:
    folders = sorted(photos.folder.unique())
    answers = [_ask_about(one, folders[0], _typical_photo(photos, image_root), journal) for one in endpoints]
    known = [answer for answer in answers if answer["card"] and not answer["card"].only_name]
    card, texts = (known[0]["card"], known[0]["texts"]) if known else (None, DishTexts())
    named = next((answer["card"].name for answer in known if names.clean(answer["card"].name)), "")
    name, source = _settle_name(folders, named, dish_id, given)
    return {
        "dish_id": dish_id,
        "folders": folders,
        "name": name,
        "name_source": source,
        "aliases": sorted({names.clean(named), names.clean_folder_name(folders[0])} - {name, ""}),
        "n_images": len(photos),
        "card": card.model_dump() if card else None,
        "introduction": texts.introduction,
        "recipe": texts.recipe,
        "source": [a["source"] for a in answers],
        "review": "",
    }


def _settle_name(folders: list[str], named: str, dish_id: str, given: dict[str, dict[str, str]]) -> tuple[str, str]:
    for source in ("decision", "names_csv"):
        for folder in folders:
            if given[source].get(folder):
                return given[source][folder], source
    if names.clean(named):
        return names.clean(named), "annotator"
    return names.clean(dish_id), "folder"


def _typical_photo(photos: pd.DataFrame, image_root: Path) -> Path:
    """The training photo of the median size: neither a thumbnail nor a panorama, and never one of the test."""
    train = photos[photos.split == "train"]
    ordered = (train if len(train) else photos).assign(area=lambda t: t.width * t.height).sort_values(["area", "image_id"])
    return image_root / ordered.path.iloc[len(ordered) // 2]


def _ask_about(endpoint: Endpoint, folder: str, photo: Path, journal: Journal) -> dict[str, Any]:
    url = "data:image/jpeg;base64," + base64.b64encode(images.jpeg_bytes(images.load_rgb(photo), 768)).decode()
    asked = [_ask_one(endpoint, card_messages(folder, url), "dish_card", DishCard, journal)]
    card, texts = asked[0][0], DishTexts()
    if card and not card.only_name:
        asked.append(_ask_one(endpoint, texts_messages(card), "dish_texts", DishTexts, journal))
        texts = asked[1][0] or texts
    source = {
        "annotator": endpoint.name,
        "model": endpoint.model,
        "prompt_version": PROMPT_VERSION,
        "cost": round(sum(reply.cost for _, reply, _ in asked if reply), 8),
        "currency": endpoint.currency,
        "tokens": sum(sum(reply.usage.values()) for _, reply, _ in asked if reply),
        "problems": [problem for _, _, problem in asked if problem],
    }
    return {"card": card, "texts": texts, "source": source}


def _ask_one(endpoint: Endpoint, messages: list[dict[str, Any]], schema_name: str, schema: type[BaseModel], journal: Journal) -> tuple[Any, Reply | None, str]:
    try:
        reply = ask(endpoint, messages, schema_name, schema.model_json_schema(), journal)
    except RequestRefused as error:
        return None, None, f"{schema_name}: {error}"
    try:
        return schema.model_validate(json.loads(_without_fence(reply.text))), reply, ""
    except (ValueError, ValidationError) as error:
        first = _first_problem(error) if isinstance(error, ValidationError) else str(error)
        return None, reply, f"{schema_name}: the answer does not fit the schema ({first}); its text is in the journal"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _without_fence(text: str) -> str:
    body = text.strip()
    return body.removeprefix("```json").removeprefix("```").removesuffix("```").strip() if body.startswith("```") else body


def _mark_same_names(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, list[dict[str, Any]]] = {}
    for one in made:
        seen.setdefault(names.normalise(one["name"]), []).append(one)
    for alike in seen.values():
        for one in alike if len(alike) > 1 else ():
            one["review"] = "same_name: " + ", ".join(other["dish_id"] for other in alike if other is not one)
    return made


def names_by_dish(records_: Sequence[dict[str, Any]]) -> dict[str, str]:
    """{dish_id: name} of dishes.jsonl."""
    return {one["dish_id"]: one["name"] for one in records_}


def name_table(records_: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A dish a row: what it is called, by whom, and whether it has a card."""
    rows = [
        {
            "dish_id": one["dish_id"],
            "name": one["name"],
            "name_source": one["name_source"],
            "n_images": one["n_images"],
            "folders": ", ".join(one["folders"]),
            "card": one["card"] is not None,
        }
        for one in records_
    ]
    return pd.DataFrame(rows)


def to_review(records_: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The dishes that a person should look at first, with the reason."""
    rows = [
        {"dish_id": one["dish_id"], "name": one["name"], "reason": "; ".join([one["review"], *_problems(one)]).strip("; ")}
        for one in records_
        if one["review"] or _problems(one)
    ]
    return pd.DataFrame(rows, columns=["dish_id", "name", "reason"])


def _problems(one: dict[str, Any]) -> list[str]:
    return [problem for source in one["source"] for problem in source["problems"]]
