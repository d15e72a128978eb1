"""Boxes in COCO's JSON, as CVAT, Roboflow, Label Studio and others export them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from dishvl_lib.core import folder_words
from dishvl_lib.core.types import Record, Records
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
    json_of,
)
from dishvl_lib.detection.frame_files import parts_of

INSTANCES = "instances_"  # how the files that hold boxes begin, beside captions and key points
DEEPEST = 2  # folders below the given one that are looked into


def files_of(labels: Path) -> list[Path]:
    """The COCO files that a path means: itself, or those in a folder; [] where there are none."""
    if labels.is_file():
        return [labels] if labels.suffix.lower() == ".json" else []
    files: list[Path] = []
    for depth in range(DEEPEST + 1):
        pattern = "/".join(["*"] * depth + ["*.json"])
        files += sorted(labels.glob(pattern))
    instances = [file for file in files if file.name.startswith(INSTANCES)]
    return instances or [file for file in files if _has_images(file)]


def read(labels: Path, files: Sequence[Path]) -> DrawnLabels:
    """Everything that COCO files say. `labels`: the path that they were found by, `files_of`.

    Boxes come from `bbox` (x, y, width, height in pixels), or from polygons where there is none. A
    split is the word in the file's name or folder: instances_train.json, valid/. Raises
    `LabelError` for a file that is not JSON, or holds no images or no categories.
    """
    drawn = DrawnLabels(())
    names: dict[str, None] = {}
    for file in files:
        below = file.relative_to(labels).parts if labels.is_dir() else (file.name,)
        one = _CocoFile(file, below)
        drawn.frames += one.frames()
        drawn.left_out += one.left_out
        names.update(dict.fromkeys(one.names.values()))
    drawn.names = tuple(names)
    return drawn


class _CocoFile:
    """One file: its content, and what is left out of it."""

    def __init__(self, file: Path, below: Parts):
        self.file = file
        self.below = below
        self.subset = file.stem.removeprefix(INSTANCES)
        self.content = json_of(file)
        self.left_out: list[LeftOut] = []
        self.images = self._list("images")
        self.names = self._names()
        self.split = self._split()

    def frames(self) -> list[DrawnFrame]:
        """The photos with their boxes."""
        frames: dict[str, DrawnFrame] = {}
        for number, image in enumerate(self.images, start=1):
            frame = self._frame(image)
            if frame is None:
                self._leave_out("no file name", f"entry {number} of images names no file")
            else:
                frames[str(image.get("id"))] = frame
        for number, annotation in enumerate(self._list("annotations"), start=1):
            where = f"annotation {annotation.get('id', number)}"
            frame = frames.get(str(annotation.get("image_id")))
            if frame is None:
                detail = f"{where} has an image_id that no image has; export the labels again"
                self._leave_out("boxes without a photo", detail)
            else:
                self._add(frame, annotation, where)
        return list(frames.values())

    def _list(self, key: str) -> Records:
        entries = self.content.get(key, [])
        is_list = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        if not is_list or (key == "images" and not entries):
            raise LabelError(
                f"{self.file} holds no COCO labels: its {key} must be a list of objects; export "
                "the labels as COCO"
            )
        return entries

    def _names(self) -> dict[str, str]:
        """The name of a class by its id, as text."""
        categories = self._list("categories")
        names = {str(entry.get("id")): _clean(entry.get("name")) for entry in categories}
        if not names and self.content.get("annotations"):
            raise LabelError(
                f"{self.file} has no categories, so that nobody knows what its boxes show; export "
                "the labels with their classes"
            )
        nameless = [key for key, name in names.items() if not name]
        if nameless:
            raise LabelError(f"{self.file} has a category without a name (id {nameless[0]})")
        return names

    def _split(self) -> str:
        folders = reversed(self.below[:-1])
        words = (self.subset, *folders)
        splits = filter(None, map(folder_words.split_of, words))
        return next(splits, "")

    def _frame(self, image: Record) -> DrawnFrame | None:
        name = image.get("file_name")
        if not isinstance(name, str) or not parts_of(name):
            return None
        # The folder and the word of the split tell photos of one name apart.
        hints = (*self.below[:-1], self.subset)
        return DrawnFrame(
            parts_of(name), self.file.name, hints=hints, size=_size(image), split=self.split
        )

    def _add(self, frame: DrawnFrame, annotation: Record, where: str) -> None:
        described = f"{where} of {self.file.name}"
        label = self.names.get(str(annotation.get("category_id")), "")
        corners = _corners(annotation)
        if not label:
            detail = f"{described} has a category_id that the file's categories do not name"
            frame.faults.append(Fault("class beyond the names", detail))
        elif annotation.get("iscrowd"):
            detail = f"{described} is marked iscrowd: a box around several things"
            frame.faults.append(Fault("crowd", detail))
        elif corners is None:
            detail = f"{described} has no bbox of four numbers; draw the box again"
            frame.faults.append(Fault("no box", detail))
        else:
            frame.boxes.append(DrawnBox(corners, label, described))

    def _leave_out(self, reason: str, detail: str) -> None:
        self.left_out.append(LeftOut(self.file.name, reason, detail))


def _has_images(file: Path) -> bool:
    """Whether a JSON file looks like COCO's."""
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def _clean(name: Any) -> str:
    return "" if name is None else str(name).strip()


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) as stated; None where they are missing, 0 or no numbers."""
    width = image.get("width")
    height = image.get("height")
    if _is_number(width) and _is_number(height) and min(width, height) >= 1:
        return int(width), int(height)
    return None


def _corners(annotation: Mapping[str, Any]) -> Corners | None:
    """x1, y1, x2, y2 of the bbox, or around the polygons; None where there is neither."""
    bbox = annotation.get("bbox")
    if isinstance(bbox, list) and len(bbox) == 4 and all(map(_is_number, bbox)):
        x, y, width, height = map(float, bbox)
        return x, y, x + width, y + height
    points = _polygon_values(annotation.get("segmentation"))
    return around(points) if points else None


def _polygon_values(segmentation: Any) -> list[float]:
    """x, y, x, y, ... of all polygons of an annotation; [] where it has none."""
    values: list[float] = []
    polygons = segmentation if isinstance(segmentation, list) else []
    for polygon in polygons:
        is_whole = isinstance(polygon, list) and len(polygon) % 2 == 0
        if is_whole and all(map(_is_number, polygon)):
            values += map(float, polygon)
    return values


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
