"""The sentences that must stand beside an accuracy table."""

from collections.abc import Mapping
from typing import Any


def notes(annotation: Mapping[str, Any], not_dishes: int, failed: int) -> list[str]:
    """What a reader has to know: where the names come from, answers that are no dish, photos that could not be read.

    `annotation`: stage 01's success marker.
    """
    found = []
    if annotation.get("no_annotator"):
        found.append("names from folders, no annotator")
    left_out = annotation["counts"]["skipped"]
    if left_out:
        found.append(f"{left_out} of {annotation['counts']['files']} files were left out of the catalogue (01_annotation/rejected.csv)")
    if not_dishes:
        found.append(f"{not_dishes} kinds of naming answers of the tuned model are no dish's name; they count as wrong and are listed")
    if failed:
        found.append(f"{failed} answers failed because a photo could not be read; they count as wrong")
    return found
