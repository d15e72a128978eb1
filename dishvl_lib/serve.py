"""`dishvl serve [RUN or FOLDER]`: the HTTP service with its page."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dishvl_lib.core import paths
from dishvl_lib.given_detector import GivenDetector
from dishvl_lib.predict import newest_best

if TYPE_CHECKING:
    from dishvl_lib.detection.detector import Detector
    from dishvl_lib.serving.service import Folders, Service
    from dishvl_lib.trays import Trays
    from dishvl_lib.vlm.recognizer import Recognizer

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
BEST = ("04_training", "best")
HASH_DIGITS = 8


@dataclass(frozen=True)
class Options:
    """As the command line has them. `where`: a run or a folder, None for the newest run."""

    where: str | None
    host: str
    port: int
    device: str | None
    dtype: str | None
    max_batch: int
    max_wait_ms: float
    queue: int
    use_gallery: bool
    detector: GivenDetector | None = None


def serve(options: Options) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises RuntimeError, `ModelError`, `GalleryError`,
    `DetectorError` or `TrayError` for what cannot be served.
    """
    _check_packages()
    from dishvl_lib.serving import access, app, server

    token = os.environ.get(access.TOKEN_VARIABLE, "").strip()
    warning = server.check_reach(options.host, token)
    if warning:
        print(f"dishvl: {warning}", file=sys.stderr)
    best = model_folder(options.where)
    with server.listening(server.Address(options.host, options.port)) as bound:
        service = opened(best, options)
        gallery = service.model.gallery
        known = f"{len(gallery)} dishes in its gallery" if gallery is not None else "no gallery"
        if service.trays is not None:
            known = f"{known}, {service.trays.detector.file.name} for trays"
        kept = _shown(service_folders(best).home)

        def say() -> None:
            print(f"{_shown(best)} ({known}) answers at {server.address_of(bound)}", flush=True)
            print(f"menus and corrections: {kept}; Ctrl-C ends it", flush=True)

        are_answered = server.serve(app.build(service, token), bound, say)
    if not are_answered:
        raise RuntimeError("ended by a second Ctrl-C: what was under way is not answered")
    print("every request that was accepted is answered; ended")


def opened(best: Path, options: Options) -> "Service":
    """The service of a model's folder, which has answered a first photo."""
    from dishvl_lib import Recognizer
    from dishvl_lib.serving.limits import Limits
    from dishvl_lib.serving.served_model import ServedModel
    from dishvl_lib.serving.service import Service

    detector = options.detector.opened() if options.detector else None
    recognizer = Recognizer.load(best, device=options.device, dtype=options.dtype)
    trays = _trays(detector, recognizer, options)
    model = ServedModel(recognizer, options.use_gallery)
    # The first pass is slow, and a model that cannot answer should not begin to listen.
    model.answers().choose_many(Image.new("RGB", (224, 224), "grey"), [["米饭", "红烧鱼"]])
    limits = Limits(options.max_batch, options.max_wait_ms, options.queue)
    return Service(model, service_folders(best), limits, trays)


def _trays(
    detector: "Detector | None", recognizer: "Recognizer", options: Options
) -> "Trays | None":
    """What answers whole trays, where a detector was given. Raises `TrayError`."""
    from dishvl_lib import Trays
    from dishvl_lib.predict_trays import unproved

    if detector is None or options.detector is None:
        return None
    trays = Trays(detector, recognizer, crop_margin=options.detector.crop_margin)
    if not trays.is_proved:
        print(f"dishvl: {unproved(trays.crop_margin)}", file=sys.stderr)
    return trays


def model_folder(where: str | None) -> Path:
    """The model's folder of a run, or the folder itself. Raises RuntimeError for neither."""
    if where is None:
        return newest_best()
    best = paths.outputs().joinpath(where, *BEST)
    is_run = not paths.name_problem(where) and paths.run_folder(where).is_dir()
    if is_run and not best.is_dir():
        raise RuntimeError(f"run {where} has no trained model: {best} is missing; run stage 04")
    if is_run:
        return best
    folder = paths.resolve(where)
    if not folder.is_dir():
        runs = _names_of(sorted(paths.outputs().glob("/".join(["*", *BEST]))))
        raise RuntimeError(f"{where} is neither a run ({runs}) nor a folder with a model")
    return folder


def service_folders(best: Path) -> "Folders":
    """Where a service keeps menus and corrections: in the run's folder, and for a model that lies
    elsewhere in `outputs/served-NAME-HASH`, by the name and the path of its folder.
    """
    from dishvl_lib.serving.service import Folders

    folder = best.resolve()
    outputs = paths.outputs().resolve()
    if folder.is_relative_to(outputs) and folder != outputs:
        run_name = folder.relative_to(outputs).parts[0]
        return Folders(outputs / run_name)
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:HASH_DIGITS]
    name = folder.parent.name if folder.name == BEST[-1] else folder.name
    return Folders(outputs / f"served-{name[:40]}-{digest}")


def _check_packages() -> None:
    missing = [name.replace("_", "-") for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RuntimeError(
            f"dishvl serve needs {', '.join(missing)}: pip install 'dishvl[serve]' installs what is "
            "missing"
        )


def _names_of(folders: Sequence[Path]) -> str:
    names = [folder.parents[1].name for folder in folders]
    return f"there are {', '.join(names)}" if names else "there is none with a model"


def _shown(folder: Path) -> str:
    """A path from the project's root, where it lies below it."""
    if folder.is_relative_to(paths.PROJECT_ROOT):
        return str(folder.relative_to(paths.PROJECT_ROOT))
    return str(folder)
