"""Who answers the test questions: a Qwen2.5-VL folder, or the nearest photo by PP-LCNet's features.

Every predictor answers exactly the same stored rows. Answers are appended to a file one by one, so that a killed
evaluation goes on where it was.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dishvl_lib.core import images, questions, records
from dishvl_lib.vlm.recognizer import Recognizer

TOP_K = 5
JUDGED = ("naming", "menu")  # kinds of questions that are asked here
Answer = tuple[str | None, list[tuple[str, float]]]


class Predictor(Protocol):
    """Answers rows of one kind; an answer is (text or None, [(entry, score)] best first)."""

    def answer(self, rows: Sequence[dict[str, Any]]) -> list[Answer]: ...


class RecognizerPredictor:
    """A Qwen2.5-VL folder: naming by greedy generation, menus by scoring every entry.

    The dish is on every menu that is judged here, so the best entry is the answer however improbable it is.
    """

    def __init__(self, recognizer: Recognizer, image_root: Path):
        self.recognizer, self.image_root = recognizer, Path(image_root)

    def answer(self, rows: Sequence[dict[str, Any]]) -> list[Answer]:
        if rows[0]["kind"] == "naming":
            texts = self.recognizer.answer([(self.image_root / row["image"], _question(row)) for row in rows])
            return [(text, []) for text in texts]
        chosen = [self.recognizer.choose(self.image_root / row["image"], row["menu"], template=row["template"], top_k=TOP_K) for row in rows]
        return [(choice.entries[0][0], list(choice.entries)) for choice in chosen]


class NearestPredictor:
    """The name of the registered photo with the highest cosine; for a menu, of those whose name is on it."""

    def __init__(self, features: Mapping[str, np.ndarray], gallery: pd.DataFrame, dish_names: Mapping[str, str]):
        """`features`: image_id -> (D,) unit length; `gallery`: rows with image_id and dish_id."""
        known = gallery[gallery.image_id.isin(features.keys()) & gallery.dish_id.isin(dish_names.keys())]
        if known.empty:
            raise ValueError("the gallery holds no photo with features and a usable name")
        self.features, self.matrix = features, np.stack([features[image] for image in known.image_id])
        self.names = np.array([dish_names[dish] for dish in known.dish_id], dtype=object)

    def answer(self, rows: Sequence[dict[str, Any]]) -> list[Answer]:
        return [self._one(row) for row in rows]

    def _one(self, row: dict[str, Any]) -> Answer:
        if row["image_id"] not in self.features:
            return None, []
        scores = self.matrix @ self.features[row["image_id"]]
        best = pd.Series(scores).groupby(self.names).max().sort_values(ascending=False)
        if row["menu"]:
            best = best[best.index.isin(row["menu"])]
        ranked = [(str(name), float(score)) for name, score in best.head(TOP_K).items()]
        return (ranked[0][0] if ranked else None), ranked


def predict(name: str, predictor: Predictor, rows: Sequence[dict[str, Any]], journal: Path, batch_size: int = 16) -> list[dict[str, Any]]:
    """Answers of one predictor to all `rows`, in their order: fields id, predictor, protocol, answer, correct, ..., seconds.

    What `journal` (JSON lines) holds is not asked again. A photo that cannot be read is recorded as a wrong answer with
    its reason in `error`.
    """
    done = {row["id"]: row for row in _journalled(journal)}
    left = [row for row in rows if row["id"] not in done]
    with open(journal, "a", encoding="utf-8") as file, tqdm(total=len(rows), initial=len(done), desc=name, mininterval=10, disable=len(left) < 2000) as bar:
        for batch in _batches(left, batch_size):
            for result in _answer_batch(name, predictor, batch):
                file.write(json.dumps(result, ensure_ascii=False) + "\n")
                done[result["id"]] = result
            file.flush()
            os.fsync(file.fileno())
            bar.update(len(batch))
    return [done[row["id"]] for row in rows]


def predict_all(predictors: Mapping[str, Callable[[], Predictor]], rows: Sequence[dict[str, Any]], folder: Path, batch_size: int = 16) -> list[dict[str, Any]]:
    """predictions.jsonl: every predictor's answers to all `rows`. Each is opened only when it is its turn, then let go."""
    made = []
    for name, opened in predictors.items():
        started = time.time()
        answers = predict(name, opened(), rows, folder / f".answers_{name}.jsonl", batch_size)
        print(f"{name}: {len(answers)} questions in {time.time() - started:.0f} s", flush=True)
        made += answers
    return made


def judged(rows: Sequence[dict[str, Any]], unseen: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """The rows of kinds that are asked here; those of `unseen` (wordings never trained on) as protocols of their own."""
    apart = [{**row, "protocol": f"{row['kind']}_unseen"} for row in unseen]
    return [row for row in [*rows, *apart] if row["kind"] in JUDGED]


def register(photos: pd.DataFrame, per_dish: int, seed: int) -> pd.DataFrame:
    """`per_dish` training photos of every dish, of different groups where there are enough: the reference's gallery."""
    train = photos[photos.split == "train"].sample(frac=1, random_state=seed)
    first = train.drop_duplicates(["dish_id", "group_id"])
    ordered = pd.concat([first, train.drop(first.index)])
    return ordered.groupby("dish_id").head(per_dish)


def _answer_batch(name: str, predictor: Predictor, batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    started = time.perf_counter()
    try:
        answers, errors = predictor.answer(batch), [""] * len(batch)
    except images.ImageError:
        answers, errors = _one_by_one(predictor, batch)
    seconds = (time.perf_counter() - started) / len(batch)
    for row, (answer, scores), error in zip(batch, answers, errors, strict=True):
        yield _result(name, row, answer, scores, seconds, error)


def _one_by_one(predictor: Predictor, batch: list[dict[str, Any]]) -> tuple[list[Answer], list[str]]:
    answers: list[Answer] = []
    errors = []
    for row in batch:
        try:
            answers += predictor.answer([row])
            errors.append("")
        except images.ImageError as error:
            answers.append((None, []))
            errors.append(str(error))
    return answers, errors


def _result(name: str, row: dict[str, Any], answer: str | None, scores: list[tuple[str, float]], seconds: float, error: str) -> dict[str, Any]:
    truth = row["conversations"][1]["value"]
    return {
        "id": row["id"],
        "predictor": name,
        "protocol": row.get("protocol", row["kind"]),
        "image_id": row["image_id"],
        "dish_id": row["dish_id"],
        "truth": truth,
        "menu": row["menu"],
        "prompt": _question(row),
        "answer": answer,
        "correct": questions.mark(answer, truth),
        "correct_normalised": questions.mark_normalised(answer, truth),
        "scores": [[entry, round(score, 6)] for entry, score in scores],
        "seconds": round(seconds, 5),
        "error": error,
    }


def _question(row: dict[str, Any]) -> str:
    return questions.question_of(row["conversations"][0]["value"])


def _batches(rows: Sequence[dict[str, Any]], size: int) -> Iterable[list[dict[str, Any]]]:
    """Batches of one kind each, in order."""
    for kind in JUDGED:
        same = [row for row in rows if row["kind"] == kind]
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _journalled(journal: Path) -> list[dict[str, Any]]:
    """The whole lines of an answer file; a half-written last line is cut off so that appending goes on cleanly."""
    if not journal.exists():
        return []
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(journal, len(whole))
    rows = [json.loads(line) for line in whole.splitlines()]
    if rows and "id" not in rows[0]:
        raise records.RecordError(f"{journal} is not a file of answers")
    return rows
