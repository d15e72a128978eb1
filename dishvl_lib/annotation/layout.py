"""Which files are photos of which dish: folders per dish, train/ val/ test/ over them, or a CSV of
path and label.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dishvl_lib.core import names, photo_files, photo_list

GIVEN_SPLITS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
LINK_OUT = "link out of image_root"
Refused = tuple[str, str, str]  # path relative to image_root, reason, detail
RefusedFile = tuple[Path, str, str]  # the same before its path is made relative


class CatalogError(ValueError):
    """A photo folder that cannot make a catalogue; the message names the folder and what is
    expected in it.
    """


@dataclass(frozen=True)
class Found:
    """A file that looks like a photo. `source`: '' for image_root, otherwise the outside site's
    name; `split`: as given by a folder or CSV, or ''.
    """

    file: Path
    folder: str
    source: str = ""
    split: str = ""


def list_photos(
    image_root: Path,
    photos_csv: str | Path = "",
    source: str = "",
    follow_links: bool = False,
) -> tuple[list[Found], list[Refused]]:
    """(photos, files left out) below `image_root`, or those that `photos_csv` names; photos + left
    out = files (or lines).

    Folders named train, val (valid, validation) and test, and nothing beside them, are splits over
    class folders. `photos_csv` has the columns path and label, and may have split; relative paths
    count from `image_root`, and a path that stands there may lead anywhere. Links that lead out of
    `image_root` are left out unless `follow_links`; `image_root` may be a link itself. Raises
    `CatalogError` when there is no such folder.
    """
    image_root = Path(image_root)
    if not image_root.is_dir():
        raise CatalogError(
            f"{f'site {source}' if source else 'image_root'}: no folder {image_root}; it "
            "must hold one folder of photos per dish"
        )
    if photos_csv:
        return _listed(image_root, Path(photos_csv))
    splits = {} if source else given_splits(image_root)
    links = _Links(image_root, follow_links)
    found = []
    left_out: list[RefusedFile] = []
    closed: list[OSError] = []
    walked = os.walk(image_root, onerror=closed.append, followlinks=follow_links)
    for directory, folders, files in walked:
        folders.sort()
        left_out += links.without_refused(directory, folders)
        for name in sorted(files):
            file = Path(directory) / name
            parts = file.relative_to(image_root).parts
            if refused := _refusal(file, parts, links, depth=2 if splits else 1):
                left_out.append((file, *refused))
            else:
                found.append(Found(file, file.parent.name, source, splits.get(parts[0], "")))
    left_out += [
        (Path(error.filename), "unreadable", f"folder: {error.strerror}") for error in closed
    ]
    return found, _relative(left_out, image_root)


class _Links:
    """Which links below a photo folder are read: those that stay inside it; all with `follow`."""

    def __init__(self, image_root: Path, follow: bool):
        self.root = os.path.realpath(image_root)
        self.follow = follow
        # Of each folder that is walked: the targets of the links that lead to it, so that a
        # circle of links ends.
        self.passed: dict[str, tuple[str, ...]] = {os.fspath(image_root): ()}

    def refusal(self, path: str | Path) -> tuple[str, str] | None:
        """(reason, detail) for a link, or a chain of them, that may not be followed."""
        if self.follow or not os.path.islink(path):
            return None
        target = os.path.realpath(path)
        if _is_below(target, self.root):
            return None
        return LINK_OUT, f"it leads to {printable(target)}; follow_links: true reads it"

    def without_refused(self, directory: str, folders: list[str]) -> list[RefusedFile]:
        """Takes the links that are not followed out of `folders`, which `os.walk` enters next.

        Returns them with their reasons.
        """
        left_out: list[RefusedFile] = []
        passed = self.passed.pop(directory, ())
        for name in list(folders):
            path = os.path.join(directory, name)
            is_link = os.path.islink(path)
            refused = self._folder_refusal(directory, path, passed) if is_link else None
            if refused:
                folders.remove(name)
                left_out.append((Path(path), *refused))
            else:
                self.passed[path] = (*passed, os.path.realpath(path)) if is_link else passed
        return left_out

    def _folder_refusal(
        self, directory: str, path: str, passed: tuple[str, ...]
    ) -> tuple[str, str] | None:
        target = os.path.realpath(path)
        if refused := self.refusal(path):
            return refused
        if _is_below(target, self.root):
            return "link to a folder", "it leads to a folder that is read at its own place"
        if target in passed or _is_below(os.path.realpath(directory), target):
            return "link to a folder", "it leads back to a folder that it lies in"
        return None


def _is_below(path: str, folder: str) -> bool:
    """Whether a real path is the folder or lies in it."""
    return os.path.commonpath([path, folder]) == folder


def given_splits(image_root: Path) -> dict[str, str]:
    """{folder: split} when the folders of `image_root` are train, val and test only, train among
    them; otherwise {}.
    """
    with os.scandir(image_root) as entries:
        folders = sorted(
            entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )
    known = {
        folder: GIVEN_SPLITS[folder.lower()] for folder in folders if folder.lower() in GIVEN_SPLITS
    }
    return (
        known
        if len(known) == len(folders)
        and "train" in known.values()
        and len(set(known.values())) == len(known) >= 2
        else {}
    )


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 (in names from the file system) as \\udcXX escapes, so
    that it can be written.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def relative_path(file: Path, image_root: Path) -> str:
    """With forward slashes, relative to `image_root` also when the file lies beside it."""
    return Path(os.path.relpath(file, image_root)).as_posix()


def _listed(image_root: Path, photos_csv: Path) -> tuple[list[Found], list[Refused]]:
    if not photos_csv.is_file():
        raise CatalogError(f"photos_csv: {photos_csv} is missing")
    table = photo_list.read(photos_csv, image_root)
    found = []
    left_out: list[RefusedFile] = []
    seen: dict[str, list[str]] = {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        file = row["photo"]
        label = row["label"]
        split = _split_of(row["split"], photos_csv, line)
        labels = seen.setdefault(str(file), [])
        if refused := _listed_refusal(file, row["path"], label, labels):
            left_out.append((file, *refused))
        else:
            found.append(Found(file, label, "", split))
        labels.append(label)
    torn = {file for file, labels in seen.items() if len(set(labels)) > 1}
    left_out += [
        (
            one.file,
            "two labels",
            f"{photos_csv.name} names it as {' and '.join(sorted(set(seen[str(one.file)])))}",
        )
        for one in found
        if str(one.file) in torn
    ]
    return [one for one in found if str(one.file) not in torn], _relative(left_out, image_root)


def _split_of(value: str, photos_csv: Path, line: int) -> str:
    if value.lower() not in GIVEN_SPLITS and value:
        raise CatalogError(
            f"photos_csv: {photos_csv}, line {line}: split {value!r} must be train, "
            "validation, test or empty"
        )
    return GIVEN_SPLITS.get(value.lower(), "")


def _listed_refusal(
    file: Path, path: str, label: str, earlier: list[str]
) -> tuple[str, str] | None:
    if not path.strip() or not names.clean(label):
        return "no path or label", f"the line reads {path!r}, {label!r}"
    if label in earlier:
        return "listed twice", f"under {label}; it is kept once"
    return _file_refusal(file)


def _refusal(
    file: Path, parts: tuple[str, ...], links: _Links, depth: int
) -> tuple[str, str] | None:
    """(reason, detail) for a file that is not a dish's photo by its place, name or kind, before
    anything is read.
    """
    if len(parts) <= depth:
        return "not in a dish folder", "it lies beside the dish folders"
    if any(part.startswith(".") for part in parts):
        return "hidden file", "its name begins with a dot"
    return links.refusal(file) or _file_refusal(file, parts)


def _file_refusal(file: Path, parts: tuple[str, ...] = ()) -> tuple[str, str] | None:
    if file.suffix.lower() in photo_files.RAW_SUFFIXES:
        return "not a photo file", "a camera's raw file; export it as JPEG"
    if not photo_files.is_photo(file):
        return "not a photo file", f"suffix {printable(file.suffix) or 'missing'}, and no photo"
    if any(printable(part) != part for part in parts):
        return "unreadable name", "the name is not UTF-8; rename it"
    if os.path.exists(file) and not stat.S_ISREG(os.stat(file).st_mode):
        return "not a photo file", "it is a device, pipe, socket or folder"
    return None


def _relative(left_out: Iterable[RefusedFile], image_root: Path) -> list[Refused]:
    return [
        (printable(relative_path(file, image_root)), reason, detail)
        for file, reason, detail in left_out
    ]
