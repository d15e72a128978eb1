"""Photos of whole trays as stage 00 takes them: which can be used, people's boxes on them, splits."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import scan
from dishvl_lib.annotation.layout import UNREADABLE_NAME, PhotoFile
from dishvl_lib.core import artefacts, cores, file_names, images, paths, photo_files
from dishvl_lib.core.rules import listed
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.detection import frames, labels
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.labels import LabelledFrame, LeftOut

DISH = "dish"  # the one class of a detector that is trained here: what it is, the recogniser says
TRUTH = "truth"  # whose boxes they are, in boxes.parquet
DETECTED = "detector"
BACKGROUND = frozenset(("background", "背景"))
# Beyond it photos are decoded at half their sides, where boxes in their pixels lie elsewhere.
MOST_PIXELS = images.FULL_DECODE_PIXELS


class NoTraysError(ValueError):
    """A folder of trays that gives no crop; the message says what is missing."""


class Trays(NamedTuple):
    """Photos of trays below `root` (FRAME_COLUMNS), people's boxes on them (BOX_COLUMNS) as labels
    give them, what was left out (photos, and single boxes), and what is to be said of the labels.
    """

    root: Path
    frames: pd.DataFrame
    truth: pd.DataFrame
    rejected: pd.DataFrame
    notes: list[str]

    @property
    def n_left_out(self) -> int:
        """How many files were left out; a photo that only lacks a box was not."""
        return len(set(self.rejected.path) - set(self.frames.path))

    @property
    def has_labels(self) -> bool:
        return len(self.truth) > 0 or bool((self.frames.n_boxes >= 0).any())

    @property
    def judged(self) -> pd.DataFrame:
        """The frames with all their boxes that no detector of ours was trained on."""
        is_held_out = self.frames.split.isin(("validation", "test"))
        return self.frames[is_held_out & (self.frames.n_boxes >= 0)]


def read(
    stage: Stage, root: Path, given: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    read = None if given is None else _read_labels(stage, root, given)
    labelled = {frame.path: frame for frame in read.frames} if read else {}
    left_out = list(read.left_out) if read else []
    if read:
        files = [root / path for path in labelled]
    else:
        files = photo_files.below(root)
        left_out = _links_below(root)
    whole, unusable = _examined(files, root)
    left_out += unusable
    if not whole:
        raise NoTraysError(_without_frames(root, left_out))
    rows = [_frame(photo, looked, root, labelled) for photo, looked in whole]
    found, copies = _without_copies(pd.DataFrame(rows).sort_values("path", ignore_index=True))
    said: list[str] = []
    if read:
        found, moved = _dealt(stage, found)
        said = [*read.notes, *moved]
    truth = _boxes(found, labelled)
    rejected = _left_out_rows([*left_out, *copies])
    return found[list(artefacts.FRAME_COLUMNS)], truth, rejected, said


def _examined(
    files: Sequence[Path], root: Path
) -> tuple[list[tuple[PhotoFile, Record]], list[LeftOut]]:
    """([(photo, what `scan` has seen of it)], photos that cannot be used)."""
    readable, left_out = _with_readable_names(files, root)
    photos = [PhotoFile(file, "") for file in readable]
    whole, bad = scan.examine(photos, root, cores.available(), paths.cache("scan"), MOST_PIXELS)
    return whole, left_out + [LeftOut(*row) for row in bad]


def _dealt(stage: Stage, found: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """(frames with their splits, what is said of those that are not kept out of training as the
    labels say).
    """
    shares = stage.only("test_share", "validation_share", "seed")
    split = frames.dealt(found, **shares)
    was_held_out = found["split"].isin(("validation", "test"))
    moved = found.path[was_held_out & found["split"].ne(split)].tolist()
    said = []
    if moved:
        said.append(
            f"{len(moved)} frames show the same tray as one of another split that the labels give, "
            f"and went there: {listed(moved)}"
        )
    return found.assign(split=split), said


def _read_labels(stage: Stage, root: Path, given: Path) -> labels.Labels:
    """The labels, with the boxes of dishes alone. Raises `NoTraysError` where nothing is to be
    learned from them: that is known before photos are looked at and a detector is trained.
    """
    read = labels.read(given, root, **stage.only("boxes_follow_exif"))
    of_dishes = _without_background(read)
    if any(frame.labels and frame.is_whole for frame in of_dishes.frames):
        return of_dishes
    faults = [row for row in read.left_out if row.reason != labels.NO_LABELS]
    if not faults:
        raise NoTraysError(
            f"tray_labels {given} has no box on any of its {len(read.frames)} photos; draw a box "
            "around each dish, or empty tray_labels and name a detector"
        )
    first = faults[0]
    raise NoTraysError(
        f"tray_labels {given} gives no photo with all its boxes; the first of {len(faults)} faults "
        f"is {first.path}: {first.reason}, {first.detail}"
    )


def _without_background(read: labels.Labels) -> labels.Labels:
    """The labels without boxes that are called background, as some tools name what is no dish."""
    kept = []
    left_out = list(read.left_out)
    for frame in read.frames:
        is_dish = [label.strip("_ ").casefold() not in BACKGROUND for label in frame.labels]
        n_left_out = is_dish.count(False)
        if n_left_out:
            detail = f"{n_left_out} boxes are called background: no dish lies there"
            left_out.append(LeftOut(frame.path, "background", detail))
        names_left = tuple(itertools.compress(frame.labels, is_dish))
        kept.append(replace(frame, boxes=frame.boxes[np.array(is_dish, bool)], labels=names_left))
    return replace(read, frames=kept, left_out=left_out)


def _without_frames(root: Path, left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return f"trays_root {root} holds no photo of a tray; name the folder of the photos"
    first = left_out[0]
    return (
        f"trays_root {root} holds no photo of a tray that can be used; the first of "
        f"{len(left_out)} left out is {first.path}: {first.reason}, {first.detail}"
    )


def _without_copies(found: pd.DataFrame) -> tuple[pd.DataFrame, list[LeftOut]]:
    """(frames of which each is another photo, the copies)."""
    is_copy = found.sha256.duplicated()
    copies = []
    for copy in found[is_copy].itertuples():
        first = found.path[found.sha256 == copy.sha256].iloc[0]
        copies.append(LeftOut(copy.path, "copy", f"the same bytes as {first}"))
    return found[~is_copy].reset_index(drop=True), copies


def _with_readable_names(files: Sequence[Path], root: Path) -> tuple[list[Path], list[LeftOut]]:
    """(files whose paths can be written down, the others)."""
    readable = []
    left_out = []
    for file in files:
        path = file.relative_to(root).as_posix()
        if file_names.is_writable(path):
            readable.append(file)
        else:
            detail = "its name is not UTF-8 or holds control characters; rename it"
            left_out.append(LeftOut(path, UNREADABLE_NAME, detail))
    return readable, left_out


def _left_out_rows(left_out: Sequence[LeftOut]) -> pd.DataFrame:
    """LEFT_OUT_COLUMNS, which any file's name can stand in."""
    rows = []
    for path, reason, detail in left_out:
        rows.append((file_names.printable(path), reason, file_names.printable(detail)))
    return pd.DataFrame(rows, columns=list(artefacts.LEFT_OUT_COLUMNS))


def _links_below(root: Path) -> list[LeftOut]:
    """The links to folders, which are not followed."""
    links = []
    for directory, folders, _ in os.walk(root):
        for name in sorted(folders):
            folder = Path(directory, name)
            if folder.is_symlink():
                path = folder.relative_to(root).as_posix()
                detail = "links to folders are not followed; name the folder itself in trays_root"
                links.append(LeftOut(path, "link to a folder", detail))
    return links


def _frame(
    photo: PhotoFile, looked: Record, root: Path, labelled: dict[str, LabelledFrame]
) -> Record:
    path = photo.file.relative_to(root).as_posix()
    known = labelled.get(path)
    return {
        "frame_id": artefacts.image_id_of(path),
        "path": path,
        **{key: looked[key] for key in ("width", "height", "sha256", "phash")},
        "split": known.split if known else "",
        "n_boxes": len(known.labels) if known and known.is_whole else -1,
    }


def _boxes(found: pd.DataFrame, labelled: dict[str, LabelledFrame]) -> pd.DataFrame:
    """BOX_COLUMNS of the labels."""
    rows: Records = []
    for frame in found.itertuples():
        known = labelled.get(frame.path)
        if known is not None:
            rows += box_rows(frame.frame_id, TRUTH, known.boxes, [1.0] * len(known.labels), known)
    return pd.DataFrame(rows, columns=list(artefacts.BOX_COLUMNS))


def box_rows(frame_id: str, source: str, boxes, scores, of: LabelledFrame | Detections) -> Records:
    rows = []
    for box, score, label in zip(boxes, scores, of.labels, strict=True):
        corners = dict(zip(artefacts.CORNERS, map(float, box), strict=True))
        row = {"frame_id": frame_id, "source": source, **corners}
        rows.append({**row, "score": float(score), "label": label})
    return rows


def corners_of(rows: pd.DataFrame) -> np.ndarray:
    """(n, 4) float32 of rows with BOX_COLUMNS."""
    return rows[list(artefacts.CORNERS)].to_numpy("float32").reshape(-1, 4)


def detected(of_frame: pd.DataFrame) -> Detections:
    """The detector's boxes among a frame's rows, as dishes whatever they are called."""
    rows = of_frame[of_frame.source == DETECTED]
    return Detections.ranked(corners_of(rows), rows.score.to_numpy("float32"), (DISH,) * len(rows))


def drawn(of_frame: pd.DataFrame) -> Detections:
    """People's boxes among a frame's rows, in their order."""
    return as_drawn(corners_of(of_frame[of_frame.source == TRUTH]))


def as_drawn(boxes: np.ndarray) -> Detections:
    """People's boxes (n, 4), as dishes."""
    n = len(boxes)
    return Detections(boxes.reshape(-1, 4), np.ones(n, np.float32), (DISH,) * n)
