"""The model and the gallery answer together: three numbers, fitted on validation photos, for menus
and for names.

    score of an entry = vlm * log-probability + gallery * similarity - new

`new` is taken off only where the model was never trained on the dish. What the model says of such
an entry is no evidence: it prefers what it was trained on. The entry is given the log-probability
of the best trained entry instead, so that the gallery alone decides between the two. Of an entry
that the gallery does not know the model alone decides: its similarity is the one that speaks
neither for nor against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logsumexp

from dishvl_lib.core.types import Record

LEAST_LOG = -30.0  # what vanished in float32, and all beyond, counts alike
# Prior, as strong as so many menus: both are believed as far as each alone is right. Where both
# answer nearly every validation menu rightly, these do not say who should be believed when they
# disagree.
PRIOR_MENUS = 1.0
FEWEST_MENUS = 20  # with fewer, no threshold is fitted
LEAST_SCALE = 0.01
MOST_SCALE = 1000.0
MOST_SHARE = 10.0
MOST_NEW = 50.0
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Fusion:
    """`vlm`, `gallery`, `new`: see above. `unknown`: the similarity of a dish that is not
    registered.
    `threshold`: the probability below which no entry is the answer. `n`: validation menus;
    `fitted_on`: fingerprint of them, of the model's and of the gallery's scores.
    """

    vlm: float = 1.0
    gallery: float = 0.0
    new: float = 0.0
    unknown: float = 0.0
    threshold: float = 0.0
    n: int = 0
    fitted_on: str = ""

    def log_probabilities(
        self, logs: np.ndarray, similarities: np.ndarray, new: np.ndarray
    ) -> np.ndarray:
        """(entries,) float64, of which the exponentials add up to 1.

        logs (entries,): the model's log-probabilities; similarities (entries,): NaN of what is not
        registered; new (entries,) bool: what the model was never trained on.
        """
        bounded = np.maximum(np.asarray(logs, float), LEAST_LOG)
        model = self.vlm * bounded
        if new.any():
            best = 0.0 if new.all() else model[~new].max()
            model = np.where(new, best - self.new, model)
        seen = _known_or(similarities, self.unknown)
        scores = model + self.gallery * seen
        return log_softmax(scores)

    def as_record(self) -> Record:
        """As it stands in gallery.json."""
        return asdict(self)


@dataclass(frozen=True)
class FittedMenu:
    """A validation menu: per entry the model's log-probability, the similarity (NaN: not
    registered) and the one with as few photos registered as a new dish has; the place of the truth.
    """

    logs: np.ndarray
    similarities: np.ndarray
    similarities_of_few: np.ndarray
    truth: int


def fit(menus: Sequence[FittedMenu], fitted_on: str) -> Fusion:
    """The numbers under which the truths are most likely; without menus the model alone counts.

    vlm and gallery: a conditional logit over each menu's entries, neither below 0, with the prior
    above. new: from the same menus as if the model had never been trained on the truth, or on
    another entry, and as if that dish had few photos registered.
    """
    fusion = Fusion(n=len(menus), fitted_on=fitted_on)
    if not menus:
        return fusion
    stacked = _Stacked(menus)
    of_others = stacked.of_others()
    fusion = replace(fusion, unknown=_mean(of_others))
    fusion = _with_weights(fusion, stacked)
    unknown = _neutral(of_others, fusion.gallery)
    fusion = replace(fusion, unknown=unknown)
    new = _fitted_new(menus, fusion)
    return replace(fusion, new=new)


def _known_or(similarities: np.ndarray, unknown: float) -> np.ndarray:
    """Similarities with that of what is not registered in the place of NaN."""
    return np.where(np.isnan(similarities), unknown, similarities)


class _Stacked:
    """Menus of any sizes as arrays (menus, entries), filled up with entries that are not there."""

    def __init__(self, menus: Sequence[FittedMenu]):
        n = len(menus)
        longest = max(len(menu.logs) for menu in menus)
        shape = (n, longest)
        self.is_entry = np.zeros(shape, bool)
        self.logs = np.zeros(shape)
        self.similarities = np.full(shape, np.nan)
        for row, menu in enumerate(menus):
            n_entries = len(menu.logs)
            self.is_entry[row, :n_entries] = True
            self.logs[row, :n_entries] = np.maximum(menu.logs, LEAST_LOG)
            self.similarities[row, :n_entries] = menu.similarities
        self.rows = np.arange(n)
        self.sizes = self.is_entry.sum(axis=1)
        self.truth = np.array([menu.truth for menu in menus])

    def log_likelihood(
        self, vlm: float, weight: float, unknown: float, runners_up: bool = False
    ) -> float:
        """Of all truths together; with `runners_up` as if one more menu had gone to its runner-up
        (Laplace's rule of succession, as for stage 04's temperature): where every menu is answered
        rightly the likelihood alone has no maximum.
        """
        seen = _known_or(self.similarities, unknown)
        of_entries = vlm * self.logs + weight * seen
        scores = np.where(self.is_entry, of_entries, -np.inf)
        logs = scores - logsumexp(scores, axis=1)[:, None]
        of_truths = logs[self.rows, self.truth]
        if not runners_up:
            return float(of_truths.sum())
        logs[self.rows, self.truth] = -np.inf
        of_runners_up = np.where(self.sizes > 1, logs.max(axis=1), 0.0)
        n_with_prior = len(self.rows) + 1
        of_menus = of_truths + of_runners_up / n_with_prior
        return float(of_menus.sum())

    def of_others(self) -> np.ndarray:
        """The similarities of registered entries that are not the truth, of all menus."""
        others = self.similarities.copy()
        others[self.rows, self.truth] = np.nan
        return others[~np.isnan(others)]

    def spread(self) -> float:
        """The usual spread of similarities within a menu: the unit in which the prior weighs
        them.
        """
        is_registered = ~np.isnan(self.similarities)
        registered = is_registered.sum(axis=1)
        several = self.similarities[registered > 1]
        if not len(several):
            return 1.0
        spreads = np.nanstd(several, axis=1)
        return max(float(spreads.mean()), LEAST_SPREAD)


def _with_weights(fusion: Fusion, stacked: _Stacked) -> Fusion:
    """`vlm` and `gallery`: how far each is believed, relative to its own calibration, with the
    prior; then one temperature for both, so that they are as sure together as they are right.
    """

    def likelihood(vlm: float, weight: float, runners_up: bool = False) -> float:
        return stacked.log_likelihood(vlm, weight, fusion.unknown, runners_up)

    unit = 1 / stacked.spread()
    vlm_alone = _scale(lambda scale: likelihood(scale, 0.0, runners_up=True))
    gallery_alone = unit * _scale(lambda scale: likelihood(0.0, unit * scale, runners_up=True))

    def loss(shares: np.ndarray) -> float:
        vlm, weight = shares
        prior = (vlm - 1) ** 2 + (weight - 1) ** 2
        penalty = PRIOR_MENUS * prior / 2
        return penalty - likelihood(vlm * vlm_alone, weight * gallery_alone)

    bounds = [(0.0, MOST_SHARE), (0.0, MOST_SHARE)]
    shares = minimize(loss, np.array([1.0, 1.0]), method="L-BFGS-B", bounds=bounds).x
    vlm = float(shares[0] * vlm_alone)
    weight = float(shares[1] * gallery_alone)
    both = _scale(lambda scale: likelihood(scale * vlm, scale * weight, runners_up=True))
    return replace(fusion, vlm=both * vlm, gallery=both * weight)


def _scale(likelihood: Callable[[float], float]) -> float:
    """The factor under which answers are as sure as they are right; 0 for answers that are no
    better than chance.
    """
    bounds = (np.log(LEAST_SCALE), np.log(MOST_SCALE))
    found = minimize_scalar(lambda log: -likelihood(np.exp(log)), bounds=bounds, method="bounded")
    scale = float(np.exp(found.x))
    return scale if likelihood(scale) > likelihood(0.0) else 0.0


def _fitted_new(menus: Sequence[FittedMenu], fusion: Fusion) -> float:
    """What is taken off a new dish, with a prior towards nothing."""
    parts = [_as_if_new(menu, fusion) for menu in menus]
    if not sum(map(len, parts)):
        return 0.0
    of_new, of_trained, of_truth, weight = np.concatenate(parts).T

    def loss(new: float) -> float:
        lowered = of_new - new
        whole = np.logaddexp(of_trained, lowered)
        truth = np.where(np.isnan(of_truth), lowered, of_truth)
        logs = truth - whole
        likelihood = (weight * logs).sum()
        penalty = PRIOR_MENUS * new**2 / 2
        return penalty - float(likelihood)

    bounds = (-MOST_NEW, MOST_NEW)
    fitted = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(fitted.x)


def _as_if_new(menu: FittedMenu, fusion: Fusion) -> np.ndarray:
    """(cases, 4): each registered entry in turn as a new dish: its score before `new` is taken off,
    that of all others together, that of the truth (NaN where the truth is the new dish), the
    weight.

    The truth as a new dish weighs as much as all other entries together.
    """
    n_entries = len(menu.logs)
    model = fusion.vlm * np.maximum(menu.logs, LEAST_LOG)
    seen = _known_or(menu.similarities, fusion.unknown)
    scores = model + fusion.gallery * seen
    cases = np.zeros((0, 4))
    is_registered = ~np.isnan(menu.similarities_of_few)
    for place in np.flatnonzero(is_registered):
        if n_entries == 1:
            continue
        best_of_others = np.delete(model, place).max()
        of_new = best_of_others + fusion.gallery * menu.similarities_of_few[place]
        other_scores = np.delete(scores, place)
        of_trained = np.logaddexp.reduce(other_scores)
        is_truth = place == menu.truth
        of_truth = np.nan if is_truth else scores[menu.truth]
        weight = 0.5 if is_truth else 0.5 / (n_entries - 1)
        cases = np.vstack([cases, [of_new, of_trained, of_truth, weight]])
    return cases


def _mean(similarities: np.ndarray) -> float:
    return float(similarities.mean()) if len(similarities) else 0.0


def _neutral(others: np.ndarray, weight: float) -> float:
    """The similarity that is no evidence: its likelihood ratio is the mean of those of entries that
    are not the truth.
    """
    if weight <= 0 or not len(others):
        return _mean(others)
    total = logsumexp(weight * others)
    mean = total - np.log(len(others))
    return float(mean / weight)


def with_threshold(
    fusion: Fusion,
    menus: Sequence[FittedMenu],
    threshold_for: Callable[[np.ndarray, np.ndarray], tuple[float, float, float]],
) -> Fusion:
    """The same with the off-menu threshold that `threshold_for` (best probabilities on menus with
    the dish, and on the same without it) finds: on the menus as they are, and as if the truth were
    new, since such a dish is never as sure.
    """
    if len(menus) < FEWEST_MENUS:
        return fusion
    present = []
    absent = []
    for menu in menus:
        n_entries = len(menu.logs)
        nothing_new = np.zeros(n_entries, bool)
        best = _best(fusion, menu.logs, menu.similarities, nothing_new)
        present.append(best)
        few = menu.similarities_of_few[menu.truth]
        if not np.isnan(few):
            similarities = menu.similarities.copy()
            similarities[menu.truth] = few
            is_new = np.arange(n_entries) == menu.truth
            best = _best(fusion, menu.logs, similarities, is_new)
            present.append(best)
        if n_entries > 1:
            logs = np.delete(menu.logs, menu.truth)
            similarities = np.delete(menu.similarities, menu.truth)
            best = _best(fusion, logs, similarities, nothing_new[1:])
            absent.append(best)
    threshold, _, _ = threshold_for(np.array(present), np.array(absent))
    return replace(fusion, threshold=threshold)


def _best(fusion: Fusion, logs: np.ndarray, similarities: np.ndarray, is_new: np.ndarray) -> float:
    together = fusion.log_probabilities(logs, similarities, is_new)
    return float(np.exp(together.max()))
