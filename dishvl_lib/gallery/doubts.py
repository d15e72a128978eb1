"""What a person should know before a dish is added: its name is there, a photo of it is registered
under another dish, it looks like another dish.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dishvl_lib.core import names, photo_hashes
from dishvl_lib.gallery.photos import GivenPhoto
from dishvl_lib.gallery.similarities import NEAREST, DishSimilarities
from dishvl_lib.gallery.store import Photos

SAME_NAME = "name"
TWIN = "twin"
LOOK_ALIKE = "look-alike"
CLOSEST = 5  # dishes that are compared with the new one
LOWER_QUARTILE = 0.25


@dataclass(frozen=True)
class Doubt:
    """`kind`: SAME_NAME, TWIN or LOOK_ALIKE; `dish`: the one in the gallery; `photo`: the place of
    the given photo that it is about, None for all.
    """

    kind: str
    dish: str
    sentence: str
    photo: int | None = None

    def __str__(self) -> str:
        return self.sentence


class DoubtError(ValueError):
    """A dish that was not added because somebody should look first. `doubts`: why."""

    def __init__(self, name: str, doubts: Sequence[Doubt]):
        sentences = "; ".join(map(str, doubts))
        super().__init__(
            f"{name} was not added: {sentences}. To add it all the same give --yes (yes=True in Python)"
        )
        self.doubts = tuple(doubts)


def about_name(name: str, known: Sequence[str]) -> list[Doubt]:
    """A dish of this name, as `core.names.normalise` compares names, or one whose name means the
    same (`core.names.canonical`).
    """
    doubts = []
    for other in known:
        if names.normalise(other) == names.normalise(name):
            sentence = f"there is a dish called {other}: its photos would be added to that dish"
            doubts.append(Doubt(SAME_NAME, other, sentence))
        elif names.canonical(other) == names.canonical(name):
            sentence = f"there is a dish called {other}, which means the same as {name}"
            doubts.append(Doubt(SAME_NAME, other, sentence))
    return doubts


def about_twins(
    given: Sequence[GivenPhoto], dish: str, registered: Photos, net: str
) -> list[Doubt]:
    """Given photos that show what a photo of another dish shows: the same bytes, near-duplicates by
    perceptual hash, mirrored or not, or by features as stage 01 joins them.
    """
    others = registered.of([name for name in np.unique(registered.name) if name != dish])
    doubts = []
    for place, photo in enumerate(given):
        by, row = _nearest_twin(photo, others, net)
        if by:
            other = str(others.name[row])
            sentence = f"{photo.label} is {by} a photo of {other}: one of the two labels is wrong"
            doubts.append(Doubt(TWIN, other, sentence, place))
    return doubts


def _nearest_twin(photo: GivenPhoto, others: Photos, net: str) -> tuple[str, int]:
    """(how it is a twin, of which row); ('', 0) for none."""
    if not len(others):
        return "", 0
    same = np.flatnonzero(others.sha256 == photo.sha256)
    if len(same):
        return "the same file as", int(same[0])
    mine = pd.Series([photo.phash])
    plain = photo_hashes.hamming(mine, pd.Series(others.phash))[0]
    mirrored = photo_hashes.hamming(mine, pd.Series(others.phash_mirrored))[0]
    bits = np.minimum(plain, mirrored)
    if bits.min() <= photo_hashes.MAX_HAMMING:
        return "a copy, or almost, of", int(bits.argmin())
    cosines = others.feature @ photo.feature
    near = bits <= photo_hashes.loose_for(net) * photo_hashes.MAX_HAMMING
    cosines = np.where(near, cosines, -1)
    if cosines.max() >= photo_hashes.min_cosine_for(net):
        return "a part or a copy of", int(cosines.argmax())
    return "", 0


def closest_dishes(
    given: Sequence[GivenPhoto], dish: str, known: DishSimilarities
) -> list[tuple[str, float]]:
    """The CLOSEST other dishes and their mean similarity to the given photos, closest first."""
    if not given or not len(known.names):
        return []
    mean = np.mean([known.of(photo.feature) for photo in given], axis=0)
    ranked = []
    for place in np.argsort(-mean, kind="stable"):
        if known.names[place] != dish:
            ranked.append((str(known.names[place]), float(mean[place])))
    return ranked[:CLOSEST]


def about_looks(closest: Sequence[tuple[str, float]], known: DishSimilarities) -> list[Doubt]:
    """Dishes to which the given photos are as similar as that dish's photos are to each other
    (their lower quartile).
    """
    doubts = []
    for other, similarity in closest:
        usual = usual_similarity(known.photos_of(other))
        if usual is not None and similarity >= usual:
            sentence = (
                f"it looks like {other}: cosine {similarity:.2f} to its photos, which are "
                f"{usual:.2f} from each other"
            )
            doubts.append(Doubt(LOOK_ALIKE, other, sentence))
    return doubts


def usual_similarity(feature: np.ndarray) -> float | None:
    """The lower quartile of a dish's photos' (n, D) similarity to the others of the dish; None for
    one photo.
    """
    if len(feature) < 2:
        return None
    cosines = feature @ feature.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = min(NEAREST, len(feature) - 1)
    best = np.sort(cosines, axis=1)[:, -nearest:]
    return float(np.quantile(best.mean(axis=1), LOWER_QUARTILE))
