"""How far the probabilities of a menu choice can be trusted: temperature, off-menu threshold, and
whether the dish is on the menu at all.

fitted = calibration.fit(scored)  # per menu: the entries' log-probabilities, place of the truth
calibration.calibrate(best_folder, validation_rows, image_root)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from dishvl_lib.core import artefacts, records
from dishvl_lib.core.types import AnyPath, Record, Records
from dishvl_lib.vlm import menu_presence, scored_menus
from dishvl_lib.vlm.recognizer import METADATA, Recognizer
from dishvl_lib.vlm.scored_menus import PhotoMenus

# bounds of the temperature
LEAST = 0.02
MOST = 50.0
BINS = 15  # of the calibration error
FEWEST_MENUS = 20  # with fewer, nothing is fitted
ANSWERED = 0.95  # share of the menus with the dish on them that must get an answer
FIELDS = ("temperature", "off_menu_threshold")
Scored = tuple[np.ndarray, int]


@dataclass
class ScoredMenus:
    """What menus about photos scored.

    `rows`: those whose photo could be read; `scored`: (log-probabilities (entries,), place of the
    truth) of each one's own menu; `of_sizes`: of menus with and without their dishes; `skipped`:
    photos that could not be read.
    """

    rows: Records = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    of_sizes: list[menu_presence.SizedScores] = field(default_factory=list)
    skipped: int = 0


def calibrate(
    best: AnyPath,
    rows: Sequence[Record],
    image_root: AnyPath,
    *,
    most: int = 500,
    seed: int = 0,
) -> Record:
    """Fit on at most `most` validation menus, and write the result into the folder's dishvl.json.

    Returns what `fit` found, `on_menu` (what `fit_presence` found) and `skipped` (photos that could
    not be read). With fewer than 20 menus nothing is fitted: temperature 1, threshold 0, and `note`
    says so.
    """
    fitted, _ = calibrate_and_answer(best, rows, image_root, most=most, seed=seed)
    return fitted


def calibrate_and_answer(
    best: AnyPath,
    rows: Sequence[Record],
    image_root: AnyPath,
    *,
    most: int = 500,
    seed: int = 0,
) -> tuple[Record, Records]:
    """(what `calibrate` returns, the answers to the same menus: rows with their `answer`)."""
    menus = [row for row in rows if row["kind"] == "menu"]
    order = np.random.default_rng(seed).permutation(len(menus))
    chosen = [menus[place] for place in order[:most]]
    menus_of = score(Recognizer.load(best), chosen, image_root, seed)
    presence, measures = fit_presence(menus_of.of_sizes)
    fitted = {**fit(menus_of.scored), "on_menu": measures, "skipped": menus_of.skipped}
    file = Path(best) / METADATA
    metadata = records.read_json(file)
    for name in FIELDS:
        metadata[name] = fitted[name]
    metadata.pop(menu_presence.FIELD, None)
    if presence is not None:
        metadata[menu_presence.FIELD] = presence.as_record()
    records.write_json(file, metadata)
    answered = []
    for row, (scores, _) in zip(menus_of.rows, menus_of.scored, strict=True):
        answered.append({**row, "answer": row["menu"][int(scores.argmax())]})
    return fitted, answered


def score(
    recognizer: Recognizer, rows: Sequence[Record], image_root: AnyPath, seed: int = 0
) -> ScoredMenus:
    """The menu of each row, and a menu with and one without its dish, of sizes that take turns.

    All three share the photo's forward pass.
    """
    sizes = menu_presence.sizes_for(len({artefacts.answer_of(row) for row in rows}))
    drawn = {pair.row["id"]: pair for pair in menu_presence.sized_menus(rows, sizes, seed)}
    asked = []
    for row in rows:
        menus = [(artefacts.text_of(row), row["menu"])]
        pair = drawn.get(row["id"])
        if pair is not None:
            menus += pair.questions()
        asked.append(PhotoMenus(Path(image_root) / row["image"], menus))
    result = ScoredMenus()
    for row, scores in zip(rows, scored_menus.score(recognizer.qwen, asked, "menus"), strict=True):
        if scores is None:
            result.skipped += 1
            continue
        result.rows.append(row)
        result.scored.append((scores[0], row["menu"].index(artefacts.answer_of(row))))
        pair = drawn.get(row["id"])
        if pair is not None:
            result.of_sizes += pair.with_scores(*scores[1:])
    return result


def fit_presence(
    of_sizes: Sequence[menu_presence.SizedScores],
) -> tuple[menu_presence.MenuPresence | None, Record]:
    """(how a menu's mass is read, what that is worth on the menus that were fitted on).

    The measures: weight, bias, threshold, menu_sizes, n, and auroc, answered, refused; or a `note`
    where nothing could be fitted.
    """
    masses = np.array([menu_presence.mass_of(menu.scores) for menu in of_sizes])
    present = np.array([menu.present for menu in of_sizes], bool)
    presence = menu_presence.fit(masses, present, [menu.size for menu in of_sizes])
    if presence is None:
        note = (
            f"whether a dish is on the menu was not fitted: fewer than {FEWEST_MENUS} validation "
            "menus with and without the dish, or their mass does not tell"
        )
        return None, {"note": note}
    shares = np.array([presence.probability(mass) for mass in masses])
    answered = shares >= presence.threshold
    measures = {
        "auroc": round(auroc(shares[present], shares[~present]), 4),
        "answered": round(float(answered[present].mean()), 4),
        "refused": round(float(1 - answered[~present].mean()), 4),
    }
    return presence, {**presence.as_record(), **measures}


def fit(scored: Sequence[Scored]) -> Record:
    """temperature and off_menu_threshold, and what they are worth on the menus fitted on.

    Beside them n, accuracy, ece_before, ece_after, auroc, answered, refused. Temperature scaling
    (Guo et al. 2017): the one number that makes the truth most likely, as if one more menu had gone
    to its runner-up. Threshold: below it the answer is None; ANSWERED of the menus still get one.
    refused: the share of the same menus without their true entry that rightly get none; auroc: of
    telling the two apart by the best entry's probability (0.5: not at all). ece: expected
    calibration error over 15 bins.
    """
    if len(scored) < FEWEST_MENUS:
        return {
            "temperature": 1.0,
            "off_menu_threshold": 0.0,
            "n": len(scored),
            "note": f"fewer than {FEWEST_MENUS} validation menus: nothing was fitted",
        }
    # In logarithms, where a half and a double are as far from 1.
    bounds = (np.log(LEAST), np.log(MOST))
    minimum = minimize_scalar(_loss, args=(scored,), bounds=bounds, method="bounded")
    temperature = float(np.exp(minimum.x))
    before, right = _best(scored, 1.0)
    after, _ = _best(scored, temperature)
    without = [without_truth(menu) for menu in scored if len(menu[0]) > 1]
    absent, _ = _best(without, temperature)
    threshold, answered, refused = threshold_for(after, absent)
    return {
        "temperature": round(temperature, 4),
        "off_menu_threshold": round(threshold, 4),
        "n": len(scored),
        "accuracy": round(float(right.mean()), 4),
        "ece_before": round(calibration_error(before, right), 4),
        "ece_after": round(calibration_error(after, right), 4),
        "auroc": round(auroc(after, absent), 4),
        "answered": round(answered, 4),
        "refused": round(refused, 4),
    }


def probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over a menu's entries."""
    shifted = np.exp((scores - scores.max()) / temperature)
    return shifted / shifted.sum()


def without_truth(menu: Scored) -> Scored:
    """The same menu without its true entry; the place is -1."""
    scores, truth = menu
    return np.delete(scores, truth), -1


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins.

    Weighted by their size.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for number in np.unique(bin_of):
        inside = bin_of == number
        accuracy = right[inside].mean()
        gap = abs(confidence[inside].mean() - accuracy)
        error += gap * inside.mean()
    return float(error)


def auroc(present: np.ndarray, absent: np.ndarray) -> float:
    """The area under the ROC curve: how likely a menu with the dish has the higher confidence.

    Ties count half.
    """
    order = np.sort(absent)
    below = np.searchsorted(order, present, "left")
    upto = np.searchsorted(order, present, "right")
    lower = (below + upto) / 2 / max(1, len(absent))
    return float(lower.mean())


def threshold_for(
    present: np.ndarray, absent: np.ndarray, share: float = ANSWERED
) -> tuple[float, float, float]:
    """(threshold, share of `present` at or above it, share of `absent` below it).

    The threshold is the highest that still answers `share` of `present`.
    """
    order = np.sort(present)
    # 1e-9: in floating point (1 - 0.9) * 10 is a little below 1
    refused_of_all = (1 - share) * len(order) + 1e-9
    threshold = float(order[math.floor(refused_of_all)])
    answered = float((present >= threshold).mean())
    refused = float((absent < threshold).mean()) if len(absent) else 0.0
    return threshold, answered, refused


def _best(scored: Sequence[Scored], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """(confidence of the best entry, whether it is the truth) per menu."""
    confidence = []
    right = []
    for scores, truth in scored:
        shares = probabilities(scores, temperature)
        confidence.append(shares.max())
        right.append(shares.argmax() == truth)
    return np.array(confidence), np.array(right)


def _loss(log_temperature: float, scored: Sequence[Scored]) -> float:
    """Negative log-likelihood of the truths, as if one more menu had gone to its runner-up.

    (Laplace's rule of succession: each menu's runner-up is true once in so many menus as there are,
    and one. Where every menu is answered rightly the likelihood alone has no maximum: confidence
    would go to 1 and the threshold to the last digits.)
    """
    temperature = float(np.exp(log_temperature))
    total = 0.0
    for scores, truth in scored:
        logs = np.log(np.maximum(probabilities(scores, temperature), 1e-300))
        others = np.delete(logs, truth)
        runner_up = others.max() if len(others) else 0.0
        total += logs[truth] + runner_up / (len(scored) + 1)
    return -total / len(scored)
