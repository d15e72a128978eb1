"""By what to tell that a dish is not on the menu: four signals, on menus of every size.

    python benchmarks/bench_off_menu.py demo          (runs that have finished stage 04)

Each signal is read as a probability by numbers that are fitted on the validation photos' menus with
and without their dish, its threshold too, and judged on the test photos'. No figure of the test is
used for a choice.

    mass          what the model gives all entries together (what `Recognizer` uses)
    best          the best entry's own log-probability
    within menu   the best entry's probability among the menu (what earlier versions used)
    all three     the three, and the menu's size in logarithms
"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from dishvl_lib.core import intervals, markers, paths, records
from dishvl_lib.evaluation import off_menu
from dishvl_lib.vlm import calibration, menu_presence
from dishvl_lib.vlm.menu_presence import SizedScores
from dishvl_lib.vlm.recognizer import Recognizer

SIGNALS = {
    "mass": ("mass",),
    "best": ("best",),
    "within menu": ("within",),
    "all three": ("mass", "best", "within", "entries"),
}
RIDGE = 1e-3  # keeps the numbers finite where a signal tells all


def main(run_names: Sequence[str]) -> None:
    if not run_names:
        raise SystemExit("name one or more runs that have finished stage 04, such as demo")
    for run_name in run_names:
        folder = paths.stage_folder(run_name, "04_training")
        print(f"\n{run_name}")
        recognizer = Recognizer.load(folder / "best")
        validation = scored(run_name, recognizer, "validation")
        test = scored(run_name, recognizer, "test")
        for signal, parts in SIGNALS.items():
            show(signal, *fitted(parts, validation, test), test)


def scored(run_name: str, recognizer: Recognizer, split: str) -> list[SizedScores]:
    """Menus of every size about all photos of a split, with their dish and without it."""
    dataset = paths.stage_folder(run_name, "03_dataset")
    marker = markers.read(paths.stage_folder(run_name, "01_annotation"))
    rows = [row for row in records.read_jsonl(dataset / f"{split}.jsonl") if row["kind"] == "menu"]
    names = {row["conversations"][1]["value"] for row in rows}
    menus = menu_presence.sized_menus(rows, menu_presence.sizes_for(len(names)))
    return off_menu.score(recognizer, menus, paths.resolve(marker["image_root"]))


def fitted(
    parts: Sequence[str], validation: Sequence[SizedScores], test: Sequence[SizedScores]
) -> tuple[np.ndarray, float]:
    """(probability that the dish is on each test menu, threshold), by logistic regression."""
    learned = columns(parts, validation)
    present = np.array([menu.present for menu in validation])
    mean = learned.mean(axis=0)
    spread = learned.std(axis=0) + 1e-9
    inputs = (learned - mean) / spread

    def loss(numbers: np.ndarray) -> float:
        logits = inputs @ numbers[:-1] + numbers[-1]
        error = np.logaddexp(0, logits) - present * logits
        return float(error.mean() + RIDGE * (numbers**2).sum())

    numbers = minimize(loss, np.zeros(len(parts) + 1), method="L-BFGS-B").x
    sure = expit(inputs @ numbers[:-1] + numbers[-1])
    threshold = menu_presence.balanced_threshold(sure[present], sure[~present])
    of_test = (columns(parts, test) - mean) / spread
    return expit(of_test @ numbers[:-1] + numbers[-1]), threshold


def columns(parts: Sequence[str], menus: Sequence[SizedScores]) -> np.ndarray:
    """(menus, parts)"""
    rows = []
    for menu in menus:
        measures = {
            "mass": menu_presence.mass_of(menu.scores),
            "best": menu.scores.max(),
            "within": np.log(calibration.probabilities(menu.scores, 1.0).max()),
            "entries": np.log(len(menu.scores)),
        }
        rows.append([measures[part] for part in parts])
    return np.array(rows)


def show(signal: str, sure: np.ndarray, threshold: float, test: Sequence[SizedScores]) -> None:
    present = np.array([menu.present for menu in test])
    sizes = np.array([menu.size for menu in test])
    print(f"  {signal}: AUC {calibration.auroc(sure[present], sure[~present]):.4f} over all sizes")
    for size in np.unique(sizes):
        on_menu = sure[present & (sizes == size)]
        off = sure[~present & (sizes == size)]
        answered = share(on_menu >= threshold)
        refused = share(off < threshold)
        auc = calibration.auroc(on_menu, off)
        print(f"    {size:3d} entries: AUC {auc:.3f}, answered {answered}, refused {refused}")


def share(marks: np.ndarray) -> str:
    low, high = intervals.wilson(int(marks.sum()), len(marks))
    return f"{marks.mean():.3f} [{low:.3f}, {high:.3f}] (n={len(marks)})"


if __name__ == "__main__":
    main(sys.argv[1:])
