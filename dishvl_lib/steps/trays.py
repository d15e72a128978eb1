"""Stage 00: photos of whole trays into crops of single dishes, and the detector that finds them."""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.annotation import scan
from dishvl_lib.annotation.layout import PhotoFile
from dishvl_lib.core import artefacts, images, names, paths, photo_files, records
from dishvl_lib.core.given_tables import MOST_SHOWN
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.rules import listed
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.demo import builtin
from dishvl_lib.detection import cropping, frames, labels, matching, metrics
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.detector import Detector
from dishvl_lib.detection.labels import LabelledFrame, LeftOut
from dishvl_lib.display import tray_sheet
from dishvl_lib.display.marked_photo import Mark
from dishvl_lib.display.sheet import Picture

DISH = "dish"  # the one class of a detector that is trained here: what it is, the recogniser says
TRUTH = "truth"
DETECTED = "detector"
UNLABELLED = "unlabelled.csv"
REJECTED = "rejected.csv"
DETECTOR_FILE = "detector/detector.onnx"
# Labels that say what a dish lies in, not which one it is.
VESSELS = frozenset(
    "plate bowl cup tray saucer container compartment 盘 碗 杯 碟 盘子 碗碟 餐盘 餐碗 托盘".split()
)
LEAST_SCORE = 0.01
SHOWN = 3  # of the best and of the worst frames


class NoTraysError(ValueError):
    """A folder of trays that gives no crop; the message says what is missing."""


class Trays(NamedTuple):
    """Photos of trays below `root` (FRAME_COLUMNS), people's boxes on them (BOX_COLUMNS) as labels
    give them, and what was left out.
    """

    root: Path
    frames: pd.DataFrame
    truth: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def has_labels(self) -> bool:
        return bool((self.frames.n_boxes >= 0).any())

    @property
    def judged(self) -> pd.DataFrame:
        """The labelled frames that no detector of ours was trained on."""
        return self.frames[self.frames.split.isin(("validation", "test"))]


class Cropped(NamedTuple):
    """CROP_COLUMNS of all crops; those of a dish and those without a name; what was left out."""

    crops: pd.DataFrame
    of_dishes: pd.DataFrame
    unlabelled: pd.DataFrame
    rejected: pd.DataFrame


def read_frames(stage: Stage) -> Trays:
    """Photos of trays with the labels that are given; draws the demo's when asked for."""
    root, given = builtin.trays(stage.params["trays_root"], stage.params["tray_labels"])
    files = (artefacts.FRAMES, "labelled.parquet", "rejected_frames.csv")
    dealt, truth, rejected = stage.make(files, _read_frames, stage, root, given)
    trays = Trays(root, dealt, truth, rejected)
    if not trays.has_labels:
        said = "without labels: the detector's boxes are cropped"
    else:
        said = f"{len(truth)} boxes of {truth.label.nunique()} labels; {_by_split(dealt)}"
    print(f"{len(dealt)} of {len(dealt) + len(rejected)} photos are usable frames, {said}")
    return trays


def _by_split(dealt: pd.DataFrame) -> str:
    counts = dealt.split.value_counts()
    return ", ".join(f"{split} {counts.get(split, 0)} frames" for split in artefacts.SPLITS)


def _read_frames(
    stage: Stage, root: Path, given: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    read = None
    if given is not None:
        options = stage.only("boxes_follow_exif")
        read = labels.read(given, root, **options)
        for sentence in read.notes:
            stage.note(sentence)
    labelled = {frame.path: frame for frame in read.frames} if read else {}
    left_out = list(read.left_out) if read else []
    files = [root / path for path in labelled] if read else photo_files.below(root)
    if not files:
        raise NoTraysError(f"trays_root {root} holds no photo of a tray")
    photos = [PhotoFile(file, "") for file in files]
    whole, bad = scan.examine(photos, root, os.cpu_count() or 1, paths.cache("scan"))
    rows = [_frame(photo, looked, root, labelled) for photo, looked in whole]
    found = pd.DataFrame(rows).sort_values("path", ignore_index=True)
    is_copy = found.sha256.duplicated()
    for copy in found[is_copy].itertuples():
        first = found.path[found.sha256 == copy.sha256].iloc[0]
        left_out.append(LeftOut(copy.path, "copy", f"the same bytes as {first}"))
    found = found[~is_copy].reset_index(drop=True)
    shares = stage.only("test_share", "validation_share", "seed")
    found["split"] = frames.dealt(found, **shares) if read else ""
    truth = _boxes(found, labelled)
    rejected = pd.DataFrame([*left_out, *bad], columns=list(artefacts.LEFT_OUT_COLUMNS))
    return found[list(artefacts.FRAME_COLUMNS)], truth, rejected


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
        "n_boxes": len(known.labels) if known else -1,
    }


def _boxes(found: pd.DataFrame, labelled: dict[str, LabelledFrame]) -> pd.DataFrame:
    """BOX_COLUMNS of the labels."""
    rows: Records = []
    for frame in found.itertuples():
        known = labelled.get(frame.path)
        if known is not None:
            rows += _box_rows(frame.frame_id, TRUTH, known.boxes, [1.0] * len(known.labels), known)
    return pd.DataFrame(rows, columns=list(artefacts.BOX_COLUMNS))


def _box_rows(frame_id: str, source: str, boxes, scores, of: LabelledFrame | Detections) -> Records:
    rows = []
    for box, score, label in zip(boxes, scores, of.labels, strict=True):
        corners = dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
        row = {"frame_id": frame_id, "source": source, **corners}
        rows.append({**row, "score": float(score), "label": label})
    return rows


def detector_of(stage: Stage, trays: Trays) -> Detector:
    """The detector that `detector` names, or one that is trained on the labels; kept as
    detector/detector.onnx.
    """
    stage.make_file(DETECTOR_FILE, _write_detector, stage=stage, trays=trays)
    detector = _opened(stage, stage.params["detection_threshold"] or None)
    print(f"detector: {', '.join(detector.names)}, boxes from a score of {detector.threshold:g} on")
    return detector


def _opened(stage: Stage, threshold: float | None) -> Detector:
    file = stage.path(DETECTOR_FILE)
    if not stage.params["detector"]:
        return Detector.load(file, threshold=threshold)
    layout = stage.params["detector_layout"]
    keep_labels = stage.params["keep_labels"]
    return Detector.load(file, layout=layout, keep_labels=keep_labels, threshold=threshold)


def _write_detector(file: Path, *, stage: Stage, trays: Trays) -> None:
    given = stage.named_file("detector")
    file.parent.mkdir(exist_ok=True)
    if given is not None:
        with records.atomic_path(file) as temporary:
            shutil.copyfile(given, temporary)
        return
    from dishvl_lib.detection import training

    settings = training.TrainingSettings(
        epochs=stage.params["detector_epochs"],
        size=stage.params["detector_size"],
        seed=stage.params["seed"],
        start=builtin.detector_start(stage.params["detector_start"]),
        crop_margin=stage.params["crop_margin"],
    )
    training.train(_labelled(trays), trays.root, file.parent, settings)


def _labelled(trays: Trays) -> list[LabelledFrame]:
    """The labelled frames with their splits, for a detector of one class."""
    boxes_of = {frame_id: rows for frame_id, rows in trays.truth.groupby("frame_id", sort=False)}
    frames_of_dishes = []
    for frame in trays.frames.itertuples():
        rows = boxes_of.get(frame.frame_id, trays.truth.iloc[:0])
        boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy("float32").reshape(-1, 4)
        frames_of_dishes.append(
            LabelledFrame(
                path=frame.path,
                width=frame.width,
                height=frame.height,
                boxes=boxes,
                labels=(DISH,) * len(boxes),
                split=frame.split,
            )
        )
    return frames_of_dishes


def find_dishes(stage: Stage, detector: Detector, trays: Trays) -> pd.DataFrame:
    """boxes.parquet: people's boxes, and the detector's on the frames that are judged or, without
    labels, on all.
    """
    frames_looked_at = trays.judged if trays.has_labels else trays.frames
    return stage.make(artefacts.BOXES, _found, detector, frames_looked_at, trays)


def _found(detector: Detector, looked_at: pd.DataFrame, trays: Trays) -> pd.DataFrame:
    rows: Records = []
    with Progress("frames looked at", len(looked_at), "frames") as progress:
        for frame in looked_at.itertuples():
            found = detector.detect(trays.root / frame.path)
            rows += _box_rows(frame.frame_id, DETECTED, found.boxes, found.scores, found)
            progress.advance()
    detected = pd.DataFrame(rows, columns=list(artefacts.BOX_COLUMNS))
    return pd.concat([trays.truth, detected], ignore_index=True)


def measure(stage: Stage, detector: Detector, trays: Trays) -> Record:
    """metrics.json: how well the detector finds the boxes of the frames that are judged; {} without
    labels.
    """
    return stage.make("metrics.json", _measured, stage, detector, trays)


def _measured(stage: Stage, detector: Detector, trays: Trays) -> Record:
    # Average precision asks for all that is found, at any score.
    everything = _opened(stage, LEAST_SCORE)
    measured: Record = {}
    for split in ("validation", "test"):
        judged = []
        for frame in trays.frames[trays.frames.split == split].itertuples():
            truth, _ = _pair(frame, trays.truth)
            found = _as_dishes(everything.detect(trays.root / frame.path))
            judged.append(metrics.Judged(found, truth))
        if judged:
            measured[split] = metrics.summary(judged, detector.threshold)
    return measured


def _as_dishes(found: Detections) -> Detections:
    return Detections(found.boxes, found.scores, (DISH,) * len(found))


def _pair(frame, boxes: pd.DataFrame) -> tuple[Detections, Detections]:
    """(people's boxes, the detector's) of a frame, as dishes whatever they are called."""
    of_frame = boxes[boxes.frame_id == frame.frame_id]
    return _as_detections(of_frame, TRUTH), _as_detections(of_frame, DETECTED)


def _as_detections(of_frame: pd.DataFrame, source: str) -> Detections:
    rows = of_frame[of_frame.source == source]
    corners = rows[["x1", "y1", "x2", "y2"]].to_numpy("float32").reshape(-1, 4)
    return Detections.ranked(corners, rows.score.to_numpy("float32"), (DISH,) * len(rows))


def as_rows(measured: Record) -> Records:
    """The measures of each split, a row each."""
    rows = []
    for split, numbers in measured.items():
        row: Record = {"split": split}
        for name, number in numbers.items():
            if isinstance(number, dict):
                low, high = number["ci95"]
                row |= {name: number["value"], f"{name}_ci_low": low, f"{name}_ci_high": high}
            else:
                row[name] = number
        rows.append(row)
    return rows


def described(detector: Detector) -> Record:
    """For the success marker: what finds dishes on trays, for whoever uses it."""
    return {
        "file": DETECTOR_FILE,
        "sha256": detector.sha256,
        "threshold": detector.threshold,
        "names": list(detector.names),
    }


def crop(stage: Stage, trays: Trays, boxes: pd.DataFrame) -> Cropped:
    """crops/, crops.parquet, crops.csv (what 01 takes), unlabelled.csv and rejected.csv."""
    files = (artefacts.CROPS, artefacts.CROPS_LIST, UNLABELLED, REJECTED)
    made = stage.make(files, _cropped, stage, trays, boxes)
    cropped = Cropped(*made)
    print(
        f"{len(cropped.crops)} crops: {len(cropped.of_dishes)} of "
        f"{cropped.of_dishes.label.nunique()} dishes (crops.csv), {len(cropped.unlabelled)} without "
        f"a dish's name ({UNLABELLED}); {len(cropped.rejected)} left out ({REJECTED})"
    )
    return cropped


def _cropped(
    stage: Stage, trays: Trays, boxes: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    left_out: list[tuple[str, str, str]] = []
    chosen = boxes[boxes.source == TRUTH]
    cropped_frames = trays.frames
    if not trays.has_labels:
        chosen, cropped_frames, left_out = _by_folder(trays, boxes)
    margin = stage.params["crop_margin"]
    made, refused = cropping.make(cropped_frames, chosen, trays.root, stage.folder, margin)
    is_named = made.label.map(_names_a_dish).astype(bool)
    columns = list(artefacts.CROPS_LIST_COLUMNS)
    parts = pd.DataFrame([*left_out, *refused], columns=list(artefacts.LEFT_OUT_COLUMNS))
    rejected = pd.concat([trays.rejected, parts], ignore_index=True)
    unlabelled = made.loc[~is_named, ["path", "frame_id"]]
    return made, made.loc[is_named, columns], unlabelled, rejected


def _names_a_dish(label: str) -> bool:
    return not names.says_nothing(label) and names.clean(label).casefold() not in VESSELS


def _by_folder(
    trays: Trays, boxes: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str, str]]]:
    """(boxes to crop, their frames, frames left out) of photos without labels. One that lies in a
    folder is a dish's, which must be the only one on it; what lies in none has no name.
    """
    found = boxes[boxes.source == DETECTED]
    n_found = found.frame_id.value_counts()
    left_out = []
    kept = []
    folder_of = {}
    for frame in trays.frames.itertuples():
        folder = PurePosixPath(frame.path).parts[:-1]
        n_dishes = int(n_found.get(frame.frame_id, 0))
        if n_dishes == 0:
            left_out.append((frame.path, "no dish found", "no score reaches the threshold"))
        elif folder and n_dishes > 1:
            detail = f"{n_dishes} dishes, of which {folder[-1]} may be any"
            left_out.append((frame.path, "several dishes", detail))
        else:
            kept.append(frame.Index)
            folder_of[frame.frame_id] = folder[-1] if folder else ""
    cropped_frames = trays.frames.loc[kept]
    chosen = found[found.frame_id.isin(folder_of)]
    return chosen.assign(label=chosen.frame_id.map(folder_of)), cropped_frames, left_out


def best_and_worst(stage: Stage, trays: Trays, boxes: pd.DataFrame) -> Picture:
    """The judged frames on which the detector errs most and least (without labels, those with its
    least and its most certain boxes), with its boxes.
    """
    looked_at = trays.judged if trays.has_labels else trays.frames
    ranked = sorted(looked_at.itertuples(), key=lambda frame: _certainty(frame, boxes, trays))
    worst = ranked[:SHOWN]
    best = ranked[len(worst) :][-SHOWN:]
    shown = [_shown(frame, boxes, trays) for frame in [*worst, *best]]
    return tray_sheet.tray_sheet(shown, **stage.only("language"))


def _certainty(frame, boxes: pd.DataFrame, trays: Trays) -> tuple[float, float, str]:
    """A key by which frames stand from the worst to the best."""
    truth, found = _pair(frame, boxes)
    least_score = float(found.scores.min()) if len(found) else 0.0
    wrong = matching.wrong_boxes(truth, found) if trays.has_labels else 0
    return -float(wrong), least_score, frame.frame_id


def _shown(frame, boxes: pd.DataFrame, trays: Trays) -> tray_sheet.Tray:
    truth, found = _pair(frame, boxes)
    photo = images.load_rgb(trays.root / frame.path)
    marks = [Mark(corners(box), "", "right") for box in truth.boxes]
    for box, score in zip(found.boxes, found.scores, strict=True):
        marks.append(Mark(corners(box), f"{score:.2f}"))
    n_labelled = len(truth) if trays.has_labels else None
    return tray_sheet.Tray(photo, marks, frame.path, len(found), n_labelled)


def corners(box: np.ndarray) -> tuple[float, float, float, float]:
    """A box (4,) as numbers of Python."""
    x1, y1, x2, y2 = map(float, box)
    return x1, y1, x2, y2


def problems(trays: Trays, cropped: Cropped) -> list[str]:
    """What keeps the crops from being used, a sentence each; [] when nothing does."""
    sentences = []
    splits = cropped.crops.groupby("frame_id").split.nunique()
    torn = list(splits[splits > 1].index)
    if torn:
        sentences.append(f"frames lie in two splits: {listed(torn[:MOST_SHOWN])}; report this")
    if cropped.crops.empty:
        sentences.append(
            "there is no crop: lower detection_threshold, or look at rejected.csv for what is wrong "
            "with the labels"
        )
    return sentences


def notes(stage: Stage, trays: Trays, cropped: Cropped) -> None:
    """Note what a person should know of the crops."""
    if stage.done:
        return
    trained = set(cropped.of_dishes.label[cropped.of_dishes.split == "train"])
    untrained = sorted(set(cropped.of_dishes.label) - trained)
    if trays.has_labels and untrained:
        stage.note(
            f"{len(untrained)} dishes lie on no training frame and cannot be learned: "
            f"{listed(untrained[:MOST_SHOWN])}"
        )
    if len(cropped.unlabelled):
        stage.note(
            f"{len(cropped.unlabelled)} crops have no dish's name ({UNLABELLED}); stage 01 does "
            "not take them"
        )


def counts(trays: Trays, cropped: Cropped) -> dict[str, int]:
    """For the success marker: photos = ok + skipped + failed."""
    n_frames = len(trays.frames)
    left_out = len(trays.rejected)
    return {
        "files": n_frames + left_out,
        "ok": n_frames,
        "skipped": left_out,
        "failed": 0,
        "crops": len(cropped.crops),
        "dishes": cropped.of_dishes.label.nunique(),
    }
