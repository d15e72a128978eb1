"""`dishvl predict PHOTO ...`: the name of each photo's dish, or its entry of a menu; with the
gallery that lies beside the model, where there is one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dishvl_lib.core import images, menu_entries, paths
from dishvl_lib.core.types import AnyPath


def answer(
    photos: Sequence[str],
    model: str | None = None,
    menu_file: str | None = None,
    use_gallery: bool = True,
) -> int:
    """Print a line per photo; 1 when one could not be read (the others are answered all the same),
    otherwise 0.

    Raises ValueError, `ModelError` or `GalleryError` for a menu, a model or a gallery that cannot
    be used.
    """
    from dishvl_lib.vlm.written_menus import as_read

    menu = menu_entries.read(menu_file) if menu_file else None
    if menu is not None:
        as_read(menu)  # before the model takes its time to load
    recognizer = _opened(model or newest_best(), use_gallery)
    unread = 0
    for photo in photos:
        try:
            print(
                f"{photo}\t{recognizer.choose(photo, menu) if menu else recognizer.name(photo)}",
                flush=True,
            )
        except images.ImageError as error:
            unread += 1
            print(f"dishvl: {photo} is not answered, the photo is {error}", file=sys.stderr)
    return int(unread > 0)


def _opened(model: AnyPath, use_gallery: bool) -> Any:
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
