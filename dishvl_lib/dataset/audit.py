"""What must hold before anything is trained: counts, no leak between splits, answers that stand
anywhere on a menu.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, questions
from dishvl_lib.core.types import Record, Records, RecordView
from dishvl_lib.dataset import leaks, shortcuts


def audit(
    photos: pd.DataFrame,
    rows_by_split: Mapping[str, Sequence[Record]],
    left_out: Sequence[dict[str, str]],
    token_lengths: Mapping[str, Sequence[int]] | None = None,
    ranks: shortcuts.Ranks | None = None,
    shortcut: RecordView | None = None,
    shortcut_confused: RecordView | None = None,
) -> Record:
    """audit.json: counts (split x kind, split x dish), leaks, answer positions, look-alikes on
    menus, repeated questions, token lengths.

    ranks: {(name, its look-alike's name): rank}; shortcut: what `shortcuts.measure` found, and
    shortcut_confused on menus that are seeded by a run's confusions, where there are such.
    """
    ranks = ranks or {}
    splits = rows_by_split.items()
    lengths = (token_lengths or {}).items()
    seeded = {"shortcut_test_confused": dict(shortcut_confused)} if shortcut_confused else {}
    return {
        "counts": {split: _counts(rows) for split, rows in splits},
        "dishes_left_out": list(left_out),
        "leaks": leaks.find(photos),
        "answer_positions": {split: positions(rows) for split, rows in splits},
        "look_alike_share": {split: look_alike_share(rows, ranks) for split, rows in splits},
        "shortcut_test": dict(shortcut or {}),
        **seeded,
        "repeated_questions": {split: _repeated(rows) for split, rows in splits},
        "token_lengths": {split: _lengths(values) for split, values in lengths},
    }


def problems(
    report: RecordView,
    rows_by_split: Mapping[str, Sequence[Record]],
    torn: pd.DataFrame,
) -> list[str]:
    """What nothing may be trained with, a sentence each with what to do; [] when there is none.

    report: what `audit` made; torn: near-duplicates that lie in two splits (path_a, path_b).
    """
    again = "and run the chain again from stage 01"
    leave_out = f"mark one photo of each as 'photo bad' in decisions/photos.csv {again}"
    off_menu = []
    for rows in rows_by_split.values():
        for row in _menu_rows(rows):
            if not _is_on_menu(row):
                off_menu.append(row["id"])
    split_leaks = report["leaks"]
    sentences = []
    if len(torn):
        pair = " and ".join(torn[["path_a", "path_b"]].iloc[0])
        problem = f"{len(torn)} pairs of near-duplicates lie in two splits, such as {pair}"
        sentences.append(f"{problem}; {leave_out}")
    if split_leaks:
        n = len(split_leaks)
        problem = f"{n} groups or equal files lie in two splits, the first: {split_leaks[0]}"
        sentences.append(f"{problem}; {leave_out}")
    if off_menu:
        problem = f"{len(off_menu)} answers are not on their menu, the first: {off_menu[0]}"
        sentences.append(f"{problem}; give its dish another name in decisions/names.csv {again}")
    for menus, guesser in _guessers(report):
        sentences += _given_away(menus, guesser)
    return sentences


def _guessers(report: RecordView) -> list[tuple[str, RecordView]]:
    """(which menus, what the guesser reached on them)."""
    tried = [("menus", report["shortcut_test"])]
    if "shortcut_test_confused" in report:
        tried.append(("menus of confusions_from", report["shortcut_test_confused"]))
    return tried


def _given_away(menus: str, guesser: RecordView) -> list[str]:
    """What is wrong where a guesser that sees no photo is right too often; [] otherwise."""
    if guesser["excess"] <= shortcuts.POINT:
        return []
    right = f"{guesser['accuracy']:.1%}"
    chance = f"{guesser['chance']:.1%}"
    return [
        f"{menus} give their answers away: a guesser without eyes is right in {right}, "
        f"chance is {chance}; lower look_alikes_per_seed and same_site_share, or take dishes "
        "in that have no look-alikes, and run this stage again with --redo 03"
    ]


def _menu_rows(rows: Sequence[Record]) -> Records:
    return [row for row in rows if row["kind"] == "menu"]


def _is_on_menu(row: Record) -> bool:
    return artefacts.answer_of(row) in row["menu"]


def positions(rows: Sequence[Record]) -> Record:
    """Chi-square test that the answer stands equally often in each third of its menu (p near 0: it
    does not).

    `off_menu` counts the questions whose answer is not on their menu; they stand nowhere and are
    not tested.
    """
    menu_rows = _menu_rows(rows)
    tested = [row for row in menu_rows if _is_on_menu(row)]
    n = len(tested)
    off_menu = len(menu_rows) - n
    if not n:
        return {"n": 0, "off_menu": off_menu}
    sizes = []
    places = []
    for row in tested:
        menu = row["menu"]
        sizes.append(len(menu))
        answer = artefacts.answer_of(row)
        places.append(menu.index(answer))
    middles = np.array(places) + 0.5
    seen = _in_thirds(middles / sizes)
    thirds = list(map(_expected_thirds, sizes))
    expected = np.sum(thirds, axis=0)
    is_possible = expected > 0
    squares = (seen - expected) ** 2
    distances = squares / np.maximum(expected, 1e-9)
    chi2 = float(distances[is_possible].sum())
    degrees = int(is_possible.sum()) - 1
    p = _chi2_tail(chi2, degrees)
    return {
        "n": n,
        "off_menu": off_menu,
        "thirds": seen.tolist(),
        "expected": np.round(expected, 2).tolist(),
        "chi2": round(chi2, 3),
        "p": p,
    }


def look_alike_share(rows: Sequence[Record], ranks: shortcuts.Ranks) -> float:
    """Share of all menu entries that have a look-alike beside them, 0 without menus."""
    menus = [row["menu"] for row in _menu_rows(rows)]
    n_entries = sum(map(len, menus))
    beside = 0
    for menu in menus:
        beside += sum(_has_look_alike(entry, menu, ranks) for entry in menu)
    share = beside / max(1, n_entries)
    return round(share, 4)


def _has_look_alike(entry: str, menu: Sequence[str], ranks: shortcuts.Ranks) -> bool:
    others = [other for other in menu if other != entry]
    return any((entry, other) in ranks or (other, entry) in ranks for other in others)


def left_out_table(left_out: Sequence[dict[str, str]]) -> pd.DataFrame:
    """The dishes nobody is asked about: dish_id, name, reason."""
    return pd.DataFrame(list(left_out), columns=["dish_id", "name", "reason"])


def summary(report: RecordView) -> str:
    """What of an audit is read first: positions of answers, lengths, look-alikes, the guesser."""
    positions = {}
    for split, test in report["answer_positions"].items():
        n = test["n"]
        if n:
            positions[split] = f"p={test['p']:.2f}, n={n}"
    tried = []
    for menus, guesser in _guessers(report):
        right = f"{guesser['correct']} of {guesser['n']} = {guesser['accuracy']:.4f}"
        chance = f"by chance {guesser['chance']:.4f}"
        tried.append(f"guesser without a photo, {menus}: {right}, 95% {guesser['ci95']}, {chance}")
    return "\n".join(
        (
            f"answer positions: {positions}",
            f"tokens per question: {report['token_lengths']}",
            f"look-alikes beside entries: {report['look_alike_share']}",
            *tried,
        )
    )


def count_table(report: Record) -> pd.DataFrame:
    """Questions per split and kind, dishes, menu size and chance."""
    table = pd.DataFrame(report["counts"]).transpose().drop(columns="by_dish")
    return table.infer_objects().rename_axis("split")


def _chi2_tail(chi2: float, degrees: int) -> float:
    """P(X > chi2) for 0, 1 or 2 degrees of freedom; menus of two entries have no middle third and
    hence only 1.
    """
    half = chi2 / 2
    tails = (1.0, math.erfc(math.sqrt(half)), math.exp(-half))
    return tails[degrees]


def _in_thirds(relative: np.ndarray) -> np.ndarray:
    """(3,) how many places (0..1 of their menus) lie in each third."""
    counts, _ = np.histogram(relative, bins=[0, 1 / 3, 2 / 3, 1])
    return counts


def _expected_thirds(size: int) -> np.ndarray:
    relative = (np.arange(size) + 0.5) / size
    return _in_thirds(relative) / size


def _counts(rows: Sequence[Record]) -> Record:
    kinds = Counter(row["kind"] for row in rows)
    dishes = Counter(row["dish_id"] for row in rows)
    photos = {row["image_id"] for row in rows} - {""}
    sizes = np.array([len(row["menu"]) for row in _menu_rows(rows)])
    return {
        **{kind: kinds[kind] for kind in questions.KINDS},
        "photos": len(photos),
        "dishes": len(dishes),
        "menu_size": round(float(sizes.mean()), 2) if len(sizes) else 0,
        "menu_chance": round(float(np.mean(1 / sizes)), 4) if len(sizes) else 0,
        "by_dish": dict(sorted(dishes.items())),
    }


def _repeated(rows: Sequence[Record]) -> int:
    different = {(row["image_id"], artefacts.human_turn_of(row)) for row in rows}
    return len(rows) - len(different)


def _lengths(values: Sequence[int]) -> Record:
    if not len(values):
        return {"n": 0}
    array = np.asarray(values)
    return {
        "n": len(array),
        "median": int(np.median(array)),
        "p99": int(np.quantile(array, 0.99)),
        "max": int(array.max()),
    }
