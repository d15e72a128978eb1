"""What is asked, and under which protocol: the stored questions, the outside sites, and how near
they are to the training photos.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dishvl_lib.core import artefacts, records
from dishvl_lib.core.types import Record, Records
from dishvl_lib.evaluation.sites import Site

KINDS = ("naming", "menu", "menu_absent")  # kinds of questions that are asked here
NEW_DISHES = "new_dishes"
# The test questions after the new dishes were added; names that a model gives by itself do not
# change.
WITH_NEW = "_with_new"
NAMING_WITH_NEW = f"naming{WITH_NEW}"
MENU_WITH_NEW = f"menu{WITH_NEW}"
ENLARGED = (NEW_DISHES, NAMING_WITH_NEW, MENU_WITH_NEW)  # asked of the gallery with new dishes


@dataclass(frozen=True)
class Plan:
    """What one predictor is asked: stored `rows`, each with its `protocol`, and `sites`, whose
    questions depend on its own answers.
    """

    rows: Records
    sites: list[Site]

    @property
    def questions(self) -> int:
        """How many answers are judged."""
        return len(self.rows) + sum(len(site.queries) for site in self.sites)

    def counts(self) -> dict[str, int]:
        """{protocol: questions}."""
        return {
            **Counter(row["protocol"] for row in self.rows),
            **{site.protocol: len(site.queries) for site in self.sites},
        }

    def sampled(self, most: int, seed: int) -> "Plan":
        """At most `most` questions of each protocol (0: all), the same for the same seed. A site's
        dishes are still all named.
        """
        if most <= 0:
            return self
        by_protocol: dict[str, Records] = {}
        for row in self.rows:
            by_protocol.setdefault(row["protocol"], []).append(row)
        rows: Records = []
        for rows_of_protocol in by_protocol.values():
            rows += _sample(rows_of_protocol, most, seed)
        sites = []
        for site in self.sites:
            sites.append(replace(site, queries=_sample(site.queries, most, seed)))
        return Plan(rows, sites)

    def rows_with_photos(self) -> Records:
        """Every question about a photo, those by which sites' dishes are named included."""
        of_sites = [row for site in self.sites for row in [*site.register, *site.queries]]
        return [*self.rows, *of_sites]

    def without_photos(self, paths: Collection[str]) -> "Plan":
        """The plan without the questions about these photos."""
        sites = []
        for site in self.sites:
            register = _about_others(site.register, paths)
            queries = _about_others(site.queries, paths)
            sites.append(replace(site, register=register, queries=queries))
        return Plan(_about_others(self.rows, paths), sites)

    def without_protocols(self, *protocols: str) -> "Plan":
        """The plan without the stored questions of these protocols."""
        return replace(self, rows=[row for row in self.rows if row["protocol"] not in protocols])

    def marked(self, near: Mapping[str, str]) -> "Plan":
        """The same questions with `near_training` from {image_id: reason}."""
        sites = [replace(site, queries=_marked(site.queries, near)) for site in self.sites]
        return Plan(_marked(self.rows, near), sites)


def stored(
    test: Sequence[Record],
    unseen: Sequence[Record] = (),
    new_dishes: Sequence[Record] = (),
    with_new: Sequence[Record] = (),
) -> Records:
    """The rows of KINDS with their `protocol`: the kind, with `_unseen` for wordings never trained
    on; NEW_DISHES for the last.
    """
    named = [(row, row["kind"]) for row in test]
    named += [(row, f"{row['kind']}_unseen") for row in unseen]
    named += [(row, NEW_DISHES) for row in new_dishes]
    named += [(row, f"{row['kind']}{WITH_NEW}") for row in with_new]
    return [{**row, "protocol": protocol} for row, protocol in named if row["kind"] in KINDS]


def near_training(photos: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, str]:
    """{image_id: `same frame` or `near-duplicate`} of the photos of sites and of held-out dishes
    that show what a training photo shows.

    (Stages 01 and 03 see to it that no test photo does.) photos: the catalogue with image_id,
    frame, split; pairs: image_id_a, image_id_b of near-duplicates. Raises `RecordError` for a
    missing column.
    """
    records.require_columns(photos, ("image_id", "frame", "split"), "the catalogue")
    records.require_columns(pairs, ("image_id_a", "image_id_b"), "the near-duplicates")
    train = photos[photos.split == "train"]
    outside = photos[photos.split.eq(artefacts.HELD_OUT) | artefacts.at_site(photos.split)]
    trained = set(train.image_id)
    judged = set(outside.image_id)
    both_ways = [
        *zip(pairs.image_id_a, pairs.image_id_b, strict=True),
        *zip(pairs.image_id_b, pairs.image_id_a, strict=True),
    ]
    reasons = {
        image_id: "near-duplicate"
        for image_id, twin in both_ways
        if image_id in judged and twin in trained
    }
    frames = set(train.frame) - {""}
    same_frame = outside.image_id[outside.frame.isin(frames)]
    return reasons | dict.fromkeys(same_frame, "same frame")


def _sample(rows: Records, most: int, seed: int) -> Records:
    chosen = np.random.default_rng(seed).permutation(len(rows))[:most]
    return [rows[place] for place in sorted(chosen)]


def _about_others(rows: Sequence[Record], paths: Collection[str]) -> Records:
    return [row for row in rows if row["image"] not in paths]


def _marked(rows: Sequence[Record], near: Mapping[str, str]) -> Records:
    return [{**row, "near_training": near.get(row["image_id"], "")} for row in rows]
