"""The whole of stage 04 and of use at the real shapes, with random weights: seconds and peak memory
beside what the planner says.

python benchmarks/real_size.py --size 3b                      (CPU: 24 GB of memory and 35 GB of
disk, with nothing beside it)
python benchmarks/real_size.py --size 7b --device cuda        (one GPU of 80 GB; also prints
photos/s and questions/s)
python benchmarks/real_size.py --size tiny                    (seconds, anywhere)

Each phase runs in a process of its own: the folder is written as sharded safetensors; vision tower
and merger train for a step with a checkpoint and are killed; a resume makes one more step and
exports best/; best/ names photos and scores menus; LoRA trains a step. Memory and disk are checked
before anything is written.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import random_models
from PIL import Image

from dishvl_lib.core import paths, questions, records
from dishvl_lib.training import checkpoints, heartbeat, launch
from dishvl_lib.training.config import TrainingConfig

NAMES = [
    f"{first}{second}{third}" for first in "红清蒜" for second in "烧炒蒸" for third in "鱼肉虾"
]
PHOTO_SIDE = 448
GB = 1e9
LIBRARIES_GB = 1.5  # what the planner counts for Python and its libraries
ALLOWED = 0.15
SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Measured:
    """One phase. `peak_gb`: resident memory of its processes (CPU) or allocated on the GPU;
    `planned_gb` 0: not planned.
    """

    phase: str
    seconds: float
    peak_gb: float
    planned_gb: float = 0.0

    def line(self) -> str:
        beside = (
            f"   planner {self.planned_gb:6.1f} GB, {self.peak_gb / self.planned_gb - 1:+.0%}"
            if self.planned_gb
            else ""
        )
        return f"{self.phase:<44}{self.seconds:9.1f} s{self.peak_gb:8.1f} GB{beside}"


def main() -> int:
    options = _arguments()
    if options.phase:
        return _use(Path(options.phase), options.device)
    with tempfile.TemporaryDirectory(prefix="real-size-", dir=options.folder) as folder:
        return _run(Path(folder), options)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(random_models.SIZES), default="3b")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--folder",
        help="where the files go (default: the outputs folder); about 35 GB for the 3B, 75 GB for "
        "the 7B",
    )
    parser.add_argument(
        "--photos", type=int, default=0, help="photos a step (default: 1 on a CPU, 8 on a GPU)"
    )
    parser.add_argument("--questions-per-photo", type=int, default=2)
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="steps before the checkpoint (default: 1 on a CPU, 20 on a GPU)",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        help="folder with the real tokenizer's files; without it a small one is made",
    )
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    options.photos = options.photos or (8 if on_gpu else 1)
    options.steps = options.steps or (20 if on_gpu else 1)
    if options.folder is None:
        paths.outputs().mkdir(parents=True, exist_ok=True)
        options.folder = str(paths.outputs())
    return options


def _run(folder: Path, options: argparse.Namespace) -> int:
    _check_room(folder, options)
    measured = []
    started = time.time()
    count = random_models.write(folder / "base", options.size, NAMES, options.tokenizer)
    measured.append(
        Measured(
            f"write {count:,} random numbers",
            time.time() - started,
            psutil.Process().memory_info().rss / GB,
        )
    )
    _write_questions(folder, options)
    whole = _config(folder, options, "whole", max_steps=options.steps + 1, save_steps=options.steps)
    lora = _config(folder, options, "lora", max_steps=options.steps, lora_rank=64, lora_vision=True)
    planned = {
        name: _planned(config, folder) for name, config in (("whole", whole), ("lora", lora))
    }
    sealed = (
        Path(whole.output_folder)
        / "checkpoints"
        / f"checkpoint-{options.steps}"
        / checkpoints.MANIFEST
    )
    measured.append(
        _training(
            "vision tower and merger: train, checkpoint, kill", whole, planned["whole"], sealed
        )
    )
    measured.append(_training("resume, one step more, best/", whole, planned["whole"]))
    if "resuming from checkpoint-" not in (Path(whole.output_folder) / "printed.log").read_text(
        "utf-8", "replace"
    ):
        raise SystemExit("the second training did not resume from the first one's checkpoint")
    measured.append(
        _watched(
            "best/: load, name, score menus of 20",
            _self_command(folder, options),
            folder / "use.log",
        )
    )
    print((folder / "use.log").read_text("utf-8").strip(), flush=True)
    shutil.rmtree(folder / "whole" / "best")
    measured.append(_training("LoRA: train, checkpoint, best/", lora, planned["lora"]))
    print(
        f"\n{options.size}, {options.device}, {options.photos} photos = "
        f"{options.photos * options.questions_per_photo} questions a step, bfloat16"
    )
    for one in measured:
        print(one.line())
    for name in ("whole", "lora"):
        _print_rates(folder / name)
    off = [
        one
        for one in measured
        if one.planned_gb and abs(one.peak_gb / one.planned_gb - 1) > ALLOWED
    ]
    print(
        f"planner within {ALLOWED:.0%}: "
        f"{'yes' if not off else 'no, ' + '; '.join(one.phase for one in off)}"
    )
    return 0


def _check_room(folder: Path, options: argparse.Namespace) -> None:
    """Refuse before anything is written when memory or disk cannot hold it."""
    parameters = random_models.SIZES[options.size]["parameters"]
    disk = shutil.disk_usage(folder).free
    # base and one best/ at 2 bytes; two checkpoints of the vision tower's 14 bytes (at most a fifth
    # of the parameters).
    wanted = parameters * (2 + 2) + 2 * 14 * min(parameters // 5, 700_000_000)
    if disk < wanted:
        raise SystemExit(
            f"{folder}: {disk / GB:.0f} GB are free, {wanted / GB:.0f} GB are needed; give "
            "another --folder"
        )
    memory = psutil.virtual_memory().available
    held = (
        parameters * 2 + 12 * min(parameters // 5, 700_000_000) + 3 * GB
        if options.device == "cpu"
        else parameters * 2 + 2 * GB
    )
    if memory < held:
        raise SystemExit(
            f"{memory / GB:.0f} GB of memory are free, about {held / GB:.0f} GB are needed; "
            "end what runs beside it, or take a smaller --size"
        )


def _write_questions(folder: Path, options: argparse.Namespace) -> None:
    """Photos of noise and, for each, a naming question and a menu of 20, in train.jsonl and
    validation.jsonl.
    """
    chance = np.random.default_rng(0)
    rows = []
    for number in range(options.photos * (options.steps + 1)):
        coarse = chance.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.BICUBIC).save(
            folder / f"{number}.jpg", quality=90
        )
        rows += [
            _question(number, kind) for kind in ("naming", "menu")[: options.questions_per_photo]
        ]
    records.write_jsonl(folder / "train.jsonl", rows)
    records.write_jsonl(folder / "validation.jsonl", rows[:4])


def _question(number: int, kind: str) -> dict:
    name = NAMES[number % len(NAMES)]
    menu = NAMES[:20] if kind == "menu" else []
    turns = [
        {"from": "human", "value": questions.human_turn(f"{kind}-1", menu)},
        {"from": "gpt", "value": name},
    ]
    return {
        "id": f"{number}-{kind}",
        "image": f"{number}.jpg",
        "image_id": str(number),
        "dish_id": name,
        "kind": kind,
        "menu": menu,
        "conversations": turns,
    }


def _config(
    folder: Path, options: argparse.Namespace, name: str, **changed: object
) -> TrainingConfig:
    places = {
        "base_model": str(folder / "base"),
        "image_root": str(folder),
        "output_folder": str(folder / name),
    }
    files = {
        "train_file": str(folder / "train.jsonl"),
        "validation_file": str(folder / "validation.jsonl"),
    }
    rates = {"learning_rate": 1e-6, "merger_learning_rate": 1e-5, "vision_learning_rate": 1e-6}
    sizes = {
        "min_pixels": 3136,
        "max_pixels": PHOTO_SIDE**2,
        "per_device_train_batch_size": options.photos,
        "questions_per_photo": options.questions_per_photo,
    }
    how = {
        "num_train_epochs": 1.0,
        "dtype": "bfloat16",
        "use_cpu": options.device == "cpu",
        "validation_questions": 2,
        "per_device_eval_batch_size": 1,
        "num_processes": 1,
        "logging_steps": 1,
    }
    return TrainingConfig(**places, **files, **rates, **sizes, **how, **changed)


def _planned(config: TrainingConfig, folder: Path) -> float:
    """GB that the planner counts for the training process (on a CPU) or for the GPU; by a process
    of its own.
    """
    program = (
        "import sys\n"
        "from dishvl_lib.core import records\n"
        "from dishvl_lib.estimate import planner, shapes\n"
        "from dishvl_lib.training.config import read\n"
        "from dishvl_lib.vlm import qwen\n"
        "config = read(sys.argv[1])\n"
        "loaded = qwen.load_inputs(config.base_model, config.min_pixels, config.max_pixels)\n"
        "rows = records.read_jsonl(config.train_file)\n"
        f"sizes = {{row['image_id']: ({PHOTO_SIDE}, {PHOTO_SIDE}) for row in rows}}\n"
        "batch, trees = shapes.largest(loaded, rows, sizes, "
        "questions_per_photo=config.questions_per_photo, "
        "n=config.per_device_train_batch_size)\n"
        "print(planner.plan(config, batch, photos=trees).total('device'))\n"
    )
    file = folder / "planned.json"
    config.write(file)
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT,
    )
    if done.returncode:
        raise SystemExit(f"the planner failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1]) / GB + (LIBRARIES_GB if config.use_cpu else 0.0)


def _training(
    phase: str, config: TrainingConfig, planned_gb: float, kill_at: Path | None = None
) -> Measured:
    """`kill_at`: a file whose appearance ends the training with SIGKILL."""
    folder = Path(config.output_folder)
    folder.mkdir(exist_ok=True)
    (folder / heartbeat.FILE).unlink(missing_ok=True)
    config.write(folder / launch.CONFIG)
    measured = _watched(phase, launch.command(config), folder / "printed.log", folder, kill_at)
    on_gpu = [row["memory_gb"] for row in launch.metrics(folder) if "memory_gb" in row]
    peak = measured.peak_gb if config.use_cpu else max(on_gpu)
    return Measured(phase, measured.seconds, peak, planned_gb)


def _watched(
    phase: str,
    command: list[str],
    log: Path,
    folder: Path | None = None,
    kill_at: Path | None = None,
) -> Measured:
    """Run a command, say every few seconds what it does, and measure the largest memory of its
    processes together.
    """
    print(f"{phase} ...", flush=True)
    started = time.time()
    with open(log, "ab") as file:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{paths.PROJECT_ROOT}{os.pathsep}{Path(__file__).parent}",
        }
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=paths.PROJECT_ROOT, env=environment
        )
    peak = [0.0]
    watcher = threading.Thread(target=_watch_memory, args=(process, peak), daemon=True)
    watcher.start()
    said = started
    killed = False
    while process.poll() is None:
        time.sleep(0.2)
        if kill_at and kill_at.exists():
            process.kill()
            killed = True
        if time.time() - said > SAY_EVERY_S:
            said = time.time()
            print(
                f"  {said - started:5.0f} s, {peak[0]:.1f} GB  "
                f"{heartbeat.line(folder) if folder else ''}",
                flush=True,
            )
    watcher.join()
    if process.returncode and not killed:
        raise SystemExit(
            f"{phase} failed with status {process.returncode}:\n"
            f"{log.read_text('utf-8', 'replace')[-3000:]}"
        )
    return Measured(phase, time.time() - started, peak[0])


def _watch_memory(process: subprocess.Popen, peak: list[float]) -> None:
    while process.poll() is None:
        try:
            family = [
                psutil.Process(process.pid),
                *psutil.Process(process.pid).children(recursive=True),
            ]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in family) / GB)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)


def _self_command(folder: Path, options: argparse.Namespace) -> list[str]:
    return [sys.executable, __file__, "--phase", str(folder), "--device", options.device]


def _use(folder: Path, device: str) -> int:
    """Open best/, name photos and score a menu of 20 of each; prints photos a second."""
    from dishvl_lib import Recognizer

    started = time.time()
    recognizer = Recognizer.load(folder / "whole" / "best", device=device, dtype="bfloat16")
    print(f"  best/ loaded in {time.time() - started:.1f} s")
    photos = sorted(folder.glob("*.jpg"))[:16]
    recognizer.recognise(photos[:1], [NAMES[:20]])  # what is done once is not counted
    started = time.time()
    given = recognizer.recognise(photos, [NAMES[:20]])
    seconds = time.time() - started
    print(
        f"  {len(given)} photos named and scored on a menu of 20 in {seconds:.1f} s: "
        f"{len(given) / seconds:.2f} photos/s"
    )
    return 0


def _print_rates(folder: Path) -> None:
    rows = [row for row in launch.metrics(folder) if "photos_per_second" in row]
    if rows:
        last = rows[-1]
        print(
            f"{folder.name}: {last['photos_per_second']:.3g} photos/s, "
            f"{last['questions_per_second']:.3g} questions/s, "
            f"{last['tokens_per_second']:.3g} tokens/s at the last step"
        )
    contract = json.loads((folder / "trainable.json").read_text("utf-8"))
    print(
        f"{folder.name}: {contract['trained_parameters']:,} of {contract['parameters']:,} "
        "parameters trained"
    )


if __name__ == "__main__":
    sys.exit(main())
