"""The catalogue: every usable photo of the dish folders and outside sites, and a reason for every
one left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import duplicates, earlier_split, hashes, layout, rejections, scan, split
from dishvl_lib.annotation.layout import CatalogError, PhotoFile
from dishvl_lib.core import artefacts, images, names, params, photo_hashes, records
from dishvl_lib.core.rules import listed, shortened
from dishvl_lib.core.types import AnyPath, Record


def build(
    image_root: Path,
    sites: Sequence[Record] = (),
    *,
    test_share: float,
    validation_share: float,
    seed: int,
    max_hamming: int = photo_hashes.MAX_HAMMING,
    near_features: AnyPath = "",
    min_cosine: float = photo_hashes.MIN_COSINE,
    hold_out: dict[str, Sequence[str]] | None = None,
    min_photos_per_dish: int = 1,
    photo_decisions: Path | None = None,
    name_decisions: Path | None = None,
    known: pd.DataFrame | None = None,
    **scanning: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(photos, rejected, near-duplicate pairs): scanned, grouped, without what people left out, and
    split.

    `scanning`: what `scan_folders` takes. `near_features`: a features.npz of stage 02, whose
    cosines find crops too. `hold_out`: {sites, dates, dishes} kept out of train, validation and
    test. `min_photos_per_dish`: dishes with fewer are left out. `photo_decisions`,
    `name_decisions`: people's CSV files. `known`: EARLIER_COLUMNS of the run that is trained on
    from, whose split is kept. files found = photos + rejected. rejected:
    REJECTED_COLUMNS; `split` is what a photo that somebody left out would have if nobody had.
    """
    photos, rejected = scan_folders(image_root, sites, **scanning)
    stored = read_features(near_features)
    limits: Record = {"max_hamming": max_hamming}
    if stored:
        image_ids = stored["image_id"].tolist()
        limits["min_cosine"] = min_cosine
        limits["loose"] = photo_hashes.loose_for(artefacts.net_of(stored))
        limits["features"] = dict(zip(image_ids, stored["feature"], strict=True))
    grouped = _grouped(photos, known, scanning.get("folder_pattern", ""), limits)
    photos, across, kept_splits = grouped.photos, grouped.across, grouped.kept
    rejected = pd.concat([rejected, grouped.rejected], ignore_index=True)
    photos["typical"] = hashes.typical_order(photos)
    rules = (name_decisions, min_photos_per_dish)
    dealing: Record = {
        "hold_out": hold_out or {},
        "kept": kept_splits,
        "test_share": test_share,
        "validation_share": validation_share,
        "seed": seed,
    }
    undecided, decided = rejections.without_decided(photos, photo_decisions)
    kept, others = _by_rules(undecided, *rules)
    rejected = pd.concat([rejected, decided, others], ignore_index=True)
    _check_enough(kept, rejected, image_root)
    kept = _dealt(kept, across, **dealing)
    split_of: dict[str, str] = {}
    if len(decided):
        as_if = _dealt(_by_rules(photos, *rules)[0], across, **dealing)
        split_of = dict(zip(as_if.path, as_if.split, strict=True))
    by_people = rejected.path.where(rejected.path.isin(decided.path))
    rejected["split"] = by_people.map(lambda path: split_of.get(path, ""))
    near = duplicates.near_pairs(kept, **limits)
    return kept, rejected, pd.concat([near, _among(across, kept)], ignore_index=True)


class _Grouped(NamedTuple):
    """Photos with group_id, near-duplicates across dishes among them, the photos (image_ids) that
    have their split from an earlier run, and rejected rows.
    """

    photos: pd.DataFrame
    across: pd.DataFrame
    kept: list[str]
    rejected: pd.DataFrame


def _grouped(
    photos: pd.DataFrame, known: pd.DataFrame | None, folder_pattern: str, limits: Record
) -> _Grouped:
    """Groups and pairs of all photos, so that what nobody decided is known too; with the splits of
    the earlier run, if there is one.
    """
    furthest_across = limits["max_hamming"] // 2
    if known is None:
        grouped = photos.assign(group_id=duplicates.assign_groups(photos, **limits))
        across = duplicates.across_dishes(grouped, furthest_across)
        nothing = pd.DataFrame(columns=artefacts.LEFT_OUT_COLUMNS)
        return _Grouped(grouped, across, [], nothing)
    compared = earlier_split.with_gone(photos, known, _patterns(folder_pattern, ())[0])
    if "features" in limits:
        vectors = earlier_split.features_of_gone(compared, limits["features"])
        limits = {**limits, "features": vectors}
    compared["group_id"] = duplicates.assign_groups(compared, **limits)
    grouped = photos.assign(group_id=compared.group_id.to_numpy()[: len(photos)])
    across = duplicates.across_dishes(compared, furthest_across)
    placed = earlier_split.place(grouped, compared, across, known)
    return _Grouped(placed.photos, _among(across, placed.photos), placed.kept, placed.rejected)


def _by_rules(
    photos: pd.DataFrame, name_decisions: Path | None, least: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows): without folders that are no dish, small dishes, and photos given to
    two splits.
    """
    parts = []
    for step in (
        lambda table: rejections.without_dishes(table, name_decisions),
        lambda table: rejections.without_small(table, least),
        split.check_given,
    ):
        photos, out = step(photos)
        parts.append(out)
    return photos, pd.concat(parts, ignore_index=True)


def _dealt(
    photos: pd.DataFrame,
    across: pd.DataFrame,
    hold_out: dict[str, Sequence[str]],
    kept: Sequence[str],
    **shares: Any,
) -> pd.DataFrame:
    """The photos with their split. across: near-duplicates across dishes; kept: photos whose split
    is an earlier run's; shares: of `split.assign`.
    """
    earlier_split.refuse_held_out(photos, kept, hold_out.get("dishes", ()))
    photos = photos.assign(split=split.hold_out(photos, **hold_out))
    in_doubt = _in_doubt(photos, _among(across, photos))
    return photos.assign(split=split.assign(photos, train_only=in_doubt, kept=kept, **shares))


def _among(pairs: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """The pairs of which both photos are among `photos`."""
    there = set(photos.image_id)
    both = pairs.image_id_a.isin(there) & pairs.image_id_b.isin(there)
    return pairs[both].reset_index(drop=True)


def scan_folders(
    image_root: Path,
    sites: Sequence[Record] = (),
    *,
    photos_csv: AnyPath = "",
    folder_pattern: str = "",
    file_patterns: Sequence[str] = (),
    exclude_dishes: Sequence[str] = (),
    max_dishes: int = 0,
    max_photos_per_dish: int = 0,
    workers: int = 4,
    follow_links: bool = False,
    dish_level: int = 0,
    max_image_pixels: int = images.MAX_IMAGE_PIXELS,
    cache: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected): files and empty folders found = photos + rejected. `image_root`,
    `dish_level`: see `layout.listing`.

    photos: artefacts.PHOTO_COLUMNS, `split` '' or as given or 'site:NAME'; paths are relative to
    `image_root` (those of sites may begin with '..'). `folder_pattern`, `file_patterns`: regular
    expressions as in `core.names`, '' and [] for those there. `exclude_dishes`: folder or dish
    names, with * and ?. `max_dishes`, `max_photos_per_dish`: 0 takes all. `follow_links`: read what
    links out of `image_root`, or out of a site's folder, lead to. `max_image_pixels`: photos of
    more are left out. Raises `CatalogError` when there is no folder, no photo, or fewer than two
    dishes, for a pattern that cannot be used, and for a site that is incomplete or shares its
    folder with others.
    """
    image_root = Path(image_root)
    pattern, file_patterns = _patterns(folder_pattern, file_patterns)
    _check_sites(image_root, sites)
    home = layout.listing(image_root, photos_csv, follow_links=follow_links, dish_level=dish_level)
    files = list(home.photos)
    refused = list(home.refused)
    for site in sites:
        folder = Path(site["image_root"])
        outside = layout.listing(folder, source=site["name"], follow_links=follow_links)
        files += outside.photos
        for path, reason, detail in outside.refused:
            refused.append((_printable_path(folder / path, image_root), reason, detail))
    files, excluded = rejections.without_excluded(files, exclude_dishes, pattern)
    files, cut = rejections.rehearsal(files, max_dishes, max_photos_per_dish, pattern)
    whole, bad = scan.examine(files, image_root, workers, cache, max_image_pixels)
    rows = [_row(photo, looked, image_root, pattern, file_patterns) for photo, looked in whole]
    photos = pd.DataFrame(rows, columns=list(artefacts.PHOTO_COLUMNS))
    photos, copies = rejections.without_copies(photos)
    photos, two_labels = rejections.without_two_labels(photos)
    photos, not_outside = rejections.without_own_photos(photos)
    for photo, reason, detail in excluded + cut:
        refused.append((_printable_path(photo.file, image_root), reason, detail))
    left_out = [*refused, *bad, *copies, *two_labels, *not_outside]
    rejected = pd.DataFrame(left_out, columns=artefacts.LEFT_OUT_COLUMNS)
    _check_enough(photos, rejected, image_root)
    rejected = rejected.sort_values(["reason", "path"], ignore_index=True)
    return photos.reset_index(drop=True), rejected


def _printable_path(file: Path, image_root: Path) -> str:
    return layout.printable(layout.relative_path(file, image_root))


def lost_dishes(
    image_root: Path,
    photos: pd.DataFrame,
    rejected: pd.DataFrame,
    *,
    photos_csv: AnyPath = "",
    folder_pattern: str = "",
    follow_links: bool = False,
    dish_level: int = 0,
) -> Record:
    """{notes: what the folders make one ask, in sentences; lost: {dish: {reason: files}} of dishes
    without a photo in the catalogue, also those of empty folders}.

    Dishes that people or parameters leave out are not lost. `photos`, `rejected`: as `build` made
    them of this folder, with the same parameters.
    """
    listed = layout.listing(image_root, photos_csv, "", follow_links, dish_level)
    pattern, _ = _patterns(folder_pattern, ())
    reasons = dict(zip(rejected.path, rejected.reason, strict=True))
    places = {_printable_path(photo.file, image_root): photo.folder for photo in listed.photos}
    kept = set(photos.dish_id)
    lost: dict[str, Counter[str]] = {}
    for path, folder in {**places, **listed.dish_of_refused}.items():
        dish = names.parse_folder(folder, pattern).name or folder
        if dish not in kept:
            of_dish = lost.setdefault(layout.printable(dish), Counter())
            of_dish[reasons.get(path, "gone since")] += 1
    missed = {}
    for dish, of_dish in lost.items():
        if rejections.BY_CHOICE.isdisjoint(of_dish):
            missed[dish] = dict(of_dish)
    return {"notes": listed.notes, "lost": missed}


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def lost_notes(lost: Mapping[str, Mapping[str, int]], rejected: pd.DataFrame) -> list[str]:
    """Sentences that name the dishes without a photo, the empty folders, and names that cannot be
    read. lost: as `lost_dishes` makes it.
    """
    sentences = []
    if lost:
        why = [f"{dish} ({_counted(of_dish)})" for dish, of_dish in sorted(lost.items())]
        sentences.append(
            f"{len(lost)} dishes have no usable photo: {listed(why, 20)} (rejected.csv)"
        )
    empty = rejected.path[rejected.reason == layout.EMPTY_FOLDER[0]].tolist()
    if empty:
        sentences.append(f"{len(empty)} folders are empty: {listed(empty, 20)}")
    unreadable = rejected[rejected.reason == layout.UNREADABLE_NAME]
    if len(unreadable):
        sentences.append(
            f"{len(unreadable)} files are left out for their names: {_first(unreadable)}"
        )
    return sentences


def _first(rejected: pd.DataFrame) -> str:
    """The first file left out, with what is to be done about it."""
    return f"{rejected.path.iloc[0]}, {rejected.detail.iloc[0]}"


def read_features(path: AnyPath) -> dict[str, np.ndarray] | None:
    """{image_id (N,), feature (N, D) float32, net} of a features.npz that stage 02 wrote; None for
    ''. Raises `RecordError` naming the file.
    """
    if not path:
        return None
    try:
        with np.load(path) as stored:
            return {
                "image_id": stored["image_id"],
                "feature": stored["feature"].astype(np.float32),
                "net": np.array(artefacts.net_of(stored)),
            }
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())
        raise records.RecordError(
            f"near_features: {path} is not a features.npz of stage 02 ({why})"
        ) from None


def read(path: Path) -> pd.DataFrame:
    """The catalogue as the other stages read it, with its columns checked."""
    return records.read_table(
        path,
        [
            "image_id",
            "path",
            "dish_id",
            "group_id",
            "split",
            "width",
            "height",
            "sha256",
            "site",
            "taken_on",
        ],
    )


def problems(
    catalogue: pd.DataFrame,
    photos: pd.DataFrame,
    dishes: Sequence[Record],
    left_out: int = 0,
) -> list[str]:
    """What must hold of settled dishes and does not, a sentence each with what to do; [] otherwise.

    catalogue: the photos after merging; photos: before it; dishes: rows of dishes.jsonl; left_out:
    photos that people's decisions took out in between.
    """
    at_home = catalogue[~artefacts.at_site(catalogue.split)]
    dealt = at_home[at_home.split != artefacts.HELD_OUT]
    torn = dealt[dealt.groupby("group_id").split.transform("nunique") > 1]
    without_split = int((catalogue.split == "").sum())
    again = "and run this stage again"
    undo = f"take the latest lines out of decisions/names.csv or set same_name to ask, {again}"
    sentences = []
    if len(catalogue) != len(photos) - left_out or not catalogue.image_id.is_unique:
        counts = f"{len(photos)} photos became {len(catalogue)}"
        sentences.append(f"{counts} when dishes were merged; {undo}")
    if without_split:
        remedy = f"give all photos one in photos_csv, or none, {again}"
        sentences.append(f"{without_split} photos have no split; {remedy}")
    if len(torn):
        pair = " and ".join(torn.path[:2])
        remedy = f"mark one of them as 'photo bad' in decisions/photos.csv, {again}"
        sentences.append(f"photos of one group lie in two splits: {pair}; {remedy}")
    if {dish["dish_id"] for dish in dishes} != set(at_home.dish_id):
        counts = f"{len(dishes)} dishes are recorded, photos show {at_home.dish_id.nunique()}"
        sentences.append(f"{counts}; {undo}")
    return sentences


def summary(photos: pd.DataFrame) -> pd.DataFrame:
    """Photos, groups and dishes per split."""
    table = photos.groupby("split").agg(
        photos=("image_id", "size"), groups=("group_id", "nunique"), dishes=("dish_id", "nunique")
    )
    share = table.photos / max(1, len(photos))
    return table.assign(share=share.map("{:.1%}".format))


def reasons(rejected: pd.DataFrame) -> pd.DataFrame:
    """How many files were left out for each reason, with the first of them."""
    return rejected.groupby("reason").agg(
        files=("path", "size"), first=("path", "first"), detail=("detail", "first")
    )


def sample(photos: pd.DataFrame, n: int, seed: int = 0) -> pd.DataFrame:
    """Up to `n` photos of different dishes, for a picture."""
    order = np.random.default_rng(seed).permutation(len(photos))
    return photos.iloc[order].drop_duplicates("dish_id").head(n)


def _in_doubt(photos: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """image_ids of photos at home that look like a photo of another dish at home: one label must be
    wrong, so they test nothing.
    """
    outside = photos.image_id[artefacts.at_site(photos.split)]
    is_outside = pairs.image_id_a.isin(outside) | pairs.image_id_b.isin(outside)
    torn = duplicates.between_dishes(pairs[~is_outside])
    return [*torn.image_id_a, *torn.image_id_b]


def _row(
    photo: PhotoFile,
    looked: Record,
    image_root: Path,
    folder_pattern: str,
    file_patterns: Sequence[str],
) -> Record:
    path = layout.relative_path(photo.file, image_root)
    parsed = names.parse_folder(photo.folder, folder_pattern)
    frame, taken = names.frame_of(photo.file.stem, tuple(file_patterns))
    return {
        **looked,
        "image_id": artefacts.image_id_of(path),
        "path": path,
        "dish_id": rejections.dish_id(photo, folder_pattern),
        "folder": layout.printable(photo.folder),
        "site": photo.source or parsed.site,
        "frame": frame,
        "taken_on": f"{taken[:4]}-{taken[4:6]}-{taken[6:8]}" if taken else "",
        "split": artefacts.site_split(photo.source) if photo.source else photo.split,
    }


def _patterns(folder_pattern: str, file_patterns: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The given patterns, or the reference's; `CatalogError` for one that does not compile or lacks
    a group.
    """
    rules = params.of_stage("01_annotation")
    for key, value in (("folder_pattern", folder_pattern), ("file_patterns", list(file_patterns))):
        problems = rules[key].rule.problems(value)
        if problems:
            raise CatalogError(f"{key}: {shortened(value)} {problems[0]}")
    return folder_pattern or names.FOLDER_PATTERN, tuple(file_patterns) or names.FILE_PATTERNS


def _check_sites(image_root: Path, sites: Sequence[Record]) -> None:
    """Every site has a name and a folder of its own, neither inside another nor around it: a photo
    has one origin.
    """
    for number, site in enumerate(sites, start=1):
        if missing := [key for key in ("name", "image_root") if not site.get(key)]:
            raise CatalogError(
                f"sites: number {number} has no {missing[0]}; each site needs name and image_root"
            )
    names_given = [site["name"] for site in sites]
    for name in names_given:
        if names_given.count(name) > 1 or name == "image_root":
            raise CatalogError(
                f"sites: the name {name!r} is taken; give each site a name of its own"
            )
    folders = [("image_root", image_root)]
    folders += [(f"site {site['name']}", site["image_root"]) for site in sites]
    overlap = params.overlapping_folders(folders)
    if overlap:
        raise CatalogError(overlap)


def _check_enough(photos: pd.DataFrame, rejected: pd.DataFrame, image_root: Path) -> None:
    at_home = photos[~artefacts.at_site(photos.split)]
    if at_home.empty:
        reasons = (
            ", ".join(
                f"{count} {reason}" for reason, count in rejected.reason.value_counts().items()
            )
            or "the folder is empty"
        )
        linked = rejected.reason.eq(layout.LINK_OUT).any()
        remedy = "; set follow_links: true if these links are meant" if linked else ""
        unreadable = rejected[rejected.reason == layout.UNREADABLE_NAME]
        if len(unreadable):
            remedy += f"; {_first(unreadable)}"
        raise CatalogError(
            f"image_root {image_root} holds no usable photo ({reasons}); it must hold one "
            f"folder of photos per dish{remedy}"
        )
    if at_home.dish_id.nunique() < 2:
        places = at_home.path.str.rpartition("/")[0].nunique()
        remedy = "; where they lie in folders below it, dish_level says which" if places > 1 else ""
        raise CatalogError(
            f"image_root {image_root} holds one dish only ({at_home.dish_id.iloc[0]}); telling "
            f"dishes apart needs at least two folders of photos{remedy}"
        )
