"""The detector of our own on drawn trays: what it learns in a minute, how well it finds dishes on
trays that it has not seen, and what a photo costs.

    python benchmarks/bench_detector.py                     # from the shipped start
    python benchmarks/bench_detector.py --start none --epochs 5

Goals: at most 60 CPU seconds of training, AP50 >= 0.99 and all boxes right on >= 0.90 of the held-out
trays, a file of at most 4 MB, and at most 15 CPU ms for the net on one thread. The held-out trays
have another seed than those that are learned from. Seconds are the process's CPU time, over all its
threads.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from dishvl_lib import detect_train
from dishvl_lib.core import caches, images, paths, records
from dishvl_lib.core.types import Record
from dishvl_lib.demo import trays
from dishvl_lib.detection import labels, metrics, training
from dishvl_lib.detection.boxes import Detections, letterbox
from dishvl_lib.detection.detector import Detector
from dishvl_lib.detection.labels import LabelledFrame
from dishvl_lib.detection.metrics import Judged

LEARNED = (300, 0)  # trays, seed
HELD_OUT = (200, 1)
EPOCHS = 4
LEAST_SCORE = 0.05  # what the average precision is made of
TIMED = 60
CPU_GOAL_S = 60.0
AP50_GOAL = 0.99
RIGHT_GOAL = 0.90
FILE_GOAL = 4_000_000
NET_GOAL_MS = 15.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Our own detector: learning, figures, time.")
    parser.add_argument("--start", default="builtin")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    learned = drawn(*LEARNED)
    held_out = drawn(*HELD_OUT)
    settings = training.TrainingSettings(
        epochs=options.epochs,
        seed=options.seed,
        learning_rate=options.learning_rate,
        start=detect_train.start_file(options.start),
    )
    file = trained(learned, settings)
    detector = Detector.load(file)
    report_figures(detector, held_out)
    report_time(detector, held_out)


def drawn(n: int, seed: int) -> Path:
    """The folder of n drawn trays, from the cache."""
    key = records.fingerprint([trays.VERSION, n, seed])[:12]
    place = paths.cache("bench_trays") / key

    def draw(empty: Path) -> None:
        trays.draw_demo_trays(empty / "set", n=n, seed=seed)

    return caches.folder(place, draw, "drawn trays") / "set"


def labelled(folder: Path) -> list[LabelledFrame]:
    """A drawn set's frames; its dishes' names do not count here."""
    return labels.read(folder / trays.LABELS, folder / trays.FRAMES).frames


def trained(folder: Path, settings: training.TrainingSettings) -> Path:
    """A detector that was trained just now; prints what that cost."""
    key = records.fingerprint([settings.record(), time.time()])[:12]
    out = paths.cache("bench_detector") / key
    started = time.process_time()
    result = training.train(labelled(folder), folder / trays.FRAMES, out, settings)
    seconds = time.process_time() - started
    epochs = result.metrics["epochs"]
    in_epochs = sum(row["cpu_seconds"] for row in epochs)
    print(
        f"{len(epochs)} epochs of {LEARNED[0]} trays: {seconds:.1f} CPU s with reading the photos, "
        f"{in_epochs:.1f} in the epochs {verdict(seconds <= CPU_GOAL_S)}"
    )
    size = result.file.stat().st_size
    print(f"file: {size / 1e6:.2f} MB {verdict(size <= FILE_GOAL)}")
    return result.file


def report_figures(detector: Detector, folder: Path) -> None:
    """AP50 and the rest on held-out trays."""
    threshold = detector.threshold
    detector.threshold = LEAST_SCORE
    judged = []
    for frame in labelled(folder):
        found = detector.detect(folder / trays.FRAMES / frame.path)
        names = detector.names * len(frame.labels)
        scores = np.ones(len(names), np.float32)
        judged.append(Judged(found, Detections(frame.boxes, scores, names)))
    detector.threshold = threshold
    reached = metrics.summary(judged, threshold)
    print(
        f"{reached['n_frames']} held-out trays, {reached['n_boxes']} boxes, from {threshold:g} on"
    )
    is_reached = reached["ap50"] >= AP50_GOAL
    print(f"  AP50 {reached['ap50']:.4f} {verdict(is_reached)}")
    print(f"  AP75 {reached['ap75']:.4f}, mAP {reached['map']:.4f}")
    for name in ("precision", "recall", "count_exact"):
        print(f"  {name} {shown(reached[name])}")
    right = reached["all_right"]
    print(f"  all boxes right {shown(right)} {verdict(right['value'] >= RIGHT_GOAL)}")


def report_time(detector: Detector, folder: Path) -> None:
    """CPU milliseconds a decoded photo, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(detector.file), options, providers)
    side = session.get_inputs()[0].shape[-1]
    frames = labelled(folder)[:TIMED]
    photos = [images.load_rgb(folder / trays.FRAMES / frame.path) for frame in frames]
    boxed = [letterbox(photo, (side, side))[0] for photo in photos]
    inputs = []
    for picture in boxed:
        pixels = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255
        inputs.append(np.ascontiguousarray(pixels))
    in_net = milliseconds(lambda pixels: session.run(None, {"image": pixels}), inputs)
    laying = milliseconds(lambda photo: letterbox(photo, (side, side)), photos)
    whole = milliseconds(detector.detect_image, photos)
    print(
        f"a decoded photo of {photos[0].width} x {photos[0].height}, CPU ms (median of {TIMED}): "
        f"net {in_net:.1f} on one thread {verdict(in_net <= NET_GOAL_MS)}, letterbox "
        f"{laying:.1f}, detect_image as it is in use {whole:.1f}"
    )


def milliseconds(work: Callable, things: Sequence) -> float:
    """The median CPU time of `work` on one of the things."""
    work(things[0])
    spent = []
    for thing in things:
        started = time.process_time()
        work(thing)
        spent.append(time.process_time() - started)
    return 1000 * float(np.median(spent))


def shown(share: Record) -> str:
    low, high = share["ci95"]
    return f"{share['value']:.3f} [{low:.3f}, {high:.3f}] (n={share['n']})"


def verdict(is_reached: bool) -> str:
    return "(goal reached)" if is_reached else "(goal NOT reached)"


if __name__ == "__main__":
    main()
