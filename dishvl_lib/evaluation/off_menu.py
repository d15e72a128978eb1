"""Whether the tuned model notices that a dish is not on the menu, on menus of every size."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, intervals
from dishvl_lib.core.types import Record
from dishvl_lib.vlm import calibration, menu_presence, scored_menus
from dishvl_lib.vlm.menu_presence import MenuPresence, SizedMenus, SizedScores
from dishvl_lib.vlm.recognizer import Recognizer
from dishvl_lib.vlm.scored_menus import PhotoMenus

SIZES = (1, 2, 3, 5, 10, 20)  # and all names, up to the largest size that is fitted on
PHOTOS = 210  # that are asked about, each once with and once without its dish
ON_MENU = "on_menu"
BEST_ENTRY = "best entry"  # its probability among the menu, by which earlier models decided
COLUMNS = (
    "signal",
    "menu_size",
    "n",
    "auroc",
    "answered",
    "answered_ci95",
    "refused",
    "refused_ci95",
)


class Signal(NamedTuple):
    """How sure a menu is to hold the dish, from its log-probabilities, and from where on it
    does.
    """

    name: str
    of_menu: Callable[[np.ndarray], float]
    threshold: float


def drawn_menus(rows: Sequence[Record], seed: int) -> list[SizedMenus]:
    """Menus with and without the dish about at most PHOTOS test photos, whose sizes take turns."""
    menus = [row for row in rows if row["kind"] == "menu"]
    order = np.random.default_rng(seed).permutation(len(menus))[:PHOTOS]
    names = {artefacts.answer_of(row) for row in menus}
    sizes = menu_presence.sizes_for(len(names))
    wanted = [size for size in sizes if size in SIZES or size == max(sizes)]
    return menu_presence.sized_menus([menus[place] for place in order], wanted, seed)


def score(
    recognizer: Recognizer, menus: Sequence[SizedMenus], image_root: Path
) -> list[SizedScores]:
    """Both menus of each photo that can be read."""
    asked = [PhotoMenus(image_root / pair.row["image"], pair.questions()) for pair in menus]
    scored = []
    both_menus = scored_menus.score(recognizer.qwen, asked, "menus by size")
    for pair, scores in zip(menus, both_menus, strict=True):
        if scores is not None:
            scored += pair.with_scores(*scores)
    return scored


def signals(metadata: Record) -> list[Signal]:
    """What a folder's dishvl.json decides by, the best first: `on_menu` where that was fitted."""
    temperature = metadata.get("temperature", 1.0)

    def best_share(scores: np.ndarray) -> float:
        return float(calibration.probabilities(scores, temperature).max())

    decided = [Signal(BEST_ENTRY, best_share, metadata.get("off_menu_threshold", 0.0))]
    if menu_presence.FIELD in metadata:
        presence = MenuPresence.from_record(metadata[menu_presence.FIELD])

        def on_menu(scores: np.ndarray) -> float:
            return presence.probability(menu_presence.mass_of(scores))

        decided.insert(0, Signal(ON_MENU, on_menu, presence.threshold))
    return decided


def summary(scored: Sequence[SizedScores], decided: Sequence[Signal]) -> Record:
    """{signals: {name: {ece, ece_ci95, threshold}}, by_size: rows of COLUMNS}.

    ece: expected calibration error of the signal as the probability that the dish is on the menu,
    over 15 bins, with a 95% bootstrap interval. answered: the share of menus with the dish that get
    an answer; refused: of those without it that get none; n: menus of either. auroc: of telling
    both apart.
    """
    present = np.array([menu.present for menu in scored], bool)
    sizes = np.array([menu.size for menu in scored], int)
    rows = []
    worth = {}
    for signal in decided:
        sure = np.array([signal.of_menu(menu.scores) for menu in scored])
        calibrated = _calibration(sure, present)
        worth[signal.name] = {"threshold": signal.threshold, **calibrated}
        for size in np.unique(sizes):
            of_size = sizes == size
            row = _measured(signal, int(size), sure[of_size], present[of_size])
            rows.append(row)
    return {"signals": worth, "by_size": rows}


def shown(measures: Record) -> pd.DataFrame:
    """The part of a `summary` by menu size, as a table to read."""
    table = pd.DataFrame(measures["by_size"], columns=list(COLUMNS))
    for name in ("answered", "refused"):
        limits = table.pop(f"{name}_ci95")
        texts = []
        for share, (low, high) in zip(table[name], limits, strict=True):
            texts.append(f"{share:.3f} [{low:.3f}, {high:.3f}]")
        table[name] = texts
    table["auroc"] = table["auroc"].map("{:.3f}".format)
    return table


def sentence(measures: Record) -> str:
    """What a person should take from it; '' where nothing was asked."""
    by_size = measures["by_size"]
    larger = []
    for row in by_size:
        is_first_signal = row["signal"] == by_size[0]["signal"]
        if is_first_signal and row["menu_size"] >= 3:
            larger.append(row)
    if not larger:
        return ""
    smallest = larger[0]["menu_size"]
    largest = larger[-1]["menu_size"]
    least_answered = min(row["answered"] for row in larger)
    least_refused = min(row["refused"] for row in larger)
    return (
        f"on menus of {smallest} to {largest} entries at least "
        f"{least_answered:.2f} of the dishes on them are answered, and at least "
        f"{least_refused:.2f} of those that are not are refused"
    )


def _calibration(sure: np.ndarray, present: np.ndarray) -> Record:
    if not len(sure):
        return {"ece": None, "ece_ci95": None}

    def error(places: np.ndarray) -> float:
        return calibration.calibration_error(sure[places], present[places])

    n = len(sure)
    low, high = intervals.bootstrap(error, n)
    of_all = error(np.arange(n))
    return {"ece": of_all, "ece_ci95": [low, high]}


def _measured(signal: Signal, size: int, sure: np.ndarray, present: np.ndarray) -> Record:
    of_present = sure[present]
    of_absent = sure[~present]
    answered = of_present >= signal.threshold
    refused = of_absent < signal.threshold
    return {
        "signal": signal.name,
        "menu_size": size,
        "n": len(answered),
        "auroc": calibration.auroc(of_present, of_absent),
        "answered": float(answered.mean()),
        "answered_ci95": _interval(answered),
        "refused": float(refused.mean()),
        "refused_ci95": _interval(refused),
    }


def _interval(marks: np.ndarray) -> list[float]:
    """The 95% Wilson interval of a share."""
    count = int(marks.sum())
    bounds = intervals.wilson(count, len(marks))
    return list(bounds)
