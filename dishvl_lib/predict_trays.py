"""`dishvl predict TRAY.jpg --menu FILE --detector FILE`: every dish on photos of whole trays."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from dishvl_lib import predict
from dishvl_lib.core import artefacts, images, menu_entries, records
from dishvl_lib.core.types import Record, Records

if TYPE_CHECKING:
    from dishvl_lib.trays import Tray, TrayDish, Trays

CSV_COLUMNS = (
    "photo",
    "dish",
    *artefacts.CORNERS,
    "score",
    "answer",
    "share",
    "entries",
    "review",
    "error",
)
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
NO_MENU = "a tray's dishes are chosen from the day's menu: give --menu FILE"


def answer(request: predict.Request) -> int:
    """Print what lies on each photo; 1 when one could not be read or nothing was found on it (the
    others are answered all the same), otherwise 0.

    Raises ValueError, `ModelError` or `GalleryError` for what cannot be used.
    """
    from dishvl_lib.vlm.written_menus import as_read

    if not request.menu_file:
        raise ValueError(NO_MENU)
    menu = menu_entries.read(request.menu_file)
    as_read(menu)
    photos = predict.given_photos(request.photos)
    pictures = _pictures(request.save, photos)
    trays = _opened(request)
    rows: Records = []
    try:
        for photo in photos:
            rows.append(_row(photo, trays, menu, request.top_k, pictures.get(photo)))
            _show(rows[-1], request.as_json)
    finally:  # what was answered until an interruption is in the table too
        if request.csv_file:
            records.write_table(request.csv_file, _table(rows))
    return int(any("error" in row for row in rows))


def unproved(crop_margin: float) -> str:
    """The sentence for a margin that somebody gave because nobody knows the recogniser's."""
    return (
        f"dishes are cropped by margin {crop_margin:g}, and whether the recogniser was trained on "
        "such crops is not known"
    )


def _opened(request: predict.Request) -> "Trays":
    from dishvl_lib import Trays

    assert request.detector is not None
    detector = request.detector.opened()
    recognizer = predict.opened(request.model or predict.newest_best(), request.use_gallery)
    trays = Trays(detector, recognizer, crop_margin=request.detector.crop_margin)
    if not trays.is_proved:
        print(f"dishvl: {unproved(trays.crop_margin)}", file=sys.stderr, flush=True)
    return trays


def _pictures(save: str | None, photos: Sequence[Path]) -> dict[Path, Path]:
    """{photo: where its marked picture goes}: the file that is named for a single photo, otherwise
    files in the folder that is named. Raises ValueError for a name that cannot be a picture's, and
    for pictures that would lie where the photos lie.
    """
    if save is None:
        return {}
    target = Path(save)
    is_file = len(photos) == 1 and target.suffix != "" and not target.is_dir()
    if is_file and target.suffix.lower() not in PICTURES:
        raise ValueError(f"--save {save}: a picture's name ends in {' or '.join(PICTURES)}")
    if not is_file and target.is_file():
        raise ValueError(f"--save {save} is a file; name a folder for several photos")
    files = [target] if is_file else _in_folder(target, photos)
    given = {photo.resolve() for photo in photos}
    taken = [file for file in files if file.resolve() in given]
    if taken:
        raise ValueError(f"--save would write over the photo {taken[0]}; name another place")
    return dict(zip(photos, files, strict=True))


def _in_folder(folder: Path, photos: Sequence[Path]) -> list[Path]:
    """A name for each photo: its own, with a number behind it where another has the same."""
    counts: dict[str, int] = {}
    files = []
    for photo in photos:
        counts[photo.stem] = counts.get(photo.stem, 0) + 1
        number = counts[photo.stem]
        name = photo.stem if number == 1 else f"{photo.stem}-{number}"
        files.append(folder / f"{name}.jpg")
    return files


def _row(
    photo: Path, trays: "Trays", menu: Sequence[str], top_k: int, picture: Path | None
) -> Record:
    """photo, dishes, review and margin_is_proved; and `error` where there is no answer."""
    try:
        upright = images.load_rgb(photo, max_image_pixels=images.MAX_IMAGE_PIXELS)
    except images.ImageError as error:
        return {"photo": str(photo), "error": f"the photo is {error}"}
    tray = trays.recognise(upright, menu, top_k=top_k)
    row = {
        "photo": str(photo),
        "dishes": [_dish(dish) for dish in tray.dishes],
        "review": list(tray.review),
        "margin_is_proved": trays.is_proved,
    }
    if not tray.dishes:
        return {**row, "error": tray.nothing_found}
    if picture is not None:
        _save(upright, tray, picture)
    return row


def _dish(dish: "TrayDish") -> Record:
    return {
        "box": [round(side, 1) for side in dish.box],
        "score": round(dish.score, 4),
        "answer": dish.answer,
        "share": dish.share,
        "on_menu": dish.choice.on_menu,
        "entries": dish.choice.entries,
        "review": list(dish.review),
    }


def _save(upright: Image.Image, tray: "Tray", picture: Path) -> None:
    from dishvl_lib.display.trays import Mark, marked

    marks = []
    for number, dish in enumerate(tray.dishes, start=1):
        text = f"{number} {dish.answer} {dish.share:.0%}"
        marks.append(Mark(dish.box, text, "wrong" if dish.review else "found"))
    with records.atomic_path(picture) as temporary:
        marked(upright, marks).save(temporary)


def _show(row: Record, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row, ensure_ascii=False), flush=True)
        return
    if "error" in row:
        message = f"dishvl: {row['photo']} is not answered, {row['error']}"
        print(message, file=sys.stderr, flush=True)
        return
    n_dishes = len(row["dishes"])
    print(f"{row['photo']}\t{n_dishes} {'dish' if n_dishes == 1 else 'dishes'}")
    for number, dish in enumerate(row["dishes"], start=1):
        print(f"\t{number}\t{_shown(dish)}", flush=True)


def _shown(dish: Record) -> str:
    box = ",".join(f"{side:.0f}" for side in dish["box"])
    said = f"{box}\t{dish['answer']} {dish['share']:.1%}"
    return f"{said}\t({'; '.join(dish['review'])})" if dish["review"] else said


def _table(rows: Records) -> pd.DataFrame:
    """CSV_COLUMNS: a row a dish, and one for a photo without any."""
    lines = []
    for row in rows:
        for number, dish in enumerate(row.get("dishes", ()), start=1):
            lines.append(_cells(row, number, dish))
        if "error" in row:
            blank: list[Any] = [""] * (len(CSV_COLUMNS) - 2)
            lines.append([row["photo"], *blank, row["error"]])
    return pd.DataFrame(lines, columns=list(CSV_COLUMNS))


def _cells(row: Record, number: int, dish: Record) -> list[Any]:
    entries = [f"{entry} {share:.4f}" for entry, share in dish["entries"]]
    return [
        row["photo"],
        number,
        *dish["box"],
        dish["score"],
        dish["answer"],
        f"{dish['share']:.4f}",
        "; ".join(entries),
        "; ".join(dish["review"]),
        "",
    ]
