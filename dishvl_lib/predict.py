"""`dishvl predict PHOTO ...`: the name of each photo's dish, or its entry of a menu; with the
gallery that lies beside the model, where there is one. Whole trays are in `predict_trays.py`.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dishvl_lib.core import images, menu_entries, paths, records
from dishvl_lib.core.rules import listed
from dishvl_lib.core.types import AnyPath, Record, Records
from dishvl_lib.given_detector import GivenDetector

CSV_COLUMNS = ("photo", "answer", "on_menu", "entries", "error")


@dataclass(frozen=True)
class Request:
    """What is asked: photos and folders of photos, a menu's file or none, and how it is answered.

    top_k: entries of the menu that are shown with their probabilities. as_json: a JSON object a
    line instead of text. csv_file: a table with CSV_COLUMNS that is written besides. detector:
    given for photos of whole trays, and save: where these are kept with their dishes marked.
    """

    photos: Sequence[str]
    model: str | None
    menu_file: str | None
    use_gallery: bool
    top_k: int
    as_json: bool
    csv_file: str | None
    detector: GivenDetector | None = None
    save: str | None = None


def answer(request: Request) -> int:
    """Print a line per photo; 1 when one could not be read (the others are answered all the same),
    otherwise 0.

    Raises ValueError, `ModelError` or `GalleryError` for photos, a menu, a model or a gallery that
    cannot be used; all but the model are looked at before anything heavy is loaded.
    """
    from dishvl_lib.vlm.written_menus import as_read

    menu = menu_entries.read(request.menu_file) if request.menu_file else None
    if menu is not None:
        as_read(menu)
    photos = given_photos(request.photos)
    recognizer = opened(request.model or newest_best(), request.use_gallery)
    ask = _asking(recognizer, menu, request.top_k)
    rows: Records = []
    try:
        for photo in photos:
            rows.append(_row(photo, ask))
            _show(rows[-1], request.as_json)
    finally:  # what was answered until an interruption is in the table too
        if request.csv_file:
            table = pd.DataFrame([_cells(row) for row in rows], columns=list(CSV_COLUMNS))
            records.write_table(request.csv_file, table)
    return int(any("error" in row for row in rows))


def given_photos(given: Sequence[str]) -> list[Path]:
    """Photos as they are given, and those in folders, by name. Raises ValueError for a file that
    is not there and for a folder without photos.
    """
    from dishvl_lib.dish import given_files

    files = given_files(given)
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise ValueError(f"no photo {listed(missing)}")
    return files


def _asking(recognizer: Any, menu: list[str] | None, top_k: int) -> Callable[[Path], Any]:
    if menu is None:
        return recognizer.name
    return lambda photo: recognizer.choose(photo, menu, top_k=top_k)


def _row(photo: Path, ask: Callable[[Path], Any]) -> Record:
    """photo, and what is said of it: `name`, or `answer`, `on_menu` and `entries`; or `error`.
    `shown` is the line for people.
    """
    try:
        said = ask(photo)
    except images.ImageError as error:
        return {"photo": str(photo), "error": f"the photo is {error}"}
    if isinstance(said, str):
        return {"photo": str(photo), "name": said, "shown": said}
    choice = asdict(said)
    return {"photo": str(photo), **choice, "shown": str(said)}


def _show(row: Record, as_json: bool) -> None:
    if as_json:
        fields = {key: value for key, value in row.items() if key != "shown"}
        print(json.dumps(fields, ensure_ascii=False), flush=True)
    elif "error" in row:
        message = f"dishvl: {row['photo']} is not answered, {row['error']}"
        print(message, file=sys.stderr, flush=True)
    else:
        print(f"{row['photo']}\t{row['shown']}", flush=True)


def _cells(row: Record) -> list[str]:
    """A row of the table, as CSV_COLUMNS."""
    on_menu = row.get("on_menu")
    entries = [f"{entry} {probability:.4f}" for entry, probability in row.get("entries", ())]
    return [
        row["photo"],
        row.get("name") or row.get("answer") or "",
        "" if on_menu is None else f"{on_menu:.4f}",
        "; ".join(entries),
        row.get("error", ""),
    ]


def opened(model: AnyPath, use_gallery: bool) -> Any:
    """The `Recognizer`, or the `Hybrid` of it and its gallery."""
    from dishvl_lib import Gallery, Hybrid, Recognizer

    recognizer = Recognizer.load(model)
    folder = Gallery.of_model(recognizer.qwen.folder) if use_gallery else None
    if folder is None:
        return recognizer
    return Hybrid(recognizer, Gallery.load(folder))


def newest_best() -> Path:
    """`best/` of the run that was trained last. Raises RuntimeError when there is none."""
    folders = sorted(
        paths.outputs().glob("*/04_training/best/config.json"),
        key=lambda file: file.stat().st_mtime,
    )
    if not folders:
        raise RuntimeError("no trained model under outputs/; give --model FOLDER")
    return folders[-1].parent
