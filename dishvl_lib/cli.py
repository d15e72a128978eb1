"""The `dishvl` command."""

import argparse
import contextlib
import math
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dishvl_lib.command_parser import CommandParser
from dishvl_lib.core import (
    crops,
    locks,
    markers,
    params,
    paths,
    records,
    redo,
    settings,
    stages,
    waiting_decisions,
)
from dishvl_lib.core.types import Record
from dishvl_lib.given_detector import GivenDetector

WANTS_REDO = 3  # the exit code
# The demo's profile is for the many photos that it draws. A folder of real photos is mostly smaller
# and more varied: each question is asked of another view of its photo, more often, and the photos
# are larger.
ON_OWN_PHOTOS = {
    "min_pixels": 168 * 168,
    "max_pixels": 168 * 168,
    "num_train_epochs": 12.0,
    "view_strength": 1.0,
    "questions_per_photo": 1,
    "eval_steps": 0,
    "per_device_train_batch_size": 8,  # times the profile's two processes
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 1 with one message on stderr when it could
    not, 3 when it would do something long or paid again that nobody has asked for.
    """
    parser = _parser()
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        parser.print_help()
        return 0
    options = parser.parse_args(words)
    if not paths.IS_CHECKOUT:  # the kernels and trainings that this starts count from here too
        os.environ[paths.PROJECT_VARIABLE] = str(paths.PROJECT_ROOT)
    try:
        status = options.command(options) or 0
        sys.stdout.flush()  # a reader that has gone is met here, not at the interpreter's end
        return status
    except BrokenPipeError:
        return _reader_gone()
    except redo.RedoNeeded as refusal:
        print(f"dishvl: {refusal}", file=sys.stderr)
        return WANTS_REDO
    except (
        settings.SettingsError,
        stages.StageError,
        records.RecordError,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        print(f"dishvl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        remedy = str(interrupt) or "run the same command again to go on"
        print(f"dishvl: interrupted; {remedy}", file=sys.stderr)
        return 130
    except Exception as error:
        # Whatever it is, nobody should have to read a traceback to know what to do.
        return _unforeseen(error)


def _reader_gone() -> int:
    """What the output was piped to has ended (`| head`): end in silence, as other commands do."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _unforeseen(error: Exception) -> int:
    file = paths.outputs() / "errors.log"
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a", encoding="utf-8") as log:
            log.write(
                f"{datetime.now().astimezone().isoformat(timespec='seconds')} dishvl "
                f"{' '.join(sys.argv[1:])}\n{traceback.format_exc()}\n"
            )
    print(
        f"dishvl: this was not foreseen: {type(error).__name__}: "
        f"{' '.join(str(error).split())}. Nothing that was finished is lost; "
        f"please report it with the last lines of {file}",
        file=sys.stderr,
    )
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="dishvl",
        description="From a folder of dish photos to a menu-aware Qwen2.5-VL recogniser.",
    )
    version = f"dishvl {stages.versions()['dishvl']}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_demo(commands)
    _add_new(commands)
    _add_open(commands)
    _add_status(commands)
    for name, command, text in (
        ("stop", _stop, "end a run's training after a checkpoint"),
        ("verify", _verify, "hash every file of a run"),
    ):
        _add(commands, name, command, text).add_argument("run")
    _add(commands, "doctor", _doctor, "versions, memory, disk, GPU and fonts of this machine")
    _add_estimate(commands)
    _add_predict(commands)
    _add_crop(commands)
    _add_serve(commands)
    _add_dish(commands)
    _add_detect_train(commands)
    return parser


def _add_demo(commands: Any) -> None:
    text = "the whole chain on drawn dishes, or on your own photos with a tiny model"
    parser = _add(commands, "demo", _demo, text)
    parser.add_argument("--image-root", help="your folder: one folder of photos per dish")
    parser.add_argument("--run-name")


def _add_new(commands: Any) -> None:
    text = "write a commented profile for your photos to params/NAME"
    parser = _add(commands, "new", _new, text)
    parser.add_argument("name")
    photos = parser.add_mutually_exclusive_group(required=True)
    photos.add_argument("--image-root", help="your folder: one folder of photos per dish")
    photos.add_argument("--trays-root", help="your folder of photos of whole trays")
    parser.add_argument(
        "--tray-labels",
        default="",
        help="where the dishes lie on the trays: COCO JSON, or a folder of YOLO txt",
    )
    parser.add_argument("--like", default="qwen2_5_vl_7b")


def _add_open(commands: Any) -> None:
    text = "open a notebook in JupyterLab with a profile's parameters filled in"
    parser = _add(commands, "open", _open, text)
    parser.add_argument("stage")
    parser.add_argument("profile")
    _add_overrides(parser)
    parser.add_argument(
        "--no-launch", action="store_true", help="only write the notebook and print its path"
    )
    parser.add_argument("--ip", help="handed on to JupyterLab, as are the next three")
    parser.add_argument("--port", help="JupyterLab's port")
    parser.add_argument("--no-browser", action="store_true", help="start without a browser")
    parser.add_argument("--allow-root", action="store_true", help="start as root")


def _add_estimate(commands: Any) -> None:
    text = "annotation cost, GPU and host memory, disk and hours, before anything is paid"
    parser = _add(commands, "estimate", _estimate, text)
    parser.add_argument("profile", help="a folder name under params/, or a path")
    _add_overrides(parser)
    parser.add_argument(
        "--as-official",
        action="store_true",
        help="beside ours, the training as the official fine-tuning script does it",
    )
    parser.add_argument(
        "--trial",
        action="store_true",
        help="measure this machine's speed by a few training steps (stage 03 must have finished)",
    )
    _add_number(parser, "--photos-per-second", "the speed, where it is known")
    _add_number(parser, "--gpu-gb", "advise for a GPU with so much memory")
    _add_number(
        parser, "--network-gbit", "speed of the network between hosts, for ZeRO over several"
    )
    parser.add_argument("--hosts", type=number_of_hosts, default=2)


def _add_predict(commands: Any) -> None:
    parser = _add(commands, "predict", _predict, "name a photo's dish, or choose from a menu")
    parser.add_argument("photos", nargs="+", help="photos, or folders of photos")
    parser.add_argument(
        "--model", help="a folder that stage 04 wrote (default: the newest run's best/)"
    )
    parser.add_argument("--menu", help="a file with one entry a line, a table or a workbook")
    parser.add_argument(
        "--top-k", type=whole_number, default=3, help="entries shown with their probabilities"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument("--csv", metavar="FILE", help="write a table of the answers besides")
    parser.add_argument(
        "--no-gallery", action="store_true", help="the model alone, without the gallery beside it"
    )
    _add_detector(parser)
    parser.add_argument(
        "--save",
        metavar="FILE or FOLDER",
        help="keep a tray's photo with its dishes marked; a folder for several",
    )


def _add_crop(commands: Any) -> None:
    text = "cut the dishes out of photos of whole trays, by a detector"
    parser = _add(commands, "crop", _crop, text)
    parser.add_argument("frames", nargs="+", help="photos of trays, or folders of them")
    parser.add_argument("out", metavar="OUT", help="a folder that is not there yet, or to go on in")
    _add_detector(parser, "the detector's own, or 1.0: its box itself")


def _add_detector(
    parser: argparse.ArgumentParser, usual_margin: str = "the recogniser's own"
) -> None:
    parser.add_argument(
        "--detector",
        metavar="FILE or RUN",
        help="what finds the dishes on photos of whole trays: an ONNX file, or a run with stage 00",
    )
    parser.add_argument(
        "--crop-margin",
        type=margin,
        help=f"sides of a crop as a factor of its box's (default: {usual_margin})",
    )
    parser.add_argument("--threshold", type=share, help="score from which a box counts")
    parser.add_argument(
        "--keep-labels",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="the detector's classes that are dishes (default: all)",
    )
    parser.add_argument(
        "--layout", default="", help="what the detector gives, where that is not found out"
    )


def _add_serve(commands: Any) -> None:
    from dishvl_lib.serving.limits import Limits

    text = "answer over HTTP, with a page for the till (needs pip install 'dishvl[serve]')"
    parser = _add(commands, "serve", _serve, text)
    parser.add_argument(
        "where",
        nargs="?",
        metavar="RUN or FOLDER",
        help="a run, or a folder that stage 04 wrote (default: the newest run's best/)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; one that other machines reach needs DISHVL_TOKEN",
    )
    parser.add_argument("--port", type=port_number, default=8080, help="0: any that is free")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: a GPU where there is one)")
    parser.add_argument("--dtype", help="bfloat16 or float32 (default: by the device)")
    parser.add_argument(
        "--max-batch",
        type=whole_number,
        default=Limits.max_batch,
        help="photos in a pass of the model",
    )
    parser.add_argument(
        "--max-wait-ms",
        type=waiting_ms,
        default=Limits.max_wait_ms,
        help="how long a photo waits for others that are in flight",
    )
    parser.add_argument(
        "--queue",
        type=whole_number,
        default=Limits.queue,
        help="photos under way at once; beyond them requests are answered 503",
    )
    parser.add_argument(
        "--no-gallery", action="store_true", help="the model alone, without the gallery beside it"
    )
    _add_detector(parser)


def _add_dish(commands: Any) -> None:
    text = "add a dish to the gallery beside the model, remove one, list them: no training"
    parser = commands.add_parser("dish", help=text, description=text)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    adding = _add(actions, "add", _dish_add, "register a dish by photos of it")
    adding.add_argument("name")
    adding.add_argument("photos", nargs="+", help="photos, or folders of photos")
    adding.add_argument(
        "--yes", action="store_true", help="add it whatever is found to be looked at first"
    )
    removing = _add(actions, "remove", _dish_remove, "take a dish off again")
    removing.add_argument("name")
    listing = _add(actions, "list", _dish_list, "the dishes of the gallery")
    for action in (adding, removing, listing):
        action.add_argument(
            "--model",
            help="the model that the gallery belongs to (default: the newest run's best/)",
        )


def _add_detect_train(commands: Any) -> None:
    text = (
        "train a detector of your own that finds the dishes on photos of trays "
        "(needs pip install 'dishvl[trays]')"
    )
    parser = _add(commands, "detect-train", _detect_train, text)
    usual = params.defaults(paths.TRAYS)
    parser.add_argument(
        "labels", type=Path, help="a COCO file, or a folder of labels in COCO's or YOLO's form"
    )
    parser.add_argument("frames", type=Path, help="the folder of the photos")
    parser.add_argument("out", type=Path, help="the folder that the detector is written to")
    parser.add_argument("--epochs", type=whole_number, default=usual["detector_epochs"])
    parser.add_argument(
        "--size",
        type=whole_number,
        default=usual["detector_size"],
        help="side of the net's input, a multiple of 32",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        default=usual["detector_start"],
        help="builtin (weights that have seen drawn trays), none, or detector.safetensors of an "
        "earlier training",
    )
    parser.add_argument(
        "--names",
        nargs="+",
        default=["dish"],
        help="classes; one takes all boxes whatever their label (default: dish)",
    )
    parser.add_argument(
        "--crop-margin",
        type=margin,
        help="written into the file: what the crops for a recogniser are cut with, such as 0.76",
    )
    parser.add_argument(
        "--boxes-as-stored",
        action="store_true",
        help="the boxes were drawn on photos as they lie in their files, not as EXIF turns them",
    )
    parser.add_argument(
        "--redo", action="store_true", help="move OUT aside and train from the beginning"
    )


def _add_status(commands: Any) -> None:
    text = "what a run has finished, what is stale, and which decisions wait"
    parser = _add(commands, "status", _status, text)
    parser.add_argument("run", nargs="?", help="a folder name under outputs/; without it, all runs")


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a parameter (text as it is, anything else as YAML); may be repeated",
    )


def _add_number(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument(name, type=positive_number, default=0.0, help=text)


def positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def margin(text: str) -> float:
    value = float(text)
    if not crops.LEAST_MARGIN <= value <= crops.MOST_MARGIN:
        limits = f"{crops.LEAST_MARGIN:g} to {crops.MOST_MARGIN:g}"
        raise argparse.ArgumentTypeError(f"{text} is not from {limits}")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def whole_number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def port_number(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port (0 to 65535)")
    return value


def waiting_ms(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 60000 ms")
    return value


def number_of_hosts(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{text} is not at least 2")
    return value


def _add(commands: Any, name: str, command: Any, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command, parser=parser)
    return parser


def _add_run(commands: Any) -> None:
    parser = _add(commands, "run", _run, "the five notebooks in order for a profile")
    parser.add_argument("profile", help="a folder name under params/, or a path")
    _add_overrides(parser)
    parser.add_argument(
        "--from", default="", dest="first", metavar="STAGE", help="default: the profile's first"
    )
    parser.add_argument("--to", default="05", dest="last", metavar="STAGE")
    parser.add_argument(
        "--redo",
        action="append",
        default=[],
        metavar="STAGE",
        help="move a finished stage's folder aside and make it again; may be repeated",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be made, what would be made again and why",
    )


def _values(options: argparse.Namespace) -> settings.Values:
    """The profile's parameters with `--set` over them, checked."""
    overrides = dict(map(settings.parse_override, options.overrides))
    return settings.load_profile(options.profile, overrides)


def _run(options: argparse.Namespace) -> None:
    values = _values(options)
    if options.dry_run:
        _print_plan(values, options)
        return
    _chain(values, first=options.first, last=options.last, again=options.redo)


def _print_plan(values: settings.Values, options: argparse.Namespace) -> None:
    from dishvl_lib import plan, run

    chosen = run.stages_between(values, options.first, options.last)
    redone = run.stages_to_redo(options.redo, chosen)
    print(*plan.lines(values, chosen, redone), sep="\n")
    for paragraph in _annotation_estimate(values, chosen):
        print(f"\n{paragraph}")
    print(f"\nNothing was started. Whether the training fits: dishvl estimate {options.profile}")


def _annotation_estimate(values: settings.Values, chosen: Sequence[str]) -> list[str]:
    """What asking the annotators is likely to cost, where that lies ahead; the demo's photos are
    not drawn for it.
    """
    from dishvl_lib import estimate_profile

    first = values["01_annotation"]
    is_ahead = "01_annotation" in chosen and stages.state(first, "01_annotation") == "missing"
    photos = first["trays_root"] or first["image_root"]
    if not is_ahead or photos == params.BUILTIN:
        return []
    paragraphs = estimate_profile.paragraphs(values)
    try:
        return [next(paragraphs), next(paragraphs)]
    except settings.SettingsError as error:
        return [f"annotation: {error}"]


def _demo(options: argparse.Namespace) -> None:
    _chain(settings.load_profile("demo", demo_overrides(options.image_root, options.run_name)))


def demo_overrides(image_root: str | None = None, run_name: str | None = None) -> Record:
    """What the demo's profile takes instead of its own values, for the drawn dishes or for a folder
    of photos.

    Raises `SettingsError` when `image_root` is no folder.
    """
    overrides: Record = {"run_name": run_name} if run_name else {}
    if not image_root:
        return overrides
    folder = Path(image_root).expanduser().resolve()
    if not folder.is_dir():
        raise settings.SettingsError(f"--image-root: no folder {folder}")
    run_name = run_name or f"demo_{folder.name}"
    own_photos = {
        "image_root": str(folder),
        "sites": [],
        "run_name": run_name,
        **ON_OWN_PHOTOS,
        **_net_of(run_name),
    }
    return overrides | own_photos


def _net_of(run_name: str) -> Record:
    """The pretrained net where its package is installed; a run that was begun keeps its own."""
    pretrained = params.WITH_EFFICIENTNET_LITE0
    for stage in ("02_similar_dishes", "01_annotation"):
        begun = markers.read_started(paths.stage_folder(run_name, stage))
        if begun is not None:
            values = params.defaults(stage) | begun["parameters"]
            kept = all(values[key] == pretrained[key] for key in pretrained.keys() & values.keys())
            return pretrained if kept else {}
    return settings.pretrained_net()


def _chain(values: dict[str, Record], **chosen: Any) -> None:
    from dishvl_lib import run

    run_name = values["04_training"]["run_name"]
    try:
        folder = run.run(values, **chosen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_training_goes_on(run_name)) from None
    if markers.finished(folder / "05_evaluation"):
        print(run.summary(folder))


def _training_goes_on(run_name: str) -> str:
    """What happens to a training whose terminal was interrupted; '' when none is running."""
    from dishvl_lib.training import launch

    maker = launch.running(paths.stage_folder(run_name, "04_training"))
    if not maker:
        return ""
    return (
        f"the training goes on without this terminal ({maker}). dishvl status {run_name} shows "
        f"how far it is, dishvl stop {run_name} ends it after a checkpoint, and the same command "
        "again watches it"
    )


def _new(options: argparse.Namespace) -> None:
    from dishvl_lib import run

    if options.trays_root:
        folder = run.new_tray_profile(
            options.name, options.trays_root, options.tray_labels, options.like
        )
    elif options.tray_labels:
        raise ValueError("--tray-labels are of photos of whole trays: give --trays-root")
    else:
        folder = run.new_profile(options.name, options.image_root, options.like)
    first = folder / settings.COMMON_FILE
    if options.trays_root and not options.tray_labels:
        first = folder / f"{paths.TRAYS}.yaml"
    print(f"written: {folder}\nedit {first} first, then: dishvl run {options.name}")


def _open(options: argparse.Namespace) -> int:
    from dishvl_lib import run

    stage = paths.full_stage_name(options.stage)
    values = _values(options)
    if stage not in values:
        raise ValueError(f"{options.profile} has no trays: set trays_root to open {stage}")
    notebook = run.filled_notebook(stage, values[stage])
    print(notebook)
    if options.no_launch:
        return 0
    command = [sys.executable, "-m", "jupyterlab", str(notebook), *_lab_options(options)]
    return subprocess.call(command)


def _lab_options(options: argparse.Namespace) -> list[str]:
    """What `open` hands on to JupyterLab."""
    handed_on = []
    for name in ("ip", "port"):
        value = getattr(options, name)
        if value:
            handed_on.append(f"--{name}={value}")
    if options.no_browser:
        handed_on.append("--no-browser")
    if options.allow_root:
        handed_on.append("--allow-root")
    return handed_on


def _status(options: argparse.Namespace) -> int:
    from dishvl_lib import plan

    if options.run is None:
        printed = plan.runs() or [f"no run in {paths.outputs()} yet: dishvl demo makes one"]
        print(*printed, sep="\n")
        return 0
    folder = _existing_run(options.run)
    damaged = False
    for stage in paths.stages_of(folder):
        try:
            state = _stage_status(folder / stage)
        except stages.StageError as error:
            state = str(error)
            damaged = True
        print(f"{stage:<20} {state}")
    if not damaged:
        for sentence in (*plan.stale_stages(folder), *waiting_decisions.sentences(folder)):
            print(sentence)
    return int(damaged)


def _stage_status(folder: Path) -> str:
    from dishvl_lib.training import launch

    if launch.running(folder):
        return f"training is running ({launch.running(folder)})  {launch.progress_line(folder)}"
    maker = locks.holder(stages.lock_file(folder))
    if maker:
        return f"running ({maker})  {launch.progress_line(folder)}"
    if markers.finished(folder):
        success = markers.read(folder)
        took = f"{success['seconds']:.0f} s"
        return f"finished {success['finished_at']} in {took}  {success['counts'] or ''}"
    if not (folder / markers.STARTED).exists():
        return "not started"
    return (
        "begun, not finished, and nobody works on it; run the stage again to go on  "
        f"{launch.progress_line(folder)}"
    )


def _stop(options: argparse.Namespace) -> None:
    from dishvl_lib.training import launch

    if not launch.stop(_existing_run(options.run) / "04_training"):
        raise RuntimeError(f"no training of run {options.run} is running on this machine")
    print("the training will save a checkpoint and end; run the stage again to go on")


def _verify(options: argparse.Namespace) -> None:
    folder = _existing_run(options.run)
    chain = paths.stages_of(folder)
    finished = [stage for stage in chain if markers.finished(folder / stage)]
    for stage in finished:
        markers.check_outputs(folder / stage, thorough=True)
        print(
            f"{stage}: {len(markers.read(folder / stage)['outputs'])} files are as they were "
            "written"
        )
    if not finished:
        raise RuntimeError(f"run {options.run} has no finished stage to verify")


def _doctor(options: argparse.Namespace) -> None:
    from dishvl_lib import doctor

    print(doctor.report())


def _estimate(options: argparse.Namespace) -> None:
    from dishvl_lib import estimate_profile

    values = _values(options)
    paragraphs = estimate_profile.paragraphs(
        values,
        official=options.as_official,
        trial=options.trial,
        gpu_gb=options.gpu_gb,
        network_gbit=options.network_gbit,
        hosts=options.hosts,
        photos_per_second=options.photos_per_second,
    )
    print("\n\n".join([next(paragraphs), next(paragraphs)]), flush=True)
    for paragraph in paragraphs:
        print(f"\n{paragraph}", flush=True)


def _predict(options: argparse.Namespace) -> int:
    from dishvl_lib import predict, predict_trays

    detector = _detector(options)
    if options.save and detector is None:
        raise ValueError("--save marks the dishes that a detector finds: give --detector")
    answer = predict.answer if detector is None else predict_trays.answer
    return answer(
        predict.Request(
            photos=options.photos,
            model=options.model,
            menu_file=options.menu,
            use_gallery=not options.no_gallery,
            top_k=options.top_k,
            as_json=options.json,
            csv_file=options.csv,
            detector=detector,
            save=options.save,
        )
    )


def _crop(options: argparse.Namespace) -> int:
    from dishvl_lib import crop_frames

    detector = _detector(options)
    if detector is None:
        raise ValueError("crop needs --detector: an ONNX file, or a run with stage 00")
    return crop_frames.crop(options.frames, options.out, detector)


def _detector(options: argparse.Namespace) -> GivenDetector | None:
    """The detector that is named. Raises ValueError for its options without it."""
    given = GivenDetector(
        where=options.detector or "",
        layout=options.layout,
        threshold=options.threshold,
        keep_labels=options.keep_labels,
        crop_margin=options.crop_margin,
    )
    if options.detector:
        return given
    if given != GivenDetector("", keep_labels=[]):
        raise ValueError(
            "--crop-margin, --threshold, --keep-labels and --layout are a detector's: give "
            "--detector too"
        )
    return None


def _serve(options: argparse.Namespace) -> None:
    from dishvl_lib import serve

    serve.serve(
        serve.Options(
            where=options.where,
            host=options.host,
            port=options.port,
            device=options.device,
            dtype=options.dtype,
            max_batch=options.max_batch,
            max_wait_ms=options.max_wait_ms,
            queue=options.queue,
            use_gallery=not options.no_gallery,
            detector=_detector(options),
        )
    )


def _dish_add(options: argparse.Namespace) -> int:
    from dishvl_lib import dish

    return dish.add(options.name, options.photos, options.model, yes=options.yes)


def _dish_remove(options: argparse.Namespace) -> None:
    from dishvl_lib import dish

    dish.remove(options.name, options.model)


def _dish_list(options: argparse.Namespace) -> None:
    from dishvl_lib import dish

    dish.show(options.model)


def _detect_train(options: argparse.Namespace) -> None:
    from dishvl_lib import detect_train

    detect_train.run(
        detect_train.Request(
            labels=options.labels,
            frames=options.frames,
            out=options.out,
            names=options.names,
            epochs=options.epochs,
            size=options.size,
            seed=options.seed,
            start=options.start,
            crop_margin=options.crop_margin,
            boxes_follow_exif=not options.boxes_as_stored,
            redo=options.redo,
        )
    )


def _existing_run(name: str) -> Path:
    folder = paths.run_folder(name)
    if not folder.is_dir():
        folders = [path for path in paths.outputs().glob("*") if path.is_dir()]
        known = sorted(path.name for path in folders if path.name != "cache")
        raise RuntimeError(
            f"no run {name!r} in {paths.outputs()}; there are {', '.join(known) or 'none'}"
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())
