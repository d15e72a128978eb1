"""Photos that stay out of the catalogue, each with its reason: by people's decisions, by
parameters, by what they are.
"""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.annotation import given_names
from dishvl_lib.annotation.layout import PhotoFile, Refused
from dishvl_lib.core import artefacts, decided_photos, names
from dishvl_lib.core.decisions import OTHER_DISH

LEAVE_OUT = decided_photos.LEAVE_OUT
NOT_A_DISH = "not a dish"
EXCLUDED = "excluded"
REHEARSAL = "rehearsal"
# A dish that loses its photos for one of these was left out by somebody.
BY_CHOICE = frozenset((*LEAVE_OUT, OTHER_DISH, NOT_A_DISH, EXCLUDED, REHEARSAL))


def dish_id(photo: PhotoFile, folder_pattern: str) -> str:
    """Folders whose cleaned names agree are one dish; an outside site's folders are dishes of their
    own.
    """
    name = names.parse_folder(photo.folder, folder_pattern).name or photo.folder
    return f"{photo.source}/{photo.folder}" if photo.source else name


def without_decided(
    photos: pd.DataFrame, decisions: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows): a photo whose latest decision is 'photo bad' or 'label wrong' is
    left out with that reason. One whose right dish is given stays: it gets that dish later.
    """
    verdict = decided_photos.verdicts(decided_photos.read(decisions), photos)
    return _part(photos, verdict.isin(LEAVE_OUT), verdict, "decided in decisions/photos.csv")


def wrongly_placed(decided: pd.DataFrame) -> pd.DataFrame:
    """REJECTED_COLUMNS of the photos whose right dish cannot be used, so that they are left out.
    decided: of `decided_photos.settle`.
    """
    is_out = (decided.effect == decided_photos.LEFT_OUT) & (decided.decision == OTHER_DISH)
    out = decided[is_out].assign(reason=OTHER_DISH)
    return out[list(artefacts.REJECTED_COLUMNS)].reset_index(drop=True)


def without_dishes(
    photos: pd.DataFrame, decisions: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows): the folders whose latest decision in names.csv (folder, action) is
    leave_out.
    """
    if not decisions or not decisions.exists():
        return photos, pd.DataFrame(columns=artefacts.LEFT_OUT_COLUMNS)
    at_home = ~artefacts.at_site(photos.split)
    no_dishes = given_names.left_out(decisions, photos.folder[at_home])
    out = photos.folder.isin(no_dishes) & at_home
    return _part(photos, out, NOT_A_DISH, f"decided in {decisions.name}")


def without_small(photos: pd.DataFrame, least: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows): dishes of our own with fewer than `least` usable photos."""
    count = photos.groupby("dish_id").image_id.transform("count")
    out = (count < least) & ~artefacts.at_site(photos.split)
    detail = count.map(f"the dish has {{}}, min_photos_per_dish is {least}".format)
    return _part(photos, out, "too few photos", detail)


def without_excluded(
    photos: list[PhotoFile], exclude: Sequence[str], folder_pattern: str
) -> tuple[list[PhotoFile], list[tuple[PhotoFile, str, str]]]:
    kept = []
    out = []
    for photo in photos:
        called = (photo.folder, dish_id(photo, folder_pattern))
        hits = [pattern for pattern in exclude if _fits_any(called, pattern)]
        if not hits:
            kept.append(photo)
        else:
            out.append((photo, EXCLUDED, f"exclude_dishes holds {hits[0]!r}"))
    return kept, out


def _fits_any(called: Sequence[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in called)


def rehearsal(
    photos: list[PhotoFile], max_dishes: int, max_photos: int, folder_pattern: str
) -> tuple[list[PhotoFile], list[tuple[PhotoFile, str, str]]]:
    """The first `max_dishes` dishes and `max_photos` photos of each; sites are cut to the same
    number of folders.
    """
    kept = []
    cut = []
    n_photos: dict[str, Counter[str]] = {}  # {source: {dish: photos}}
    for photo in photos:
        of_source = n_photos.setdefault(photo.source, Counter())
        dish = dish_id(photo, folder_pattern)
        if max_dishes and dish not in of_source and len(of_source) >= max_dishes:
            cut.append((photo, REHEARSAL, f"max_dishes is {max_dishes}"))
            continue
        of_source[dish] += 1
        if max_photos and of_source[dish] > max_photos:
            cut.append((photo, REHEARSAL, f"max_photos_per_dish is {max_photos}"))
        else:
            kept.append(photo)
    return kept, cut


def without_copies(photos: pd.DataFrame) -> tuple[pd.DataFrame, list[Refused]]:
    """(photos, rejected rows): of equal bytes in several folders of one dish those of one folder
    stay, of training before others, of the folder called like the dish before others.

    Copies within a folder stay: they are one group. So do copies in two given splits of a dish,
    which `split.check_given` looks at.
    """
    at_home = photos[~artefacts.at_site(photos.split)]
    if at_home.empty:
        return photos, []
    labelled = at_home.assign(
        place=at_home.path.str.rpartition("/")[0],
        label=at_home.dish_id.map(names.normalise),
        is_tested=at_home.split.isin(("validation", "test")),
        is_called_otherwise=at_home.folder != at_home.dish_id,
    )
    keys = ["sha256", "label"]
    ordered = labelled.sort_values([*keys, "is_tested", "is_called_otherwise", "path"])
    by_bytes = ordered.groupby(keys, sort=False)
    kept = by_bytes[["place", "path", "dish_id", "split"]].transform("first")
    given_twice = ordered.split.ne(kept.split) & ordered.dish_id.eq(kept.dish_id)
    is_copy = ordered.place.ne(kept.place) & ~given_twice
    rows = [
        (path, "copy", f"the same bytes lie in another folder of its dish as {twin}")
        for path, twin in zip(ordered.path[is_copy], kept.path[is_copy], strict=True)
    ]
    return photos.drop(ordered.index[is_copy]), rows


def without_two_labels(photos: pd.DataFrame) -> tuple[pd.DataFrame, list[Refused]]:
    at_home = photos[~artefacts.at_site(photos.split)]
    dishes = at_home.groupby("sha256").dish_id.agg(lambda ids: sorted(set(ids)))
    torn = dishes[dishes.map(len) > 1]
    out = at_home[at_home.sha256.isin(torn.index)]
    rows = []
    for row in out.itertuples():
        dishes_of_photo = " and ".join(torn[row.sha256])
        rows.append((row.path, "two labels", f"the same bytes lie under {dishes_of_photo}"))
    return photos.drop(out.index), rows


def without_own_photos(photos: pd.DataFrame) -> tuple[pd.DataFrame, list[Refused]]:
    """An outside site must be outside: its photos whose bytes also lie under `image_root` would be
    tested on what was learned.
    """
    outside = artefacts.at_site(photos.split)
    at_home = photos[~outside].drop_duplicates("sha256").set_index("sha256").path
    out = photos[outside & photos.sha256.isin(at_home.index)]
    rows = []
    for row in out.itertuples():
        twin = at_home[row.sha256]
        rows.append((row.path, "not outside", f"the same bytes lie in image_root as {twin}"))
    return photos.drop(out.index), rows


def _part(
    photos: pd.DataFrame, out: pd.Series, reason: Any, detail: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = list(artefacts.LEFT_OUT_COLUMNS)
    rows = photos.assign(reason=reason, detail=detail)[columns]
    return photos[~out].reset_index(drop=True), rows[out].reset_index(drop=True)
