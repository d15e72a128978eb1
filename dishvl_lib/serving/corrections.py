"""What an operator says of a wrong answer: the photo in a folder of its right dish, and a row in a
table.

    corrections/corrections.csv           time, photo, site, answer, right_dish
    corrections/<dish>/<sha256>.jpg       as `dishvl dish add` and `image_root` take it
"""

import contextlib
import hashlib
import threading
from pathlib import Path
from typing import NamedTuple

from dishvl_lib.core import file_names, images, names, paths, photo_files, records
from dishvl_lib.core.decisions import AppendedFile
from dishvl_lib.serving.errors import bad_value, of_image

TABLE = "corrections.csv"
COLUMNS = ("time", "photo", "site", "answer", "right_dish")
NAME_DIGITS = 24  # of the photo's sha256
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


class Correction(NamedTuple):
    """`photo`: bytes; `answer`: the service's, '' for none; `site`: whose menu it was, or ''."""

    photo: bytes
    right_dish: str
    answer: str = ""
    site: str = ""


class Corrections:
    """The corrections in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._one_at_a_time = threading.Lock()

    def add(self, correction: Correction) -> Path:
        """Keep a photo under its right dish; returns its path within the folder.

        A photo that was corrected before, to another dish, moves. Raises `ServiceError` 422 for a
        name that can be no dish's folder, and for a photo that cannot be read.
        """
        dish = folder_name(correction.right_dish)
        suffix = _suffix(correction.photo)
        digest = hashlib.sha256(correction.photo).hexdigest()
        photo = Path(dish) / f"{digest[:NAME_DIGITS]}{suffix}"
        with self._one_at_a_time:
            self._keep(photo, correction.photo)
            row = {
                "photo": photo.as_posix(),
                "site": file_names.writable(correction.site),
                "answer": file_names.writable(correction.answer),
                "right_dish": dish,
            }
            AppendedFile(self.folder / TABLE, COLUMNS).append([row])
        return photo

    def _keep(self, photo: Path, content: bytes) -> None:
        target = self.folder / photo
        if target.is_file():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        for before in self.folder.glob(f"*/{photo.name}"):
            before.replace(target)
            with contextlib.suppress(OSError):
                before.parent.rmdir()  # a dish without photos is none
            return
        with records.atomic_path(target) as temporary:
            temporary.write_bytes(content)


def folder_name(dish: str) -> str:
    """A dish's name as its folder is called. Raises `ServiceError` 422."""
    name = names.clean(dish)
    fault = names.fault_of(name)
    if fault:
        raise bad_value(f"right_dish {dish!r}: {fault.reason}")
    problem = paths.name_problem(name)
    if name == TABLE:
        problem = "is the table's name"
    if problem:
        raise bad_value(f"right_dish {dish!r} {problem}")
    return name


def _suffix(content: bytes) -> str:
    """The suffix of a photo that can be decoded to its end. Raises `ServiceError`."""
    try:
        with photo_files.open_photo(content) as image:
            kind = image.format or ""
        images.load_rgb(content, max_image_pixels=images.MAX_IMAGE_PIXELS)
    except images.ImageError as error:
        raise of_image(error) from None
    return SUFFIXES.get(kind, f".{kind.lower()}")
