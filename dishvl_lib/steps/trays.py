"""Stage 00: photos of whole trays into crops of single dishes, and the detector that finds them."""

import shutil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from dishvl_lib.core import (
    artefacts,
    images,
    names,
    paths,
    records,
)
from dishvl_lib.core.given_tables import MOST_SHOWN
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.rules import listed
from dishvl_lib.core.stages import Stage
from dishvl_lib.core.types import Record, Records
from dishvl_lib.demo import builtin
from dishvl_lib.detection import cropping, matching, metrics
from dishvl_lib.detection.boxes import Detections
from dishvl_lib.detection.detector import NO_DISH, Detector, DetectorError, short_of
from dishvl_lib.detection.labels import LabelledFrame
from dishvl_lib.display.sheet import Picture
from dishvl_lib.display.trays import Mark, Tray, tray_sheet
from dishvl_lib.steps import tray_frames
from dishvl_lib.steps.tray_frames import DETECTED, DISH, TRUTH, Trays, box_rows

UNLABELLED = "unlabelled.csv"
REJECTED = "rejected.csv"
SEVERAL = "several dishes"  # a reason in rejected.csv
TRAINED_FILE = "detector/metrics.json"  # what a training here writes last
# Labels that say what a dish lies in, not which one it is.
VESSELS = frozenset(
    "plate bowl cup tray saucer container compartment 盘 碗 杯 碟 盘子 碗碟 餐盘 餐碗 托盘".split()
)
LEAST_SCORE = 0.01
LEAST_DISHES = 2  # of a split, for menus
LEAST_RECALL = 0.5  # of a detector of which nothing has to be said
SHOWN = 3  # of the best and of the worst frames


class Cropped(NamedTuple):
    """CROP_COLUMNS of all crops; those of a dish and those without a name; what was left out."""

    crops: pd.DataFrame
    of_dishes: pd.DataFrame
    unlabelled: pd.DataFrame
    rejected: pd.DataFrame


def read_frames(stage: Stage) -> Trays:
    """Photos of trays with the labels that are given; draws the demo's when asked for.

    A detector of one's own is opened and kept first: what is wrong with it is said before thousands
    of photos are looked at.
    """
    if stage.params["detector"]:
        stage.make_file(artefacts.DETECTOR, _keep_given, stage=stage)
    root, given = builtin.trays(stage.params["trays_root"], stage.params["tray_labels"])
    files = (artefacts.FRAMES, "labelled.parquet", "rejected_frames.csv", "label_notes.json")
    trays = Trays(root, *stage.make(files, tray_frames.read, stage, root, given))
    if not trays.has_labels:
        said = "without labels: the detector's boxes are cropped"
    else:
        n_labels = trays.truth.label.nunique()
        said = f"{len(trays.truth)} boxes of {n_labels} labels; {_by_split(trays.frames)}"
    n_files = len(trays.frames) + trays.n_left_out
    print(f"{len(trays.frames)} of {n_files} photos are usable frames, {said}")
    return trays


def _by_split(dealt: pd.DataFrame) -> str:
    counts = dealt.split.value_counts()
    return ", ".join(f"{split} {counts.get(split, 0)} frames" for split in artefacts.SPLITS)


def detector_of(stage: Stage, trays: Trays) -> Detector:
    """The detector that `detector` names, or one that is trained on the labels; kept as
    detector/detector.onnx.
    """
    if not stage.params["detector"]:
        stage.make_file(TRAINED_FILE, _train, stage=stage, trays=trays)
    detector = _opened(stage, stage.path(artefacts.DETECTOR), _threshold(stage))
    classes = listed(detector.keep_labels or detector.names) or "classes without names"
    print(f"detector: {classes}, boxes from a score of {detector.threshold:g} on")
    return detector


def _threshold(stage: Stage) -> float | None:
    """The least score that is asked for; None for the detector's own."""
    return stage.params["detection_threshold"] or None


def _opened(stage: Stage, file: Path, threshold: float | None) -> Detector:
    if not stage.params["detector"]:
        return Detector.load(file, threshold=threshold)
    layout = stage.params["detector_layout"]
    keep_labels = stage.params["keep_labels"]
    return Detector.load(file, layout=layout, keep_labels=keep_labels, threshold=threshold)


def _keep_given(file: Path, *, stage: Stage) -> None:
    """Copy the ONNX file that `detector` names, when it can be used, and as a copy too. Raises
    `DetectorError`.
    """
    detector = _opened(stage, paths.resolve(stage.params["detector"]), None)
    given = detector.file
    margin = stage.params["crop_margin"]
    if detector.is_ours and detector.crop_margin not in (None, margin):
        raise DetectorError(
            f"{given} was made for crops of margin {detector.crop_margin:g}, and crop_margin is "
            f"{margin:g}: in use the two must agree; set crop_margin to {detector.crop_margin:g}, or "
            "name another detector"
        )
    with records.atomic_path(file) as temporary:
        shutil.copyfile(given, temporary)
        try:
            Detector(temporary, stage.params["detector_layout"])
        except DetectorError:
            raise DetectorError(
                f"{given} keeps its weights in another file beside it; write both as one: "
                f"python -c \"import onnx; onnx.save(onnx.load('{given}'), 'detector.onnx')\""
            ) from None


def _train(file: Path, *, stage: Stage, trays: Trays) -> None:
    from dishvl_lib.detection import training

    file.parent.mkdir(exist_ok=True)
    settings = training.TrainingSettings(
        epochs=stage.params["detector_epochs"],
        size=stage.params["detector_size"],
        seed=stage.params["seed"],
        start=builtin.detector_start(stage.params["detector_start"]),
        crop_margin=stage.params["crop_margin"],
    )
    training.train(_labelled(trays), trays.root, file.parent, settings)


def _labelled(trays: Trays) -> list[LabelledFrame]:
    """The frames with all their boxes and splits, for a detector of one class."""
    boxes_of = {frame_id: rows for frame_id, rows in trays.truth.groupby("frame_id", sort=False)}
    frames_of_dishes = []
    for frame in trays.frames[trays.frames.n_boxes >= 0].itertuples():
        rows = boxes_of.get(frame.frame_id, trays.truth.iloc[:0])
        boxes = tray_frames.corners_of(rows)
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
            rows += box_rows(frame.frame_id, DETECTED, found.boxes, found.scores, found)
            progress.advance()
    detected = pd.DataFrame(rows, columns=list(artefacts.BOX_COLUMNS))
    return pd.concat([trays.truth, detected], ignore_index=True)


def measure(stage: Stage, detector: Detector, trays: Trays) -> Record:
    """metrics.json: how well the detector finds the boxes of the frames that are judged; {} without
    labels.
    """
    measured = stage.make("metrics.json", _measured, stage, detector, trays)
    if not stage.done:
        _note_recall(stage, detector, measured)
    return measured


def _note_recall(stage: Stage, detector: Detector, measured: Record) -> None:
    """Note a detector that does not find the dishes."""
    split = "test" if "test" in measured else "validation"
    recall = measured.get(split, {}).get("recall", {"n": 0, "value": 0.0})
    if recall["n"] and recall["value"] < LEAST_RECALL:
        n_found = round(recall["value"] * recall["n"])
        stage.note(
            f"from a score of {detector.threshold:g} on the detector finds {n_found} of the "
            f"{recall['n']} dishes on {split} frames (AP50 {measured[split]['ap50']:.2f} at any "
            "score): lower detection_threshold where AP50 is high; otherwise name another detector, "
            "or label more frames"
        )


def _measured(stage: Stage, detector: Detector, trays: Trays) -> Record:
    # Average precision asks for all that is found, at any score.
    everything = _opened(stage, stage.path(artefacts.DETECTOR), LEAST_SCORE)
    measured: Record = {}
    for split in ("validation", "test"):
        judged = []
        for frame in trays.judged[trays.judged.split == split].itertuples():
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
    return tray_frames.drawn(of_frame), tray_frames.detected(of_frame)


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
        "file": artefacts.DETECTOR,
        "sha256": detector.sha256,
        "threshold": detector.threshold,
        "names": list(detector.names),
    }


def crop(stage: Stage, trays: Trays, boxes: pd.DataFrame, detector: Detector) -> Cropped:
    """crops/, crops.parquet, crops.csv (what 01 takes), unlabelled.csv and rejected.csv."""
    files = (artefacts.CROPS, artefacts.CROPS_LIST, UNLABELLED, REJECTED)
    made = stage.make(files, _cropped, stage, trays, boxes, detector)
    cropped = Cropped(*made)
    print(
        f"{len(cropped.crops)} crops: {len(cropped.of_dishes)} of "
        f"{cropped.of_dishes.label.nunique()} dishes (crops.csv), {len(cropped.unlabelled)} without "
        f"a dish's name ({UNLABELLED}); {len(cropped.rejected)} left out ({REJECTED})"
    )
    return cropped


def _cropped(
    stage: Stage, trays: Trays, boxes: pd.DataFrame, detector: Detector
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    left_out: list[tuple[str, str, str]] = []
    chosen = boxes[boxes.source == TRUTH]
    cropped_frames = trays.frames
    if not trays.has_labels:
        chosen, cropped_frames, left_out = _by_folder(trays, boxes, detector)
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
    trays: Trays, boxes: pd.DataFrame, detector: Detector
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str, str]]]:
    """(boxes to crop, their frames, frames left out) of photos without labels. One that lies in a
    folder with a dish's name must show that dish alone; what lies in none has no name.
    """
    found = boxes[boxes.source == DETECTED]
    n_found = found.frame_id.value_counts()
    left_out = []
    kept = []
    folder_of = {}
    for frame in trays.frames.itertuples():
        folder = _naming_folder(frame.path)
        n_dishes = int(n_found.get(frame.frame_id, 0))
        if n_dishes == 0:
            left_out.append((frame.path, NO_DISH, _best_score(trays, frame, detector)))
        elif folder and n_dishes > 1:
            detail = f"{n_dishes} dishes, of which {folder} may be any"
            left_out.append((frame.path, SEVERAL, detail))
        else:
            kept.append(frame.Index)
            folder_of[frame.frame_id] = folder
    cropped_frames = trays.frames.loc[kept]
    chosen = found[found.frame_id.isin(folder_of)]
    return chosen.assign(label=chosen.frame_id.map(folder_of)), cropped_frames, left_out


def _naming_folder(path: str) -> str:
    """The closest folder above a photo that may be called like a dish; '' for none: those of days,
    cameras or splits are not.
    """
    folders = PurePosixPath(path).parts[:-1]
    return next(filter(_names_a_dish, reversed(folders)), "")


def _best_score(trays: Trays, frame, detector: Detector) -> str:
    best = detector.best_score(images.load_rgb(trays.root / frame.path))
    return short_of(best, detector.threshold)


def best_and_worst(stage: Stage, trays: Trays, boxes: pd.DataFrame) -> Picture:
    """The judged frames on which the detector errs most and least (without labels, those with its
    least and its most certain boxes), with its boxes.
    """
    looked_at = trays.judged if trays.has_labels else trays.frames
    # The photos of a finished stage may be elsewhere now.
    there = [frame for frame in looked_at.itertuples() if (trays.root / frame.path).is_file()]
    ranked = sorted(there, key=lambda frame: _certainty(frame, boxes, trays))
    worst = ranked[:SHOWN]
    best = ranked[len(worst) :][-SHOWN:]
    shown = [_shown(frame, boxes, trays) for frame in [*worst, *best]]
    return tray_sheet(shown, **stage.only("language"))


def _certainty(frame, boxes: pd.DataFrame, trays: Trays) -> tuple[float, float, str]:
    """A key by which frames stand from the worst to the best."""
    truth, found = _pair(frame, boxes)
    least_score = float(found.scores.min()) if len(found) else 0.0
    wrong = matching.wrong_boxes(truth, found) if trays.has_labels else 0
    return -float(wrong), least_score, frame.frame_id


def _shown(frame, boxes: pd.DataFrame, trays: Trays) -> Tray:
    truth, found = _pair(frame, boxes)
    photo = images.load_rgb(trays.root / frame.path)
    marks = [Mark(corners(box), "", "right") for box in truth.boxes]
    for box, score in zip(found.boxes, found.scores, strict=True):
        marks.append(Mark(corners(box), f"{score:.2f}"))
    n_labelled = len(truth) if trays.has_labels else None
    return Tray(photo, marks, frame.path, len(found), n_labelled)


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
        sentences.append(_without_crops(cropped.rejected))
    return sentences


def _without_crops(rejected: pd.DataFrame) -> str:
    """Why there is no crop, and what to do."""
    commonest = rejected.reason.value_counts().index[0]
    first = rejected[rejected.reason == commonest].iloc[0]
    remedy = "mend these boxes"
    if commonest == NO_DISH:
        remedy = "lower detection_threshold, or name another detector"
    elif commonest == SEVERAL:
        remedy = (
            "a folder can only name the one dish on its photos: label what lies on whole trays "
            "(tray_labels), or put the photos into trays_root without folders"
        )
    return (
        f"there is no crop: {_by_reason(rejected)} ({REJECTED}), such as {first.path}: "
        f"{first.detail}; {remedy}"
    )


def notes(stage: Stage, trays: Trays, cropped: Cropped) -> None:
    """Note what a person should know of the crops."""
    if stage.done:
        return
    for sentence in trays.notes:
        stage.note(sentence)
    _note_left_out(stage, trays, cropped)
    _note_splits(stage, trays, cropped)
    if cropped.of_dishes.empty:
        stage.note(
            f"no crop has a dish's name, and stage 01 has none to take ({UNLABELLED}): name the "
            "dishes in tray_labels, or sort crops/ into one folder per dish and name that folder in "
            "image_root, with trays_root empty"
        )
    elif len(cropped.unlabelled):
        stage.note(
            f"{len(cropped.unlabelled)} crops have no dish's name ({UNLABELLED}); stage 01 does "
            "not take them"
        )


def _note_left_out(stage: Stage, trays: Trays, cropped: Cropped) -> None:
    """Note files that are no frames, and frames of single dishes that give no crop."""
    no_frame = trays.rejected[~trays.rejected.path.isin(trays.frames.path)]
    if len(no_frame):
        counted = _by_reason(no_frame)
        stage.note(f"{trays.n_left_out} photos or labels are left out: {counted} ({REJECTED})")
    without_crop = cropped.rejected[cropped.rejected.reason.isin([NO_DISH, SEVERAL])]
    if len(without_crop):
        share = f"{len(without_crop)} of {len(trays.frames)}"
        stage.note(f"{share} photos give no crop: {_by_reason(without_crop)} ({REJECTED})")


def _by_reason(rejected: pd.DataFrame) -> str:
    counts = rejected.reason.value_counts()
    return listed([f"{reason} {n}" for reason, n in counts.items()])


def _note_splits(stage: Stage, trays: Trays, cropped: Cropped) -> None:
    """Note what is not learned or judged for the frames that it lies on."""
    if not trays.has_labels:
        return
    trained = set(cropped.of_dishes.label[cropped.of_dishes.split == "train"])
    untrained = sorted(set(cropped.of_dishes.label) - trained)
    if untrained:
        stage.note(
            f"{len(untrained)} dishes lie on no training frame and cannot be learned: "
            f"{listed(untrained)}"
        )
    n_parted = int((trays.frames.n_boxes < 0).sum())
    if n_parted:
        stage.note(
            f"{n_parted} frames have boxes that were left out ({REJECTED}): their other boxes are "
            "cropped, and neither does a detector learn from these frames nor are they judged"
        )
    for split in ("validation", "test"):
        n_dishes = cropped.of_dishes.label[cropped.of_dishes.split == split].nunique()
        if n_dishes < LEAST_DISHES:
            stage.note(
                f"the {split} frames hold {n_dishes} dishes with names, and stage 03 needs "
                f"{LEAST_DISHES} for its menus: label more frames, or raise {split}_share"
            )


def counts(trays: Trays, cropped: Cropped) -> dict[str, int]:
    """For the success marker: photos = ok + skipped + failed."""
    n_frames = len(trays.frames)
    return {
        "files": n_frames + trays.n_left_out,
        "ok": n_frames,
        "skipped": trays.n_left_out,
        "failed": 0,
        "crops": len(cropped.crops),
        "dishes": cropped.of_dishes.label.nunique(),
    }
