"""The photos of a folder, found by the paths that files of labels write."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from dishvl_lib.core import folder_words, names, photo_files, system_files

# Folders that say what kind of file is in them, and nothing of which photo is meant.
KIND_FOLDERS = ("images", "labels", "annotations", "obj_train_data", "obj_valid_data", "data")

# What Label Studio writes before the name of a file that was uploaded.
UPLOADED = re.compile(r"^[0-9a-f]{8}-")


class Match(NamedTuple):
    """The photos that a written path may mean, and how many folders they share with it."""

    paths: list[str]
    agreement: int


class FrameFiles:
    """The photos below a folder.

    `paths`: with forward slashes, relative to the folder, sorted.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.paths = _photos(folder)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            pure = PurePosixPath(path)
            self._by_name[names.spelling(pure.name)].append(path)
            self._by_stem[names.spelling(pure.stem)].append(path)

    def matching(
        self, written: Sequence[str], has_suffix: bool, hints: Sequence[str] = ()
    ) -> Match:
        """The photos that a path may mean, of those of its name the ones whose folders agree
        furthest with it: one where it is clear.

        `written`: the parts of the path; `has_suffix`: whether the last is a file name or a stem;
        `hints`: words that may be folders above it, too.
        """
        by_last = self._by_name if has_suffix else self._by_stem
        last = written[-1]
        as_chosen = UPLOADED.sub("", last)
        candidates = by_last.get(names.spelling(last)) or by_last.get(names.spelling(as_chosen), [])
        folders = naming_folders(written[:-1])
        possible = [path for path in candidates if not _is_elsewhere(path, folders)]
        said = [names.spelling(part) for part in (*hints, *folders)]
        agreement = {path: _agreement(_folders(path), said) for path in possible}
        most = max(agreement.values(), default=0)
        closest = [path for path, count in agreement.items() if count == most]
        whole = [path for path in closest if len(_folders(path)) == most]
        return Match(whole if len(whole) == 1 else closest, most)


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path of any system, without its drive and dots."""
    written = PureWindowsPath(path.strip())
    return tuple(part for part in written.parts if part not in (written.anchor, ".", ".."))


def naming_folders(folders: Sequence[str]) -> tuple[str, ...]:
    """The folders without those that only say what kind of file is in them."""
    return tuple(part for part in folders if part.casefold() not in KIND_FOLDERS)


def _folders(path: str) -> list[str]:
    named = naming_folders(PurePosixPath(path).parts[:-1])
    return [names.spelling(part) for part in named]


def _is_elsewhere(path: str, folders: Sequence[str]) -> bool:
    """Whether a photo lies in other folders than those that are written: then it is another photo
    of the same name. Folders of a split say nothing of that.
    """
    written = [names.spelling(part) for part in folders if not folder_words.split_of(part)]
    own = [part for part in _folders(path) if not folder_words.split_of(part)]
    return bool(written) and bool(own) and not set(written) & set(own)


def _agreement(own: Sequence[str], said: Sequence[str]) -> int:
    """How many of a photo's own folders are said, in their order, from the last one on."""
    left = list(said)
    count = 0
    for part in reversed(own):
        if part in left:
            last = len(left) - 1 - left[::-1].index(part)
            left = left[:last]
            count += 1
    return count


def _photos(folder: Path) -> list[str]:
    paths = []
    for directory, folders, file_names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_passed_over((name,))]
        for name in file_names:
            is_photo = Path(name).suffix.lower() in photo_files.PHOTO_SUFFIXES
            if is_photo and not _is_passed_over((), name):
                paths.append(Path(directory, name).relative_to(folder).as_posix())
    return sorted(paths)


def _is_passed_over(folders: tuple[str, ...], name: str = "") -> bool:
    """Whether a folder or file is hidden or belongs to a system."""
    last = name or folders[-1]
    return last.startswith(".") or bool(system_files.refusal(folders, name))
