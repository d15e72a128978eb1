"""What a person should know of decisions about photos after a stage has applied them."""

import pandas as pd

from dishvl_lib.core import decided_photos, decisions
from dishvl_lib.core.rules import listed

FILE = "decisions/photos.csv"
MOST_SHOWN = 5


def sentences(table: pd.DataFrame) -> list[str]:
    """A sentence each on photos that moved, on twins that did not, on photos left out for want of a
    right dish, on unknown words, and on photos that are not there. table: DECIDED_COLUMNS.
    """
    moved = table[table.effect == decided_photos.MOVED]
    said = [_moved(moved), _twins(moved), _misplaced(table), _unknown(table), _gone(table)]
    return [sentence for sentence in said if sentence]


def _moved(moved: pd.DataFrame) -> str:
    if moved.empty:
        return ""
    where = f"({decided_photos.OUTCOME_FILE})"
    return f"{FILE}: {len(moved)} photos are of another dish than their folder {where}"


def _twins(moved: pd.DataFrame) -> str:
    left = moved[moved.detail.str.contains(decided_photos.TWINS)]
    if left.empty:
        return ""
    return (
        f"{len(left)} of the moved photos have near-duplicates that keep the old dish; decide about "
        f"them too: {listed(left.detail.tolist(), MOST_SHOWN)}"
    )


def _misplaced(table: pd.DataFrame) -> str:
    is_out = table.effect == decided_photos.LEFT_OUT
    wrong = table[is_out & (table.decision == decisions.OTHER_DISH)]
    if wrong.empty:
        return ""
    why = [f"{row.path} ({row.detail})" for row in wrong.itertuples()]
    return (
        f"{len(wrong)} photos are left out, because their label was decided to be wrong and the "
        f"right one cannot be used: {listed(why, MOST_SHOWN)}"
    )


def _unknown(table: pd.DataFrame) -> str:
    unknown = table[~table.decision.isin(("", *decisions.PHOTO_DECISIONS))]
    if unknown.empty:
        return ""
    words = listed(sorted(set(unknown.decision)), MOST_SHOWN)
    return (
        f"{FILE}: {len(unknown)} decisions are none of {', '.join(decisions.PHOTO_DECISIONS)} and "
        f"change nothing: {words}"
    )


def _gone(table: pd.DataFrame) -> str:
    lost = table[table.effect == decided_photos.GONE]
    if lost.empty:
        return ""
    named = [path or image_id for path, image_id in zip(lost.path, lost.image_id, strict=True)]
    return (
        f"{FILE}: {len(lost)} decisions are about photos that are not there any more, or were left "
        f"out for other reasons: {listed(named, MOST_SHOWN)}"
    )
