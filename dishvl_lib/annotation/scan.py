"""Looking at every photo once: is it whole, how large, what bytes, what hashes, how sharp. A killed
scan goes on.

What was seen is kept per photo folder under the file's path, size and times, so that a second scan
(another threshold, another split, a rehearsal) decodes only files that are new or were touched.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from dishvl_lib.annotation.layout import PhotoFile, Refused, printable, relative_path
from dishvl_lib.core import images, photo_files, photo_hashes, records
from dishvl_lib.core.decoding_memory import DecodingMemory
from dishvl_lib.core.progress import Progress
from dishvl_lib.core.types import Record

VERSION = 2  # of what is kept: another hash or draft size makes old entries worthless
MOST_BYTES = 2_000_000_000  # what decoding one photo may take
MIN_SIDE = 32  # pixels; icons and thumbnails show no dish
MAX_ASPECT_RATIO = 200  # the model's image processor refuses longer strips
DRAFT = photo_hashes.DRAFT
# Refusals that another look may lift: rights, disks, links, memory, parameters and installed
# libraries change without the file changing.
PASSING = ("unreadable", "missing", "out of memory", "too large", photo_files.NO_HEIC_READER)
LOOKED = {"width", "height", "sha256", "phash", "phash_mirrored", "sharpness"}
REFUSED = {"reason", "detail"}
CHUNK = 2000  # photos in hand at once: memory does not grow with the folder


def examine(
    photos: Sequence[PhotoFile],
    image_root: Path,
    workers: int,
    cache: Path | None = None,
    max_image_pixels: int = images.MAX_IMAGE_PIXELS,
) -> tuple[list[tuple[PhotoFile, Record]], list[Refused]]:
    """([(photo, {width, height, sha256, phash, phash_mirrored, sharpness})], left out), in the
    order of `photos`.

    Each photo is decoded to its last bit in one of `workers` threads, large ones one after the
    other. `cache`: a folder where results are kept; None keeps nothing. Photos of more than
    `max_image_pixels` are left out.
    """
    seen = _KeptScans(cache, image_root, max_image_pixels)
    whole = []
    left_out = []
    try:
        progress = Progress("photos looked at", len(photos))
        for photo, looked in _look_at_all(photos, seen, workers):
            progress.advance()
            if "reason" in looked:
                left_out.append(
                    (relative_path(photo.file, image_root), looked["reason"], looked["detail"])
                )
            else:
                whole.append((photo, looked))
        progress.close()
    finally:
        seen.close()
    return whole, left_out


def look(
    file: Path,
    max_image_pixels: int = images.MAX_IMAGE_PIXELS,
    memory: DecodingMemory | None = None,
) -> Record:
    """What a scan keeps of one photo, or {reason, detail} when it cannot be used.

    `memory`: what is shared with the photos that are decoded at the same time.
    """
    memory = memory or DecodingMemory()
    try:
        needed = images.decoding_bytes(file, DRAFT) + os.stat(file).st_size
        if needed > MOST_BYTES:
            return {"reason": "too large", "detail": f"decoding it takes {needed / 2**30:.1f} GiB"}
        return memory.decode(needed, partial(_examined, file, max_image_pixels))
    except images.ImageError as error:
        return {"reason": error.reason, "detail": printable(error.detail)}
    except MemoryError:
        return {"reason": "out of memory", "detail": "the file does not fit into memory now"}
    except FileNotFoundError:
        return {
            "reason": "missing",
            "detail": "there is no such file (any more), or a link leads nowhere",
        }
    except OSError as error:
        return {"reason": "unreadable", "detail": error.strerror or str(error)}


def _examined(file: Path, max_image_pixels: int) -> Record:
    content = file.read_bytes()
    (width, height), grey = images.examine(content, DRAFT, max_image_pixels)
    if min(width, height) < MIN_SIDE:
        detail = f"{width}x{height}; a side has at least {MIN_SIDE} pixels"
        return {"reason": "too small", "detail": detail}
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        detail = (
            f"{width}x{height}; the longer side may be at most {MAX_ASPECT_RATIO} times the shorter"
        )
        return {"reason": "too narrow", "detail": detail}
    phash, mirrored = photo_hashes.perceptual_hashes(grey)
    return {
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "phash": phash,
        "phash_mirrored": mirrored,
        "sharpness": sharpness(grey),
    }


def sharpness(grey: Image.Image) -> float:
    """Mean squared difference of pixels two apart, in both directions, at 120 x 120 (Brenner et al.
    1976): small out of focus.
    """
    pixels = np.asarray(grey.resize(DRAFT, Image.Resampling.BOX), dtype=np.float32)
    across = (pixels[:, 2:] - pixels[:, :-2]).ravel()
    down = (pixels[2:] - pixels[:-2]).ravel()
    mean_across = across @ across / across.size
    mean_down = down @ down / down.size
    return round(float(mean_across + mean_down), 1)


def _look_at_all(
    photos: Sequence[PhotoFile], seen: "_KeptScans", workers: int
) -> Iterator[tuple[PhotoFile, Record]]:
    rest = iter(photos)
    with ThreadPoolExecutor(workers) as pool:
        while part := list(islice(rest, CHUNK)):
            for photo, (looked, news) in zip(part, pool.map(seen.look, part), strict=True):
                seen.keep(news)
                yield photo, looked
            seen.flush()


class _KeptScans:
    """The kept results of one photo folder: a file of JSON lines [path, stamp, looked]; the last
    line of a path counts.
    """

    def __init__(self, folder: Path | None, image_root: Path, max_image_pixels: int):
        self.root = Path(image_root)
        self.max_image_pixels = max_image_pixels
        self.memory = DecodingMemory()
        self.kept: dict[str, tuple[list[int], Record]] = {}
        self.file: TextIO | None = None
        if folder:
            name = hashlib.sha256(
                str(self.root.resolve()).encode("utf-8", "surrogateescape")
            ).hexdigest()[:16]
            self._open(Path(folder) / f"{name}-v{VERSION}.jsonl")

    def look(self, photo: PhotoFile) -> tuple[Record, list | None]:
        """(what is known of the photo, the line to keep when it is new)."""
        path = relative_path(photo.file, self.root)
        stamp = _stamp(photo.file)
        kept = self.kept.get(path)
        if kept and kept[0] == stamp and self._within_limit(kept[1]):
            return kept[1], None
        looked = look(photo.file, self.max_image_pixels, self.memory)
        return looked, [path, stamp, looked] if stamp and looked.get(
            "reason"
        ) not in PASSING else None

    def _within_limit(self, looked: Record) -> bool:
        """Whether a photo that was looked at under another limit is within this one."""
        return looked.get("width", 0) * looked.get("height", 0) <= self.max_image_pixels

    def keep(self, news: list | None) -> None:
        if news and self.file:
            self.file.write(json.dumps(news, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        if self.file:
            with records.naming_full_disk(self.file.name):
                self.file.flush()

    def close(self) -> None:
        self.memory.close()
        if self.file:
            self.file.close()

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8", "replace").split("\n") if path.exists() else []
        damaged = 0
        for line in filter(None, lines):
            entry = _entry(line)
            if entry:
                place, stamp, looked = entry
                self.kept[place] = stamp, looked
            damaged += entry is None
        if damaged > 1:  # one line may be cut short by a kill
            print(
                f"{damaged} lines of {path} are damaged; their photos are looked at again",
                flush=True,
            )
        self.file = open(path, "a", encoding="utf-8")
        if lines[-1:] not in ([], [""]):
            self.file.write("\n")  # the line that was cut short must not swallow the next


def _entry(line: str) -> tuple[str, list[int], Record] | None:
    """A kept line, or None when it is damaged."""
    try:
        place, stamp, looked = json.loads(line)
    except (ValueError, TypeError):
        return None
    if not isinstance(place, str) or not isinstance(looked, dict):
        return None
    whole = looked.keys() == LOOKED or looked.keys() == REFUSED
    return (place, stamp, looked) if whole else None


def _stamp(file: Path) -> list[int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
