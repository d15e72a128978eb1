"""`dishvl detect-train LABELS FRAMES OUT`: a detector of one's own, from photos of trays with boxes
around their dishes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dishvl_lib.core.types import Record
from dishvl_lib.demo import builtin

NONE = "none"


@dataclass(frozen=True)
class Request:
    """labels: a COCO file, or a folder in COCO's or YOLO's form. frames: the folder of photos. out:
    the detector's folder. start: `builtin`, NONE or a file of weights. names: the classes; one class
    takes every box. redo: move aside what is there.
    """

    labels: Path
    frames: Path
    out: Path
    names: Sequence[str]
    epochs: int
    size: int
    seed: int
    start: str
    crop_margin: float | None
    boxes_follow_exif: bool
    redo: bool


def run(request: Request) -> None:
    """Trains, goes on, or says that the detector is there; prints how well it finds dishes.

    Raises `LabelError`, `FramesError` or `TrainingError` for what cannot be trained on.
    """
    from dishvl_lib.detection import labels, training

    read = labels.read(request.labels, request.frames, boxes_follow_exif=request.boxes_follow_exif)
    for note in read.notes:
        print(note)
    for left_out in read.left_out:
        print(f"left out: {left_out.path}, {left_out.reason}: {left_out.detail}")
    # A frame that lacks a box would teach that no dish lies there.
    frames = [frame for frame in read.frames if frame.is_whole]
    if len(frames) < len(read.frames):
        print(f"{len(read.frames) - len(frames)} photos that lack such a box are not learned from")
    settings = training.TrainingSettings(
        names=tuple(request.names),
        epochs=request.epochs,
        size=request.size,
        seed=request.seed,
        start=start_file(request.start),
        crop_margin=request.crop_margin,
    )
    if request.redo and request.out.exists():
        print(f"moved aside: {_moved_aside(request.out)}")
    was_finished = training.is_finished(request.out)
    trained = training.train(frames, request.frames, request.out, settings)
    if was_finished:
        print(f"{request.out} is finished already; nothing was trained (--redo trains again)")
    print(summary(trained.metrics))
    print(f"detector: {trained.file}")


def start_file(start: str) -> Path | None:
    """The weights that `builtin`, `none` or the path of a file stands for. Raises ValueError for a
    file that is not there, and `StartError` where the shipped one is damaged.
    """
    if start in (NONE, builtin.BUILTIN):
        return builtin.detector_start(start.replace(NONE, ""))
    file = Path(start)
    if not file.is_file():
        raise ValueError(
            f"--start {start}: no such file; give {builtin.BUILTIN}, {NONE} or weights"
        )
    return file


def summary(metrics: Record) -> str:
    """What a detector reaches, in one line."""
    figures = [f"AP50 {metrics['ap50']:.3f}", f"AP75 {metrics['ap75']:.3f}"]
    for name, words in (
        ("precision", "precision"),
        ("recall", "recall"),
        ("count_exact", "count exact"),
        ("all_right", "all boxes right"),
    ):
        figures.append(f"{words} {_share(metrics[name])}")
    n = f"{metrics['n_frames']} {metrics['judged_on']} frames with {metrics['n_boxes']} boxes"
    return f"on {n}, from a score of {metrics['threshold']:.2f} on: {', '.join(figures)}"


def _share(share: Record) -> str:
    if share["value"] is None:
        return "unknown"
    low, high = share["ci95"]
    return f"{share['value']:.3f} [{low:.3f}, {high:.3f}] (n={share['n']})"


def _moved_aside(folder: Path) -> Path:
    aside = folder.with_name(f"{folder.name}.old-{datetime.now():%Y%m%d-%H%M%S}")
    folder.rename(aside)
    return aside
