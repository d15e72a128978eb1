"""The catalogue: every usable photo of the dish folders and outside sites, and a reason for every one left out."""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dishvl_lib.annotation import duplicates, split
from dishvl_lib.core import images, names, records

COLUMNS = ("image_id", "path", "dish_id", "folder", "site", "frame", "taken_on", "width", "height", "sha256", "phash")
REJECTED_COLUMNS = ("path", "reason", "detail")
SITE_PREFIX = "site:"
LEAVE_OUT = ("photo bad", "label wrong")
MAX_ASPECT_RATIO = 200  # the model's image processor refuses longer strips


class CatalogError(ValueError):
    """A photo folder that cannot make a catalogue; the message names the folder and what is expected in it."""


@dataclass(frozen=True)
class _Found:
    file: Path
    folder: str
    source: str  # "" for image_root, otherwise the outside site's name


def build(
    image_root: Path,
    sites: Sequence[dict[str, Any]],
    *,
    test_share: float,
    validation_share: float,
    seed: int,
    max_hamming: int,
    max_dishes: int = 0,
    max_photos_per_dish: int = 0,
    workers: int = 4,
    decisions: Path | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(catalog.parquet, rejected.csv): scanned, without the photos that people marked as bad, grouped and split."""
    photos, rejected = scan(image_root, sites, max_dishes=max_dishes, max_photos_per_dish=max_photos_per_dish, workers=workers)
    photos, decided = without_decided(photos, decisions)
    rejected = pd.concat([rejected, decided], ignore_index=True)
    _check_enough(photos, rejected, image_root)
    photos["group_id"] = duplicates.assign_groups(photos, max_hamming)
    photos["split"] = split.assign(photos, test_share=test_share, validation_share=validation_share, seed=seed)
    return photos, rejected


def without_decided(photos: pd.DataFrame, decisions: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected rows): a photo whose latest decision is 'photo bad' or 'label wrong' is left out with that reason."""
    if not decisions or not decisions.exists():
        return photos, pd.DataFrame(columns=REJECTED_COLUMNS)
    latest = records.read_table(decisions, ["image_id", "decision"]).drop_duplicates("image_id", keep="last").set_index("image_id").decision
    verdict = photos.image_id.map(latest)
    out = verdict.isin(LEAVE_OUT)
    rejected = pd.DataFrame({"path": photos.path[out], "reason": verdict[out], "detail": f"decided in {decisions.name}"}, columns=REJECTED_COLUMNS)
    return photos[~out].reset_index(drop=True), rejected


def scan(
    image_root: Path, sites: Sequence[dict[str, Any]] = (), *, max_dishes: int = 0, max_photos_per_dish: int = 0, workers: int = 4
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(photos, rejected): files found = photos + rejected. `image_root` holds one folder per dish.

    photos: COLUMNS plus `split` ('' or 'site:NAME'); paths are relative to `image_root` (those of sites may begin with
    '..'). Photos are decoded completely, in `workers` threads. `max_dishes`, `max_photos_per_dish`: 0 takes all.
    Symbolic links to folders are not followed and are reported. Raises `CatalogError` when there is no folder, no photo,
    or fewer than two dishes, and for a site that is incomplete or shares its folder with others.
    """
    image_root = Path(image_root)
    _check_sites(image_root, sites)
    found, left_out = _list_files(image_root, "")
    for site in sites:
        more, out = _list_files(Path(site["image_root"]), site["name"])
        found, left_out = found + more, left_out + out
    found, cut = _rehearsal(found, max_dishes, max_photos_per_dish)
    rows, bad = _examine(found, image_root, workers)
    photos = pd.DataFrame(rows, columns=[*COLUMNS, "split"])
    photos, two_labels = _without_two_labels(photos)
    photos, not_outside = _without_own_photos(photos)
    rejected = pd.DataFrame([*_relative(left_out + cut, image_root), *bad, *two_labels, *not_outside], columns=REJECTED_COLUMNS)
    _check_enough(photos, rejected, image_root)
    return photos.reset_index(drop=True), rejected.sort_values(["reason", "path"], ignore_index=True)


def _list_files(root: Path, source: str) -> tuple[list[_Found], list[tuple[Path, str, str]]]:
    """Every file below `root`: those that look like a dish's photo, and the others with a reason."""
    where = f"site {source}: " if source else "image_root: "
    if not root.is_dir():
        raise CatalogError(f"{where}no folder {root}; it must hold one folder of photos per dish")
    found, left_out, closed = [], [], []
    for directory, folders, files in os.walk(root, onerror=closed.append):
        folders.sort()
        left_out += [
            (Path(directory) / name, "link to a folder", "links are not followed; put the folder itself there")
            for name in folders
            if os.path.islink(os.path.join(directory, name))
        ]
        for name in sorted(files):
            file = Path(directory) / name
            refused = _refusal(file, file.relative_to(root).parts)
            if refused:
                left_out.append((file, *refused))
            else:
                found.append(_Found(file, file.parent.name, source))
    return found, left_out + [(Path(error.filename), "unreadable", f"folder: {error.strerror}") for error in closed]


def _refusal(file: Path, parts: tuple[str, ...]) -> tuple[str, str] | None:
    """(reason, detail) for a file that is not a dish's photo by its name or kind, before anything is read."""
    if len(parts) == 1:
        return "not in a dish folder", "it lies beside the dish folders"
    if any(part.startswith(".") for part in parts):
        return "hidden file", "its name begins with a dot"
    if file.suffix.lower() not in images.PHOTO_SUFFIXES:
        return "not a photo file", f"suffix {printable(file.suffix) or 'missing'}"
    if any(printable(part) != part for part in parts):
        return "unreadable name", "the name is not UTF-8; rename it"
    if os.path.exists(file) and not stat.S_ISREG(os.stat(file).st_mode):
        return "not a photo file", "it is a device, pipe or socket"
    return None


def _rehearsal(found: list[_Found], max_dishes: int, max_photos: int) -> tuple[list[_Found], list[tuple[Path, str, str]]]:
    """The first `max_dishes` dishes and `max_photos` photos of each; sites are cut to the same number of folders."""
    kept, cut, seen = [], [], {}
    for one in found:
        dish = (one.source, _dish_id(one))
        if dish not in seen and max_dishes and sum(key[0] == one.source for key in seen) >= max_dishes:
            cut.append((one.file, "rehearsal", f"max_dishes is {max_dishes}"))
            continue
        seen[dish] = seen.get(dish, 0) + 1
        if max_photos and seen[dish] > max_photos:
            cut.append((one.file, "rehearsal", f"max_photos_per_dish is {max_photos}"))
        else:
            kept.append(one)
    return kept, cut


def _examine(found: list[_Found], image_root: Path, workers: int) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
    rows, bad = [], []
    with ThreadPoolExecutor(workers) as pool:
        results = tqdm(pool.map(lambda one: _read_photo(one, image_root), found), total=len(found), desc="photos", mininterval=10, disable=len(found) < 5000)
        for result in results:
            (rows if isinstance(result, dict) else bad).append(result)
    return rows, bad


def _read_photo(one: _Found, image_root: Path) -> dict[str, Any] | tuple[str, str, str]:
    path = relative_path(one.file, image_root)
    try:
        content = one.file.read_bytes()
        width, height = images.upright_size(content)
        image = images.load_rgb(content, draft_size=(64, 64))
    except images.ImageError as error:
        return path, error.reason, error.detail
    except OSError as error:
        return path, "unreadable", error.strerror or str(error)
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        return path, "too narrow", f"{width}x{height}; the longer side may be at most {MAX_ASPECT_RATIO} times the shorter"
    frame, taken = names.frame_of(one.file.stem)
    parsed = names.parse_folder(one.folder)
    return {
        "image_id": hashlib.sha256(path.encode("utf-8")).hexdigest()[:16],
        "path": path,
        "dish_id": _dish_id(one),
        "folder": one.folder,
        "site": one.source or parsed.site,
        "frame": frame,
        "taken_on": f"{taken[:4]}-{taken[4:6]}-{taken[6:8]}" if taken else "",
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "phash": f"{duplicates.perceptual_hash(image):016x}",
        "split": SITE_PREFIX + one.source if one.source else "",
    }


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 (in names from the file system) as \\udcXX escapes, so that it can be written."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def relative_path(file: Path, image_root: Path) -> str:
    """With forward slashes, relative to `image_root` also when the file lies beside it."""
    return Path(os.path.relpath(file, image_root)).as_posix()


def _dish_id(one: _Found) -> str:
    """Folders whose cleaned names agree are one dish; an outside site's folders are dishes of their own."""
    name = names.clean_folder_name(one.folder) or one.folder
    return f"{one.source}/{one.folder}" if one.source else name


def _without_two_labels(photos: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    own = photos[photos.split == ""]
    dishes = own.groupby("sha256").dish_id.agg(lambda ids: sorted(set(ids)))
    torn = dishes[dishes.map(len) > 1]
    out = own[own.sha256.isin(torn.index)]
    rows = [(row.path, "two labels", "the same bytes lie under " + " and ".join(torn[row.sha256])) for row in out.itertuples()]
    return photos.drop(out.index), rows


def _without_own_photos(photos: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    """An outside site must be outside: its photos whose bytes also lie under `image_root` would be tested on what was learned."""
    own = photos[photos.split == ""].drop_duplicates("sha256").set_index("sha256").path
    out = photos[(photos.split != "") & photos.sha256.isin(own.index)]
    return photos.drop(out.index), [(row.path, "not outside", f"the same bytes lie in image_root as {own[row.sha256]}") for row in out.itertuples()]


def _relative(left_out: Iterable[tuple[Path, str, str]], image_root: Path) -> list[tuple[str, str, str]]:
    return [(printable(relative_path(file, image_root)), reason, detail) for file, reason, detail in left_out]


def _check_sites(image_root: Path, sites: Sequence[dict[str, Any]]) -> None:
    """Every site has a name and a folder of its own, neither inside another nor around it: a photo has one origin."""
    taken = {"image_root": image_root.resolve()}
    for number, site in enumerate(sites, start=1):
        if missing := [key for key in ("name", "image_root") if not site.get(key)]:
            raise CatalogError(f"sites: number {number} has no {missing[0]}; each site needs name and image_root")
        if site["name"] in taken:
            raise CatalogError(f"sites: the name {site['name']!r} is taken; give each site a name of its own")
        folder = Path(site["image_root"]).resolve()
        for other, root in taken.items():
            if folder.is_relative_to(root) or root.is_relative_to(folder):
                raise CatalogError(f"site {site['name']}: its folder {folder} overlaps with that of {other} ({root}); move one of them")
        taken[site["name"]] = folder


def _check_enough(photos: pd.DataFrame, rejected: pd.DataFrame, image_root: Path) -> None:
    own = photos[photos.split == ""]
    if own.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.reason.value_counts().items()) or "the folder is empty"
        raise CatalogError(f"image_root {image_root} holds no usable photo ({reasons}); it must hold one folder of photos per dish")
    if own.dish_id.nunique() < 2:
        raise CatalogError(f"image_root {image_root} holds one dish only ({own.dish_id.iloc[0]}); telling dishes apart needs at least two folders of photos")


def read(path: Path) -> pd.DataFrame:
    """The catalogue as the other stages read it, with its columns checked."""
    return records.read_table(path, ["image_id", "path", "dish_id", "group_id", "split", "width", "height", "sha256", "site", "taken_on"])


def summary(photos: pd.DataFrame) -> pd.DataFrame:
    """Photos, groups and dishes per split."""
    table = photos.groupby("split").agg(photos=("image_id", "size"), groups=("group_id", "nunique"), dishes=("dish_id", "nunique"))
    return table.assign(share=(table.photos / max(1, len(photos))).map("{:.1%}".format))


def sample(photos: pd.DataFrame, n: int, seed: int = 0) -> pd.DataFrame:
    """Up to `n` photos of different dishes, for a picture."""
    order = np.random.default_rng(seed).permutation(len(photos))
    return photos.iloc[order].drop_duplicates("dish_id").head(n)
