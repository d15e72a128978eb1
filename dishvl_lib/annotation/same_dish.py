"""One dish under two names: which dishes of different names are likely to be the same, and why.

Names that mean the same (core.names.canonical, in any order of their characters) are enough by
themselves. Otherwise a likeness of the names, containment (红烧鱼 in 红烧鱼块) or shared characters,
counts only with a second witness: nearly equal ingredients, or photos that do not tell the two
apart. All pairs are compared by matrix multiplication, in blocks.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dishvl_lib.core import names
from dishvl_lib.core.types import RecordView, RecordViews

CLOSEST = 3  # photos are a witness only among so many dishes whose photos are closest
# weighted Dice of characters, weighted Jaccard of ingredients: the least that is listed
NAME_LIKENESS = 0.6
INGREDIENT_LIKENESS = 0.4
BLOCK_ROWS = 512
# Ways of cooking: names of which each says one, and not the same, are two dishes.
_METHODS = dict.fromkeys("炒爆煸熘溜", "炒")
_METHODS |= dict.fromkeys("烧焖炖煨烩", "烧")
_METHODS |= dict.fromkeys("煮灼汆", "煮")
_METHODS |= dict.fromkeys("烤焗", "烤")
_METHODS |= dict.fromkeys("腌泡", "腌")
_METHODS |= {char: char for char in "卤酱蒸煎炸拌煲"}
_CUTS = "丝片块丁末条丸泥段粒卷串"
_KINDS = "饭面粉饼粥汤羹包饺糕酱茶汁头尾翅爪腿蹄"
_CUT = re.compile("(?<=..)[丝片块丁末条段粒碎茸泥]$")


@dataclass(frozen=True)
class Likeness:
    """Rows i < j of the dishes compared, the strength of the suspicion (0..1) and what it rests
    on.
    """

    i: int
    j: int
    strength: float
    evidence: str


@dataclass(frozen=True)
class Photos:
    """`means` (N, D) float32: unit mean feature of each dish's photos, zeros for none. `least`
    (N,): the cosine from which on another dish's mean is too close to tell them apart.
    """

    means: np.ndarray
    least: np.ndarray


class Terms:
    """A set of words for each of N rows; rare words weigh more: log(1 + N / rows that have it)."""

    def __init__(self, rows: Sequence[set[str]]):
        counts = Counter(itertools.chain.from_iterable(rows))
        n = len(rows)
        weight = {word: float(np.log1p(n / count)) for word, count in counts.items()}
        totals = [_total_weight(row, weight) for row in rows]
        self.total = np.array(totals, np.float32)
        # A word of one row alone is shared by none: it counts in `total` and needs no column.
        shared_words = [word for word, count in counts.items() if count > 1]
        column = {word: place for place, word in enumerate(shared_words)}
        n_columns = max(1, len(column))
        self.matrix = np.zeros((n, n_columns), np.float32)
        for place, row in enumerate(rows):
            for word in row & column.keys():
                # The root, since a product of two rows holds it twice.
                root = weight[word] ** 0.5
                self.matrix[place, column[word]] = root

    def shared(self, rows: slice) -> np.ndarray:
        """(len(rows), N) weight of the words that both have."""
        return self.matrix[rows] @ self.matrix.T

    def dice(self, rows: slice) -> np.ndarray:
        twice_shared = 2 * self.shared(rows)
        both = self._summed_totals(rows)
        return twice_shared / np.maximum(both, 1e-9)

    def jaccard(self, rows: slice) -> np.ndarray:
        shared = self.shared(rows)
        either = self._summed_totals(rows) - shared
        return shared / np.maximum(either, 1e-9)

    def _summed_totals(self, rows: slice) -> np.ndarray:
        """(len(rows), N) weight of the words of the one and of the other."""
        return np.add.outer(self.total[rows], self.total)


def pairs(dishes: RecordViews, photos: Photos | None = None) -> list[Likeness]:
    """Suspected pairs, strongest first. `dishes`: name, card (a dict with ingredients, or None).

    Photos do not tell two dishes apart when the cosine of their means reaches both dishes' `least`.
    Dishes with one normalised name are not listed: that is another question.
    """
    comparison = _Comparison(dishes, photos)
    likenesses: list[Likeness] = []
    for start in range(0, len(dishes), BLOCK_ROWS):
        likenesses += comparison.block(start)
    return sorted(likenesses, key=_strongest_first)


def _strongest_first(likeness: Likeness) -> tuple[float, int, int]:
    return -likeness.strength, likeness.i, likeness.j


class _Comparison:
    """The dishes as matrices: characters of their names, ingredients, photos."""

    def __init__(self, dishes: RecordViews, photos: Photos | None):
        self.plain = [names.canonical(dish["name"]) for dish in dishes]
        self.normal = [names.normalise(dish["name"]) for dish in dishes]
        # Names of the same characters mean the same in any order, so these are compared sorted.
        meanings = []
        for name in self.plain:
            characters = sorted(names.undecorated(name))
            meanings.append("".join(characters))
        _, self.meaning = np.unique(meanings, return_inverse=True)
        self.words = [ingredient_words(dish["card"]) for dish in dishes]
        self.chars = Terms([set(name) for name in self.plain])
        self.ingredients = Terms(self.words)
        self.photos = photos

    def block(self, start: int) -> list[Likeness]:
        """The suspected pairs whose first dish is among BLOCK_ROWS from `start`."""
        rows = slice(start, start + BLOCK_ROWS)
        named = self._named(rows)
        eaten = self.ingredients.jaccard(rows)
        seen = self._seen(rows)
        same = np.equal.outer(self.meaning[rows], self.meaning)
        is_eaten_alike = eaten >= INGREDIENT_LIKENESS
        is_seen_alike = seen > 0
        witnessed = is_eaten_alike | is_seen_alike
        is_named_alike = named >= NAME_LIKENESS
        suspected = same | (is_named_alike & witnessed)
        candidates = np.triu(suspected, start + 1)
        places = np.argwhere(candidates).tolist()
        columns = [matrix[candidates].tolist() for matrix in (same, named, eaten, seen)]
        likenesses = []
        for (row, j), is_same, *evidence in zip(places, *columns, strict=True):
            i = start + row
            if self._may_be_one(i, j, is_same):
                likeness = _likeness(i, j, is_same, *evidence)
                likenesses.append(likeness)
        return likenesses

    def _named(self, rows: slice) -> np.ndarray:
        """Likeness of the names: weighted Dice of their characters, 1 where all of the shorter
        one's are in the longer one.
        """
        total = self.chars.total
        shorter = np.minimum.outer(total[rows], total)
        # Products of roots and sums of weights, both in float32, differ in their last digits.
        shared = self.chars.shared(rows)
        contained = shared >= 0.999 * shorter
        dice = self.chars.dice(rows)
        return np.where(contained, np.float32(1), dice)

    def _seen(self, rows: slice) -> np.ndarray:
        """Cosine of the photos' means where they do not tell two dishes apart, else 0."""
        if self.photos is None:
            n = len(self.plain)
            n_rows = len(self.plain[rows])
            return np.zeros((n_rows, n), np.float32)
        means = self.photos.means
        least = self.photos.least
        cosine = means[rows] @ means.T
        too_close = np.maximum.outer(least[rows], least)
        return np.where(cosine >= too_close, cosine, 0)

    def _may_be_one(self, i: int, j: int, same: bool) -> bool:
        has_one_name = self.normal[i] == self.normal[j]
        if has_one_name or excluded(self.plain[i], self.plain[j]):
            return False
        if same:
            return True
        has_named_after = self._named_after(i, j) or self._named_after(j, i)
        return not has_named_after

    def _named_after(self, i: int, j: int) -> bool:
        """True when a dish is named after an ingredient that the other one has neither in its name
        nor on its card.
        """
        name = self.plain[i]
        other = self.plain[j]
        lacking = [word for word in self.words[i] if word in name and word not in other]
        card = self.words[j]
        return bool(card) and any(not _is_on_card(word, card) for word in lacking)


def _total_weight(words: set[str], weight: Mapping[str, float]) -> float:
    return sum(weight[word] for word in words)


def _is_on_card(word: str, card: set[str]) -> bool:
    """Whether an ingredient stands on a card, alone or as a part of another one."""
    return any(word in ingredient for ingredient in card)


def photo_means(
    dish_ids: Sequence[str], photos: pd.DataFrame, features: Mapping[str, np.ndarray]
) -> Photos:
    """`Photos` of the dishes from their training photos. photos: image_id, dish_id, group_id,
    split; features: image_id (N,), feature (N, D) of unit length.

    `least` is the cosine of the means of two halves of a dish's own photos, without a group in
    common (a dish with one group is taken to be as varied as the median dish), and not under that
    of its CLOSEST-th neighbour: features that tell no dishes apart are no witness.
    """
    photo_ids = pd.Index(features["image_id"])
    is_known = photos.image_id.isin(photo_ids) & photos.dish_id.isin(dish_ids)
    is_train = photos.split == "train"
    train = photos[is_train & is_known]
    train = train.sort_values(["dish_id", "group_id", "image_id"])
    groups = train.groupby("dish_id").group_id
    half = groups.transform(_alternating).to_numpy(int)
    rows = pd.Index(dish_ids).get_indexer(train.dish_id)
    photo_rows = photo_ids.get_indexer(train.image_id)
    vectors = features["feature"][photo_rows]
    _, width = vectors.shape
    sums = np.zeros((2, len(dish_ids), width), np.float32)
    np.add.at(sums, (half, rows), vectors)
    first_half, second_half = map(_unit, sums)
    likeness = (first_half * second_half).sum(axis=1)
    halved = sums.any(axis=2).all(axis=0)
    likeness[~halved] = np.median(likeness[halved]) if halved.any() else np.inf
    both_halves = sums.sum(axis=0)
    means = _unit(both_halves)
    least = np.maximum(likeness, _closest(means))
    return Photos(means, least)


def _alternating(group_ids: pd.Series) -> np.ndarray:
    """0 or 1 for each photo of a dish, the same for a whole group."""
    numbers, _ = pd.factorize(group_ids)
    return numbers % 2


def _closest(means: np.ndarray) -> np.ndarray:
    """(N,) cosine of each row's CLOSEST-th neighbour."""
    cosines = np.zeros(len(means), np.float32)
    k = min(CLOSEST + 1, len(means))
    for start in range(0, len(means), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        to_all = means[rows] @ means.T
        partitioned = np.partition(to_all, -k, axis=1)
        cosines[rows] = partitioned[:, -k]
    return cosines


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)


def ingredient_words(card: RecordView | None) -> set[str]:
    """A card's ingredients in the form in which they are compared: canonical, without the cut (土豆片
    -> 土豆).
    """
    entries = (card or {}).get("ingredients") or ()
    texts = [text for entry in entries for text in entry.split(names.MENU_SEPARATOR)]
    whole = map(names.canonical, texts)
    words = {_CUT.sub("", word) for word in whole}
    return words - {""}


def excluded(first: str, second: str) -> bool:
    """True when two canonical names say that they are different: another way of cooking, cut, kind
    of food or part of the animal.
    """
    methods = _methods(first)
    methods_of_second = _methods(second)
    both_say_method = bool(methods and methods_of_second)
    cut = _ending(first, _CUTS)
    cut_of_second = _ending(second, _CUTS)
    both_say_cut = bool(cut and cut_of_second)
    if both_say_method and methods.isdisjoint(methods_of_second):
        return True
    if both_say_cut and cut != cut_of_second:
        return True
    kind = _ending(first, _KINDS)
    kind_of_second = _ending(second, _KINDS)
    return kind != kind_of_second


def _methods(name: str) -> set[str]:
    """The ways of cooking that a name says, one character for each."""
    return {_METHODS[char] for char in name if char in _METHODS}


def _ending(name: str, chars: str) -> str:
    """The name's last character where it is one of `chars`, otherwise ''."""
    return name[-1] if name[-1] in chars else ""


def _likeness(i: int, j: int, same: bool, named: float, eaten: float, seen: float) -> Likeness:
    witness = max(eaten, float(seen > 0))
    if same:
        strength = 0.8 + 0.2 * witness
        reasons = ["the names mean the same"]
    else:
        strength = 0.4 * named + 0.35 * witness
        reasons = [f"the names are {named:.0%} alike"]
        if named == 1:
            reasons = ["one name has all the other's characters"]
    if eaten >= INGREDIENT_LIKENESS:
        reasons.append(f"the ingredients are {eaten:.0%} alike")
    if seen > 0:
        reasons.append(f"the photos do not tell them apart (cosine {seen:.3f})")
    return Likeness(i, j, strength, "; ".join(reasons))
