"""Asking: every predictor answers its plan, and each answer is kept the moment it is there, so that
a killed evaluation goes on where it was.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dishvl_lib.core import artefacts, questions, records
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import Record, Records, RecordView
from dishvl_lib.evaluation.predictors import Answer, Predictor, question
from dishvl_lib.evaluation.protocols import KINDS, Plan
from dishvl_lib.vlm.written_menus import check_menu

TOP_K = 5
BATCH = 16
MOST_REMOVED = 1000  # characters that are kept of what stood around an answer


def predict_all(
    predictors: Mapping[str, Callable[[], Predictor]],
    plans: Mapping[str, Plan],
    folder: Path,
    batch_size: int = BATCH,
) -> Records:
    """predictions.jsonl: every predictor's answers to its own plan. Each is opened only when it is
    its turn, then let go.

    Raises ValueError when there is no question at all, and for batch_size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1")
    if not any(plan.questions for plan in plans.values()):
        raise ValueError(
            "there is nothing to ask: 03_dataset/test.jsonl holds no question and no site "
            "has photos to judge; give dishes more photos"
        )
    predictions = []
    for name, opened in predictors.items():
        started = time.time()
        answers = follow(name, opened(), plans[name], answer_file(folder, name), batch_size)
        print(f"{name}: {len(answers)} questions in {time.time() - started:.0f} s", flush=True)
        predictions += answers
    return predictions


def follow(
    name: str, predictor: Predictor, plan: Plan, journal: Path, batch_size: int = BATCH
) -> Records:
    """One predictor's answers to a plan: the stored questions, then those of the sites, framed by
    how it named their dishes.
    """
    naming = [row for site in plan.sites for row in site.to_name()]
    first = predict(name, predictor, [*plan.rows, *naming], journal, batch_size)
    called = {row["id"]: row["answer"] for row in first[len(plan.rows) :]}
    framed = []
    for site in plan.sites:
        settled = predict(name, predictor, site.to_settle(called), journal, batch_size)
        framed += site.to_judge(site.named(called, settled))
    return first[: len(plan.rows)] + predict(name, predictor, framed, journal, batch_size)


def unanswered(predictions: pd.DataFrame, plans: Mapping[str, Plan]) -> str:
    """Which predictors' answers are not as many as their questions, with what to do; '' for
    none.
    """
    answers = predictions.predictor.value_counts()
    odd = {name: plan for name, plan in plans.items() if answers.get(name, 0) != plan.questions}
    if not odd:
        return ""
    counts = [f"{name} {answers.get(name, 0)} of {plan.questions}" for name, plan in odd.items()]
    remedy = "run this stage again with --redo 05, what was paid for is not paid again"
    return f"not every question has one answer: {', '.join(counts)}; {remedy}"


def predict(
    name: str,
    predictor: Predictor,
    rows: Sequence[Record],
    journal: Path,
    batch_size: int = BATCH,
) -> Records:
    """Answers of one predictor to all `rows`, in their order: fields id, predictor, protocol,
    answer, correct, ..., seconds.

    What `journal` (JSON lines) holds is not asked again. A photo that cannot be read and a menu
    that cannot be one are recorded as wrong answers with the reason in `error`; a question that is
    wrong in any case (`lost`) is not asked.
    """
    done = {row["id"]: row for row in _journalled(journal)}
    left = [row for row in rows if row["id"] not in done]
    answered_before = len(rows) - len(left)
    with (
        open(journal, "a", encoding="utf-8") as file,
        Progress(name, len(rows), "questions", done=answered_before) as progress,
    ):
        size = getattr(predictor, "batch_size", batch_size)
        for batch in batches(left, size, getattr(predictor, "by_photo", False)):
            with records.naming_full_disk(journal):
                for result in _answer_batch(name, predictor, batch):
                    file.write(json.dumps(result, ensure_ascii=False) + "\n")
                    done[result["id"]] = dict(result)
                file.flush()
                os.fsync(file.fileno())
            progress.advance(len(batch))
    return [done[row["id"]] for row in rows]


def answer_file(folder: Path, name: str) -> Path:
    """Where a predictor's answers are kept as they come."""
    return Path(folder) / f".answers_{name}.jsonl"


def kept(folder: Path, name: str) -> Records:
    """All of a predictor's answers so far, those by which it named the sites' dishes included."""
    return _journalled(answer_file(folder, name))


def batches(rows: Sequence[Record], size: int, by_photo: bool = False) -> Iterator[Records]:
    """Batches of at most `size` questions of one kind each, in order; or with `by_photo` all
    questions of `size` photos.
    """
    if by_photo:
        photos: dict[str, Records] = {}
        for row in rows:
            photos.setdefault(row["image"], []).append(row)
        groups = list(photos.values())
        for start in range(0, len(groups), size):
            chosen = groups[start : start + size]
            yield [row for group in chosen for row in group]
        return
    for kind in KINDS:
        same = [row for row in rows if row["kind"] == kind]
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _answer_batch(
    name: str, predictor: Predictor, batch: Records
) -> Iterator[artefacts.Prediction]:
    faults = [_fault(row) for row in batch]
    sound = [row for row, fault in zip(batch, faults, strict=True) if fault is None]
    started = time.perf_counter()
    given = iter(answers(predictor, sound) if sound else [])
    seconds = (time.perf_counter() - started) / max(1, len(sound))
    for row, fault in zip(batch, faults, strict=True):
        answer = next(given) if fault is None else Answer(None, error=fault)
        yield _result(name, row, answer, seconds)


def answers(predictor: Predictor, rows: Records) -> list[Answer]:
    """A batch's answers; of a photo that cannot be used an `error` and no answer."""
    try:
        return predictor.answer(rows)
    except ValueError:
        return [_answer_alone(predictor, row) for row in rows]


def _answer_alone(predictor: Predictor, row: Record) -> Answer:
    try:
        return predictor.answer([row])[0]
    except ValueError as error:
        return Answer(None, error=str(error))


def _fault(row: RecordView) -> str | None:
    """Why a question cannot be put to anybody; '' for one that is lost anyway; None when it can."""
    if row.get("lost"):
        return ""
    if row["kind"] == "naming":
        return None
    try:
        check_menu(row["menu"])
    except ValueError as error:
        return str(error)
    return None


def _result(name: str, row: RecordView, answer: Answer, seconds: float) -> artefacts.Prediction:
    truth = artefacts.answer_of(row)
    lost = row.get("lost", "")
    sound = not answer.error and not lost
    refused = row["kind"] == "menu_absent" and answer.text is None
    correct = refused or questions.mark(answer.text, truth)
    correct_normalised = refused or questions.mark_normalised(answer.text, truth)
    seconds = seconds if answer.seconds is None else answer.seconds
    return {
        "id": row["id"],
        "predictor": name,
        "protocol": row.get("protocol", row["kind"]),
        "image_id": row["image_id"],
        "dish_id": row["dish_id"],
        "truth": truth,
        "menu": row["menu"],
        "prompt": question(row),
        "answer": answer.text,
        "removed": answer.removed[:MOST_REMOVED],
        "correct": sound and correct,
        "correct_normalised": sound and correct_normalised,
        "scores": [[entry, round(score, 6)] for entry, score in answer.scores[:TOP_K]],
        "log_probabilities": [round(value, 5) for value in answer.log_probabilities],
        "seconds": round(seconds, 5),
        "error": answer.error,
        "lost": lost,
        "framed": row.get("framed", False),
        "near_training": row.get("near_training", ""),
        "cost": answer.cost,
        "currency": answer.currency,
        "tokens": answer.tokens,
    }


def _journalled(journal: Path) -> Records:
    """The whole lines of an answer file; a half-written last line is cut off so that appending goes
    on cleanly.
    """
    if not journal.exists():
        return []
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(journal, len(whole))
    rows = records.read_jsonl(journal)
    if rows and "id" not in rows[0]:
        raise records.RecordError(f"{journal} is not a file of answers")
    return rows
