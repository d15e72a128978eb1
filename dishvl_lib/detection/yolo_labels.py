"""Boxes in YOLO's text files, as CVAT, Roboflow, Label Studio, labelImg and others write them: a
file for each photo, a line `class x y width height` for each box, in shares of the photo's sides
around the box's centre.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from dishvl_lib.core import folder_words, rules, system_files
from dishvl_lib.core.types import Record
from dishvl_lib.detection.drawn import (
    Corners,
    DrawnBox,
    DrawnFrame,
    DrawnLabels,
    Fault,
    LabelError,
    LeftOut,
    Parts,
    around,
    text_of,
)
from dishvl_lib.detection.frame_files import naming_folders, parts_of

YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml")
NAME_LISTS = ("*.names", "classes.txt")
# Text files beside labels that hold none.
OTHER_TEXTS = (
    "classes",
    "labels",
    "notes",
    "readme",
    "requirements",
    "license",
    "predefined_classes",
)
SPLIT_KEYS = ("train", "val", "test")


def is_there(labels: Path) -> bool:
    """Whether a path means labels in YOLO's form: data.yaml, or a folder with it, with names of
    classes, or with text files of boxes.
    """
    if labels.is_file():
        return labels.suffix.lower() in (".yaml", ".yml")
    has_names = _first_file(labels, *YAML_FILES, *NAME_LISTS) is not None
    return has_names or bool(_label_files(labels))


def read(labels: Path, names: Sequence[str] = ()) -> DrawnLabels:
    """Everything that the text files below a folder say. `names`: the classes in their order,
    instead of those in data.yaml, obj.names or classes.txt.

    Lines of more than five values are polygons, of which the box around them is taken. A split is
    what data.yaml or train.txt say, or the word in a folder's name. Raises `LabelError` where
    data.yaml cannot be read, or no text file is there.
    """
    folder = labels if labels.is_dir() else labels.parent
    settings = _settings(folder, labels)
    drawn = DrawnLabels(tuple(names) or _names(folder, settings))
    files = _label_files(folder)
    if not files:
        raise LabelError(
            f"{folder} holds no labels in YOLO's form: a text file for each photo; name the folder "
            "above labels/, or the one with the text files"
        )
    if not drawn.names:
        drawn.notes.append(
            f"{folder} names no classes (data.yaml, obj.names or classes.txt), so they are called "
            "class_0, class_1, ...; write their names into classes.txt there, a line for each"
        )
    reader = _TextReader(folder, drawn.names, settings)
    for file in files:
        frame = reader.frame(file)
        if isinstance(frame, LeftOut):
            drawn.left_out.append(frame)
        else:
            drawn.frames.append(frame)
    return drawn


class _TextReader:
    """Reads one text file after the other."""

    def __init__(self, folder: Path, names: Sequence[str], settings: Record):
        self.folder = folder
        self.names = names
        self.has_points = "kpt_shape" in settings
        self.splits = _Splits(folder, settings)

    def frame(self, file: Path) -> DrawnFrame | LeftOut:
        below = file.relative_to(self.folder)
        try:
            text = text_of(file)
        except LabelError as error:
            return LeftOut(below.as_posix(), "unreadable labels", str(error))
        written = (*below.parts[:-1], below.stem)
        frame = DrawnFrame(written, below.as_posix(), has_suffix=False, in_shares=True)
        frame.split = self.splits.of(below)
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                self._add(frame, line.split(), f"line {number} of {below.as_posix()}")
        return frame

    def _add(self, frame: DrawnFrame, words: Sequence[str], where: str) -> None:
        corners = self._corners(words)
        if corners is None:
            detail = f"{where} is no `class x y width height`; export the labels again"
            frame.faults.append(Fault("unreadable line", detail))
            return
        number = int(float(words[0]))
        n_names = len(self.names)
        if number < 0 or (self.names and number >= n_names):
            detail = f"{where} has class {number}, and there are {n_names} names, from 0 on"
            frame.faults.append(Fault("class beyond the names", detail))
            return
        label = self.names[number] if self.names else f"class_{number}"
        frame.boxes.append(DrawnBox(corners, label, where))

    def _corners(self, words: Sequence[str]) -> Corners | None:
        """x1, y1, x2, y2 of a line in shares; None for a line that is none."""
        try:
            label, *values = map(float, words)
        except ValueError:
            return None
        n_values = len(values)
        # A fifth value is the score of a box that a detector drew.
        is_box = n_values in (4, 5) or (self.has_points and n_values > 5)
        is_polygon = n_values >= 6 and n_values % 2 == 0
        if not label.is_integer():
            return None
        if is_box:
            x, y, width, height = values[:4]
            across = width / 2
            down = height / 2
            return x - across, y - down, x + across, y + down
        return around(values) if is_polygon else None


class _Splits:
    """Which split a file of labels belongs to, by lists of photos, data.yaml or folders."""

    def __init__(self, folder: Path, settings: Record):
        self.of_photo: dict[Parts, str] = {}
        self.of_folder: dict[Parts, str] = {}
        for file in sorted(folder.glob("*.txt")):
            split = folder_words.split_of(file.stem)
            if split:
                self._add_photos(file, split)
        for key in SPLIT_KEYS:
            for entry in _entries(settings, key):
                self._add_entry(folder, entry, folder_words.split_of(key))

    def of(self, below: Path) -> str:
        """The split of a file of labels, by its path below the folder; '' where nothing says it."""
        identity = _identity(below.parts)
        if identity in self.of_photo:
            return self.of_photo[identity]
        folders = identity[:-1]
        for named, split in self.of_folder.items():
            if _end_alike(folders, named):
                return split
        words = map(folder_words.split_of, reversed(folders))
        return next(filter(None, words), "")

    def _add_entry(self, folder: Path, entry: str, split: str) -> None:
        """A folder of photos, or a file that lists them."""
        parts = parts_of(entry)
        if not entry.endswith(".txt"):
            self.of_folder[naming_folders(parts)] = split
        elif (folder / parts[-1]).is_file():
            self._add_photos(folder / parts[-1], split)

    def _add_photos(self, file: Path, split: str) -> None:
        for line in text_of(file).splitlines():
            parts = parts_of(line)
            if parts:
                self.of_photo[_identity(parts)] = split


def _entries(settings: Record, key: str) -> list[str]:
    """The folders or lists of photos of a split: data.yaml names one or several."""
    value = settings.get(key) or []
    entries = value if isinstance(value, list) else [value]
    return list(map(str, entries))


def _end_alike(first: Parts, second: Parts) -> bool:
    """Whether two paths are the same, from the end on, as far as both go."""
    n_shared = min(len(first), len(second))
    return n_shared > 0 and first[-n_shared:] == second[-n_shared:]


def _settings(folder: Path, labels: Path) -> Record:
    """The content of data.yaml; {} without one."""
    file = labels if labels.is_file() else _first_file(folder, *YAML_FILES)
    if file is None:
        return {}
    try:
        content = yaml.safe_load(text_of(file))
    except yaml.YAMLError as error:
        raise LabelError(
            f"{file} cannot be read as YAML ({rules.one_line(error)}); write it as Ultralytics' "
            "data.yaml: names, train, val"
        ) from None
    if not isinstance(content, dict):
        raise LabelError(f"{file} must hold names, train and val, as Ultralytics' data.yaml does")
    return content


def _names(folder: Path, settings: Record) -> tuple[str, ...]:
    """The classes in their order by data.yaml or a list of names; () where nothing names them."""
    named = settings.get("names")
    if isinstance(named, dict):
        return _in_order(named)
    if isinstance(named, list):
        return tuple(str(name).strip() for name in named)
    file = _first_file(folder, *NAME_LISTS)
    if file is None:
        return ()
    lines = [line.strip() for line in text_of(file).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _in_order(named: dict[Any, Any]) -> tuple[str, ...]:
    """Names that are given by number: a gap is a class without a name."""
    numbers = [int(key) for key in named if str(key).isdigit()]
    by_number = {int(key): str(name).strip() for key, name in named.items() if str(key).isdigit()}
    return tuple(by_number.get(n, f"class_{n}") for n in range(max(numbers, default=-1) + 1))


def _first_file(folder: Path, *file_names: str) -> Path | None:
    """The first of these files (or patterns) in a folder, or in one below it."""
    for pattern in ("{}", "*/{}"):
        for name in file_names:
            file = next(iter(sorted(folder.glob(pattern.format(name)))), None)
            if file is not None:
                return file
    return None


def _label_files(folder: Path) -> list[Path]:
    """The text files below a folder that may hold boxes."""
    return [file for file in sorted(folder.rglob("*.txt")) if _may_hold_boxes(file, folder)]


def _may_hold_boxes(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    is_hidden = any(part.startswith(".") for part in parts)
    if is_hidden or system_files.refusal(parts[:-1], parts[-1]):
        return False
    stem = file.stem.lower()
    # Lists of photos lie at the top: a photo may be called test.jpg.
    is_list = file.parent == folder and bool(folder_words.split_of(stem))
    return not is_list and stem.split(".")[0] not in OTHER_TEXTS


def _identity(parts: Sequence[str]) -> Parts:
    """The parts of a photo's or its labels' path that both share: folders that name, and the stem."""
    return (*naming_folders(parts[:-1]), PurePosixPath(parts[-1]).stem)
