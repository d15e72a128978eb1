"""How far the probabilities of a menu choice can be trusted: temperature, off-menu threshold, and
what they are worth.

fitted = calibration.fit(scored)          # scored: (log-probabilities of the entries, place of the
truth) per menu calibration.calibrate(best_folder, validation_rows, image_root)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from tqdm import tqdm

from dishvl_lib.core import images, questions, records
from dishvl_lib.vlm import choose, inputs
from dishvl_lib.vlm.recognizer import METADATA, Recognizer

# of the temperature; bins of the calibration error
LEAST = 0.02
MOST = 50.0
BINS = 15
ANSWERED = 0.95  # share of the menus with the dish on them that must get an answer
FIELDS = ("temperature", "off_menu_threshold")
Scored = tuple[np.ndarray, int]


def calibrate(
    best: str | Path,
    rows: Sequence[dict[str, Any]],
    image_root: str | Path,
    *,
    most: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit on (at most `most` of) the validation menus and write temperature and threshold into the
    folder's dishvl.json.

    Returns what `fit` found, and `skipped` (photos that could not be read). With fewer than 20
    menus nothing is fitted: temperature 1, threshold 0, and `note` says so.
    """
    menus = [row for row in rows if row["kind"] == "menu"]
    chosen = [menus[place] for place in np.random.default_rng(seed).permutation(len(menus))[:most]]
    scored, skipped = score(Recognizer.load(best), chosen, image_root)
    found = {**fit(scored), "skipped": skipped}
    file = Path(best) / METADATA
    records.write_json(file, {**records.read_json(file), **{name: found[name] for name in FIELDS}})
    return found


def score(
    recognizer: Recognizer, rows: Sequence[dict[str, Any]], image_root: str | Path
) -> tuple[list[Scored], int]:
    """([(log-probabilities (entries,), place of the truth)], photos that could not be read)."""
    scored = []
    skipped = 0
    for row in tqdm(rows, desc="menus", mininterval=10, disable=len(rows) < 200):
        try:
            photo = inputs.photo_inputs(
                recognizer.qwen, images.load_rgb(Path(image_root) / row["image"])
            )
        except images.ImageError:
            skipped += 1
            continue
        found = choose.log_probabilities(
            recognizer.qwen,
            photo,
            questions.question_of(row["conversations"][0]["value"]),
            row["menu"],
        )
        scored.append(
            (found.numpy().astype(np.float64), row["menu"].index(row["conversations"][1]["value"]))
        )
    return scored, skipped


def fit(scored: Sequence[Scored]) -> dict[str, Any]:
    """temperature, off_menu_threshold, n, accuracy, ece_before, ece_after, auroc, answered,
    refused.

    Temperature scaling (Guo et al. 2017): the one number that makes the truth most likely, as if
    one more menu had gone to its runner-up. Threshold: below it the answer is None; ANSWERED of the
    menus still get one. refused: the share of the same menus without their true entry that rightly
    get none; auroc: of telling the two apart by the best entry's probability (0.5: not at all).
    ece: expected calibration error over 15 bins. All on the menus that were fitted on.
    """
    if len(scored) < 20:
        return {
            "temperature": 1.0,
            "off_menu_threshold": 0.0,
            "n": len(scored),
            "note": "fewer than 20 validation menus: nothing was fitted",
        }
    temperature = float(
        np.exp(
            minimize_scalar(
                _loss, args=(scored,), bounds=(np.log(LEAST), np.log(MOST)), method="bounded"
            ).x
        )
    )
    before, right = _best(scored, 1.0)
    after, _ = _best(scored, temperature)
    absent, _ = _best([without_truth(one) for one in scored if len(one[0]) > 1], temperature)
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


def without_truth(one: Scored) -> Scored:
    """The same menu without its true entry; the place is -1."""
    return np.delete(one[0], one[1]), -1


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins,
    weighted by their size.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == one].mean() - right[place == one].mean()) * (place == one).mean()
        for one in np.unique(place)
    ]
    return float(sum(gaps))


def auroc(present: np.ndarray, absent: np.ndarray) -> float:
    """Probability that a menu with the dish has the higher confidence (ties count half): the area
    under the ROC curve.
    """
    order = np.sort(absent)
    below = np.searchsorted(order, present, "left")
    upto = np.searchsorted(order, present, "right")
    return float(((below + upto) / 2 / max(1, len(absent))).mean())


def threshold_for(
    present: np.ndarray, absent: np.ndarray, share: float = ANSWERED
) -> tuple[float, float, float]:
    """(threshold, share of `present` at or above it, share of `absent` below it): the highest that
    still answers `share` of `present`.
    """
    order = np.sort(present)
    threshold = float(order[int(np.floor((1 - share) * len(order) + 1e-9))])
    return (
        threshold,
        float((present >= threshold).mean()),
        float((absent < threshold).mean()) if len(absent) else 0.0,
    )


def _best(scored: Sequence[Scored], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """(confidence of the best entry, whether it is the truth) per menu."""
    shares = [probabilities(scores, temperature) for scores, _ in scored]
    return np.array([one.max() for one in shares]), np.array(
        [one.argmax() == truth for one, (_, truth) in zip(shares, scored, strict=True)]
    )


def _loss(log_temperature: float, scored: Sequence[Scored]) -> float:
    """Negative log-likelihood of the truths, with each menu's runner-up true once in so many menus
    as there are, and one.

    (Laplace's rule of succession. Where every menu is answered rightly the likelihood alone has no
    maximum: confidence would go to 1 and the threshold to the last digits.)
    """
    temperature = float(np.exp(log_temperature))
    total = 0.0
    for scores, truth in scored:
        logs = np.log(np.maximum(probabilities(scores, temperature), 1e-300))
        others = np.delete(logs, truth)
        runner_up = others.max() if len(others) else 0.0
        total += logs[truth] + runner_up / (len(scored) + 1)
    return -total / len(scored)
