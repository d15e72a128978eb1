"""A list of photos and their labels, as people and other programs write it: a table with headings,
lines of `path label` (PaddleClas), paths of another system, labels that are numbers.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import pandas as pd

from dishvl_lib.core import given_tables, names, photo_files, records, system_files

LABEL_FILES = ("label_list.txt", "labels.txt", "label.txt", "classes.txt", "class_names.txt")
_SEPARATED = re.compile(r"^(?P<path>.+\.\w{3,5})\s*[\s,;，；]\s*(?P<label>\S.*)$")
_NUMBERED = re.compile(r"^(?P<number>\d+)[\s,:：]+(?P<name>\S.*)$")


def read(file: Path, image_root: Path) -> pd.DataFrame:
    """photo (a path that need not exist), path as written, label and split ('' without one); the
    index is the line in the file.

    Relative paths count from `image_root`. Paths of another system, or of another folder, are
    looked for below it by their last parts. Raises `RecordError` for what is no such list.
    """
    table = listed(file)
    path = table["path"]
    label = _named(table["label"], path, file)
    split = table["split"].str.strip() if "split" in table else ""
    finder = _PhotoFinder(image_root)
    photo = path.map(finder.photo)
    columns = {"photo": photo, "path": path, "label": label, "split": split}
    return pd.DataFrame(columns, index=table.index)


def listed(file: Path) -> pd.DataFrame:
    """path and label (and split) as they are written, under headings or without."""
    try:
        return given_tables.read(file, ["path", "label"])
    except records.RecordError:
        lines = _without_headings(file)
        if lines is None:
            raise
        return lines


def _without_headings(file: Path) -> pd.DataFrame | None:
    """Lines of a photo's path and its label, or None when the first line is none."""
    text = given_tables.decoded(file.read_bytes(), file)
    lines = pd.Series(text.splitlines(), dtype=str).str.strip()
    lines.index += 1
    lines = lines[lines != ""]
    rows = lines.str.extract(_SEPARATED)
    if rows.empty:
        return None
    first = rows.path.iloc[0]
    if not isinstance(first, str):
        return None
    suffix = Path(first).suffix.lower()
    if suffix not in photo_files.PHOTO_SUFFIXES:
        return None
    path = rows.path.fillna(lines)
    label = rows.label.fillna("")
    return rows.assign(path=path, label=label)


def _named(label: pd.Series, path: pd.Series, file: Path) -> pd.Series:
    """Labels as names of dishes: numbers by the list of names beside the file or, where each number
    stands for one folder, by that folder; the last part of labels that all are paths.
    """
    if len(label) == 0:
        return label
    if label.str.fullmatch(r"\d+").all():
        return _numbers_named(label, path, file)
    if label.str.contains("/").all():
        parts = label.str.rstrip("/").str.rpartition("/")
        return parts[2]
    return label


def _numbers_named(label: pd.Series, path: pd.Series, file: Path) -> pd.Series:
    numbered = _label_names(file)
    if set(label) <= numbered.keys():
        return label.map(numbered)
    folder = path.map(_folder)
    pairs = set(zip(label, folder, strict=True))
    is_one_to_one = len(pairs) == label.nunique() == folder.nunique()
    has_folders = "" not in set(folder)
    return folder if is_one_to_one and has_folders else label


def _label_names(file: Path) -> dict[str, str]:
    """{number: name} of the list of labels that lies beside a list of photos; {} without one."""
    lists = [file.parent / name for name in LABEL_FILES]
    beside = next((path for path in lists if path.exists()), file)
    if beside == file:
        return {}
    text = given_tables.decoded(beside.read_bytes(), beside)
    stripped = map(str.strip, text.splitlines())
    lines = list(filter(None, stripped))
    matches = filter(None, map(_NUMBERED.match, lines))
    numbered = [(parts["number"], parts["name"]) for parts in matches]
    if len(numbered) == len(lines):
        return dict(numbered)
    return {str(number): line for number, line in enumerate(lines)}


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path of any system, without its drive."""
    unquoted = path.strip().strip('"')
    written = PureWindowsPath(unquoted)
    return tuple(part for part in written.parts if part != written.anchor)


def _folder(path: str) -> str:
    """The folder that a file lies in; '' where its path names none."""
    parts = _parts(path)
    return parts[-2] if len(parts) > 1 else ""


class _PhotoFinder:
    """Photos by paths that were written on another machine; the folder is walked only when one is
    not where it is said to be.
    """

    def __init__(self, image_root: Path):
        self.root = Path(image_root)
        self._by_end: dict[tuple[str, ...], list[Path]] | None = None

    def photo(self, written: str) -> Path:
        """The photo that a path means; where none is, the path below `image_root` as written."""
        plain = self._below_root(written)
        if plain.exists() or not written.strip():
            return plain
        parts = _parts(written)
        if not parts:
            return plain
        below = self._below_root(*parts)
        if below.exists():
            return below
        return self._alike(parts) or below

    def _below_root(self, *parts: str) -> Path:
        joined = self.root.joinpath(*parts)
        return Path(os.path.normpath(joined))

    def _alike(self, parts: tuple[str, ...]) -> Path | None:
        """The only file that shares most last parts with a path, at least its folder and name."""
        if self._by_end is None:
            self._by_end = _files_by_end(self.root)
        ends = [names.spelling(part) for part in parts]
        end = tuple(ends[-2:])
        there = self._by_end.get(end, [])
        shared = {file: self._shared(file, ends) for file in there}
        most = max(shared.values(), default=0)
        closest = [file for file, count in shared.items() if count == most]
        return closest[0] if len(closest) == 1 else None

    def _shared(self, file: Path, ends: Sequence[str]) -> int:
        below_root = file.relative_to(self.root)
        parts = [names.spelling(part) for part in below_root.parts]
        from_last = zip(reversed(parts), reversed(ends), strict=False)
        count = 0
        for mine, theirs in from_last:
            if mine != theirs:
                break
            count += 1
        return count


def _files_by_end(root: Path) -> dict[tuple[str, ...], list[Path]]:
    files: dict[tuple[str, ...], list[Path]] = {}
    for directory, folders, file_names in os.walk(root):
        # Deleted photos and thumbnails share their names with the photos that are meant.
        folders[:] = [folder for folder in folders if not system_files.refusal((folder,))]
        for name in file_names:
            file = Path(directory) / name
            parts = file.relative_to(root).parts
            end = tuple(map(names.spelling, parts[-2:]))
            same_end = files.setdefault(end, [])
            same_end.append(file)
    return files
