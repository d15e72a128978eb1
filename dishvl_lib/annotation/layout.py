"""Which files are photos of which dish: folders per dish, train/ val/ test/ over them, or a CSV of
path and label.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dishvl_lib.annotation.dish_folders import DishFolders, Folders, UnclearFolders
from dishvl_lib.core import file_names, folder_words, names, photo_files, photo_list, system_files
from dishvl_lib.core.file_names import printable
from dishvl_lib.core.types import AnyPath

LINK_OUT = "link out of image_root"
NOT_IN_DISH = ("not in a dish folder", "it lies beside the dish folders")
UNREADABLE_NAME = "unreadable name"
EMPTY_FOLDER = ("empty folder", "it holds no file")
Refusal = tuple[str, str]  # reason, detail
Refused = tuple[str, str, str]  # path relative to image_root, reason, detail
RefusedFile = tuple[Path, str, str]  # the same before its path is made relative


class CatalogError(ValueError):
    """A photo folder that cannot make a catalogue; the message names the folder and what is
    expected in it.
    """


@dataclass(frozen=True)
class PhotoFile:
    """A file that looks like a photo. `source`: '' for image_root, otherwise the outside site's
    name; `split`: as given by a folder or CSV, or ''.
    """

    file: Path
    folder: str
    source: str = ""
    split: str = ""


@dataclass(frozen=True)
class Listing:
    """What a photo folder holds. `photos`: those it holds; `refused`: files and empty folders left
    out; `dish_of_refused`: {path: folder} of those that lie where a dish's photos would; `notes`:
    what its folders make one ask, in sentences.
    """

    photos: list[PhotoFile]
    refused: list[Refused]
    dish_of_refused: dict[str, str]
    notes: list[str]


def listing(
    image_root: Path,
    photos_csv: AnyPath = "",
    source: str = "",
    follow_links: bool = False,
    dish_level: int = 0,
) -> Listing:
    """The photos below `image_root`, or those that `photos_csv` names; photos + left out = files
    (or lines) + empty folders.

    Which folder says the dish or a split: see `DishFolders`; `dish_level` decides where that is
    not clear. `photos_csv` has the columns path and label, and may have split; relative paths
    count from `image_root`, and a path that stands there may lead anywhere. Links that lead out of
    `image_root` are left out unless `follow_links`; `image_root` may be a link itself. Raises
    `CatalogError` when there is no such folder, or its folders are not clear.
    """
    image_root = Path(image_root)
    if not image_root.is_dir():
        what = f"site {source}" if source else "image_root"
        raise CatalogError(
            f"{what}: no folder {image_root}; it must hold one folder of photos per dish"
        )
    if photos_csv:
        photos, left_out = _listed(image_root, Path(photos_csv))
        return Listing(photos, left_out, {}, [])
    walk = _Walk(image_root, follow_links)
    folders = _dish_folders(image_root, walk, source, dish_level)
    photos = []
    refused = list(walk.refused)
    dish_of_refused = {}
    for file, place, refusal in walk.files:
        dish = folders.dish(place)
        if refusal is None and dish:
            photos.append(PhotoFile(file, dish, source, folders.split(place)))
            continue
        refused.append((file, *(refusal or NOT_IN_DISH)))
        if dish and not _is_hidden(place):
            dish_of_refused[printable(relative_path(file, image_root))] = dish
    notes = [folders.splits.note] if folders.splits.note else []
    return Listing(photos, _relative(refused, image_root), dish_of_refused, notes)


def _dish_folders(image_root: Path, walk: "_Walk", source: str, dish_level: int) -> DishFolders:
    """An outside site has no splits, and a layout of its own that nobody is asked about."""
    places = {walked.place for walked in walk.files if walked.refusal is None}
    try:
        if source:
            return DishFolders(places, with_splits=False, strict=False)
        return DishFolders(places, dish_level)
    except UnclearFolders as error:
        raise CatalogError(f"image_root {image_root}: {error}") from None


class _Walked(NamedTuple):
    """A file, the folders below the photo folder that it lies in, and (reason, detail) when it is
    left out; or a folder that is empty or was not entered.
    """

    file: Path
    place: Folders
    refusal: Refusal | None


class _Walk:
    """All files below a folder; `refused`: links to folders that are read at their own place."""

    def __init__(self, image_root: Path, follow_links: bool):
        self.root = image_root
        self.links = _Links(image_root, follow_links)
        self.files: list[_Walked] = []
        self.refused: list[RefusedFile] = []
        closed: list[OSError] = []
        walked = os.walk(image_root, onerror=closed.append, followlinks=follow_links)
        for directory, folders, files in walked:
            folders.sort()
            self.files += self._of_folder(Path(directory), bool(folders), sorted(files))
            self._leave_out_links(directory, folders)
        for error in closed:
            refusal = ("unreadable", f"folder: {error.strerror}")
            self.files.append(self._folder(Path(error.filename), refusal))

    def _of_folder(
        self, directory: Path, has_folders: bool, names_of_files: list[str]
    ) -> Iterator[_Walked]:
        place = directory.relative_to(self.root).parts
        if place and not has_folders and not names_of_files:
            of_system = system_files.refusal(place)
            yield self._folder(directory, of_system or _hidden(place) or EMPTY_FOLDER)
        for name in names_of_files:
            file = directory / name
            yield _Walked(file, place, _refusal(file, place, self.links))

    def _leave_out_links(self, directory: str, folders: list[str]) -> None:
        """Takes the links that are not followed out of `folders`, which `os.walk` enters next."""
        for path, reason, detail in self.links.without_refused(directory, folders):
            if reason == LINK_OUT:
                self.files.append(self._folder(path, (reason, detail)))
            else:
                self.refused.append((path, reason, detail))

    def _folder(self, folder: Path, refusal: Refusal) -> _Walked:
        """A folder whose dish has no photos here."""
        return _Walked(folder, folder.relative_to(self.root).parts, refusal)


class _Links:
    """Which links below a photo folder are read: those that stay inside it; all with `follow`."""

    def __init__(self, image_root: Path, follow: bool):
        self.root = os.path.realpath(image_root)
        self.follow = follow
        # Of each folder that is walked: the targets of the links that lead to it, so that a
        # circle of links ends.
        self.passed: dict[str, Folders] = {os.fspath(image_root): ()}

    def refusal(self, path: AnyPath) -> Refusal | None:
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

    def _folder_refusal(self, directory: str, path: str, passed: Folders) -> Refusal | None:
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


def relative_path(file: Path, image_root: Path) -> str:
    """With forward slashes, relative to `image_root` also when the file lies beside it."""
    return Path(os.path.relpath(file, image_root)).as_posix()


def _listed(image_root: Path, photos_csv: Path) -> tuple[list[PhotoFile], list[Refused]]:
    if not photos_csv.is_file():
        raise CatalogError(f"photos_csv: {photos_csv} is missing")
    table = photo_list.read(photos_csv, image_root)
    photos = []
    left_out: list[RefusedFile] = []
    seen: dict[str, list[str]] = {}
    for row in table.itertuples():
        split = _split_of(row.split, photos_csv, row.Index)
        labels = seen.setdefault(str(row.photo), [])
        if refused := _listed_refusal(row.photo, row.path, row.label, labels):
            left_out.append((row.photo, *refused))
        else:
            photos.append(PhotoFile(row.photo, row.label, "", split))
        labels.append(row.label)
    kept, torn = _without_two_labels(photos, seen, photos_csv)
    return kept, _relative(left_out + torn, image_root)


def _without_two_labels(
    photos: Sequence[PhotoFile], labels_of: Mapping[str, Sequence[str]], photos_csv: Path
) -> tuple[list[PhotoFile], list[RefusedFile]]:
    """(photos of one label, the others with the labels that a list gives them)."""
    kept = []
    torn = []
    for photo in photos:
        labels = sorted(set(labels_of[str(photo.file)]))
        if len(labels) == 1:
            kept.append(photo)
        else:
            detail = f"{photos_csv.name} names it as {' and '.join(labels)}"
            torn.append((photo.file, "two labels", detail))
    return kept, torn


def _split_of(value: str, photos_csv: Path, line: int) -> str:
    split = folder_words.split_of(value)
    if value and not split:
        raise CatalogError(
            f"photos_csv: {photos_csv}, line {line}: split {value!r} must be train, "
            "validation, test or empty"
        )
    return split


def _listed_refusal(file: Path, path: str, label: str, earlier: list[str]) -> Refusal | None:
    if not path.strip() or not names.clean(label):
        return "no path or label", f"the line reads {path!r}, {label!r}"
    if label in earlier:
        return "listed twice", f"under {label}; it is kept once"
    return _file_refusal(file, (path,))


def _refusal(file: Path, parts: Folders, links: _Links) -> Refusal | None:
    """(reason, detail) for a file that is not a dish's photo by its place, name or kind, before
    anything is read. `parts`: the folders that it lies in.
    """
    if of_system := system_files.refusal(parts):
        return of_system
    if not parts:
        return NOT_IN_DISH
    if refused := system_files.refusal((), file.name) or _hidden((*parts, file.name)):
        return refused
    return links.refusal(file) or _file_refusal(file, (*parts, file.name))


def _hidden(parts: Folders) -> Refusal | None:
    return ("hidden file", "its name begins with a dot") if _is_hidden(parts) else None


def _is_hidden(parts: Folders) -> bool:
    """Whether one of the names is hidden, or belongs to a system."""
    return any(part.startswith(".") for part in parts) or bool(system_files.refusal(parts))


def _file_refusal(file: Path, parts: Folders = ()) -> Refusal | None:
    if file.suffix.lower() in photo_files.RAW_SUFFIXES:
        return "not a photo file", "a camera's raw file; export it as JPEG"
    if not photo_files.is_photo(file):
        return "not a photo file", f"suffix {printable(file.suffix) or 'missing'}, and no photo"
    for depth, part in enumerate(parts):
        if not file_names.is_writable(part):
            return UNREADABLE_NAME, _remedy(parts[:depth], part)
    if os.path.exists(file) and not stat.S_ISREG(os.stat(file).st_mode):
        return "not a photo file", "it is a device, pipe, socket or folder"
    return None


def _remedy(folders: Folders, name: str) -> str:
    """What is wrong with a name that cannot be written down, and the command that mends it."""
    reading = file_names.reading_of(name)
    surrogates = any("\ud800" <= char <= "\udfff" for char in name)
    wrong = "is not UTF-8" if surrogates else "holds control characters"
    reading_note = f"; it is {reading}" if reading else ""
    new = reading.text if reading else file_names.writable(name)
    if not new:
        return f"the name {wrong}{reading_note}; rename it"
    old = os.path.join(*folders, name)
    command = file_names.rename_command(old, os.path.join(*folders, new))
    return f"the name {wrong}{reading_note}; rename it, in image_root: {command}"


def _relative(left_out: Iterable[RefusedFile], image_root: Path) -> list[Refused]:
    return [
        (printable(relative_path(file, image_root)), reason, detail)
        for file, reason, detail in left_out
    ]
