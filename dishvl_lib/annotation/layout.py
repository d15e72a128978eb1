"""Which files are photos of which dish: folders per dish, train/ val/ test/ over them, or a CSV of path and label."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dishvl_lib.core import images, names, records

GIVEN_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
Refused = tuple[str, str, str]  # path relative to image_root, reason, detail


class CatalogError(ValueError):
    """A photo folder that cannot make a catalogue; the message names the folder and what is expected in it."""


@dataclass(frozen=True)
class Found:
    """A file that looks like a photo. `source`: '' for image_root, otherwise the outside site's name; `split`: as given by a folder or CSV, or ''."""

    file: Path
    folder: str
    source: str = ""
    split: str = ""


def list_photos(image_root: Path, photos_csv: str | Path = "", source: str = "") -> tuple[list[Found], list[Refused]]:
    """(photos, files left out) below `image_root`, or those that `photos_csv` names; photos + left out = files (or lines).

    Folders named train, val (valid, validation) and test, and nothing beside them, are splits over class folders.
    `photos_csv` has the columns path and label, and may have split; relative paths count from `image_root`. Links to
    folders are not followed. Raises `CatalogError` when there is no such folder.
    """
    image_root = Path(image_root)
    if not image_root.is_dir():
        raise CatalogError(f"{f'site {source}' if source else 'image_root'}: no folder {image_root}; it must hold one folder of photos per dish")
    if photos_csv:
        return _listed(image_root, Path(photos_csv))
    splits = {} if source else given_splits(image_root)
    found, left_out, closed = [], [], []
    for directory, folders, files in os.walk(image_root, onerror=closed.append):
        folders.sort()
        links = [Path(directory) / name for name in folders if os.path.islink(os.path.join(directory, name))]
        left_out += [(link, "link to a folder", "links are not followed; put the folder itself there") for link in links]
        for name in sorted(files):
            file = Path(directory) / name
            parts = file.relative_to(image_root).parts
            if refused := _refusal(file, parts, depth=2 if splits else 1):
                left_out.append((file, *refused))
            else:
                found.append(Found(file, file.parent.name, source, splits.get(parts[0], "")))
    left_out += [(Path(error.filename), "unreadable", f"folder: {error.strerror}") for error in closed]
    return found, _relative(left_out, image_root)


def given_splits(image_root: Path) -> dict[str, str]:
    """{folder: split} when the folders of `image_root` are train, val and test only, train among them; otherwise {}."""
    with os.scandir(image_root) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    known = {folder: GIVEN_SPLITS[folder.lower()] for folder in folders if folder.lower() in GIVEN_SPLITS}
    return known if len(known) == len(folders) and "train" in known.values() and len(set(known.values())) == len(known) >= 2 else {}


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 (in names from the file system) as \\udcXX escapes, so that it can be written."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def relative_path(file: Path, image_root: Path) -> str:
    """With forward slashes, relative to `image_root` also when the file lies beside it."""
    return Path(os.path.relpath(file, image_root)).as_posix()


def _listed(image_root: Path, photos_csv: Path) -> tuple[list[Found], list[Refused]]:
    if not photos_csv.is_file():
        raise CatalogError(f"photos_csv: {photos_csv} is missing")
    table = records.read_table(photos_csv, ["path", "label"])
    splits = [_split_of(value, photos_csv, line) for line, value in enumerate(table["split"], start=2)] if "split" in table else [""] * len(table)
    found, left_out, seen = [], [], {}
    for path, label, split in zip(table["path"], table["label"], splits, strict=True):
        file = Path(os.path.normpath(image_root / path))
        labels = seen.setdefault(str(file), [])
        if refused := _listed_refusal(file, path, label, labels):
            left_out.append((file, *refused))
        else:
            found.append(Found(file, label, "", split))
        labels.append(label)
    torn = {file for file, labels in seen.items() if len(set(labels)) > 1}
    left_out += [
        (one.file, "two labels", f"{photos_csv.name} names it as {' and '.join(sorted(set(seen[str(one.file)])))}") for one in found if str(one.file) in torn
    ]
    return [one for one in found if str(one.file) not in torn], _relative(left_out, image_root)


def _split_of(value: str, photos_csv: Path, line: int) -> str:
    if value.lower() not in GIVEN_SPLITS and value:
        raise CatalogError(f"photos_csv: {photos_csv}, line {line}: split {value!r} must be train, validation, test or empty")
    return GIVEN_SPLITS.get(value.lower(), "")


def _listed_refusal(file: Path, path: str, label: str, earlier: list[str]) -> tuple[str, str] | None:
    if not path.strip() or not names.clean(label):
        return "no path or label", f"the line reads {path!r}, {label!r}"
    if label in earlier:
        return "listed twice", f"under {label}; it is kept once"
    return _file_refusal(file)


def _refusal(file: Path, parts: tuple[str, ...], depth: int) -> tuple[str, str] | None:
    """(reason, detail) for a file that is not a dish's photo by its place, name or kind, before anything is read."""
    if len(parts) <= depth:
        return "not in a dish folder", "it lies beside the dish folders"
    if any(part.startswith(".") for part in parts):
        return "hidden file", "its name begins with a dot"
    return _file_refusal(file, parts)


def _file_refusal(file: Path, parts: tuple[str, ...] = ()) -> tuple[str, str] | None:
    if file.suffix.lower() not in images.PHOTO_SUFFIXES:
        return "not a photo file", f"suffix {printable(file.suffix) or 'missing'}"
    if any(printable(part) != part for part in parts):
        return "unreadable name", "the name is not UTF-8; rename it"
    if os.path.exists(file) and not stat.S_ISREG(os.stat(file).st_mode):
        return "not a photo file", "it is a device, pipe, socket or folder"
    return None


def _relative(left_out: Iterable[tuple[Path, str, str]], image_root: Path) -> list[Refused]:
    return [(printable(relative_path(file, image_root)), reason, detail) for file, reason, detail in left_out]
