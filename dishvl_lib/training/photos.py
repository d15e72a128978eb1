"""Photos as training reads them: decoded, resized, kept on disk, and turned or seen anew.

The pixels are the same with and without the cache, bit for bit. An entry is found by the content of
the photo's file, so that a changed photo never gives old pixels; it carries a checksum, and a
damaged one is made again. `fast` decoding reads a JPEG at a reduced scale that is still large
enough: other pixels, by little, so that only training may use it.
"""

import contextlib
import functools
import hashlib
import multiprocessing
import os
import struct
import uuid
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import PIL
import transformers
from PIL import Image, ImageEnhance

from dishvl_lib.core import images, paths, records
from dishvl_lib.vlm import inputs
from dishvl_lib.vlm.qwen import QwenInputs

CACHE = "resized_photos"
VERSION = 1
# an entry: CRC-32 of all that follows, width, height, RGB bytes
CHECKSUM = struct.Struct("<I")
SIZE = struct.Struct("<II")
# of another view at strength 1: the share of the sides that is cut off, and of light and colour
MOST_CUT = 0.3
MOST_RELIT = 0.2


class Photos:
    """Photos by path below `root`, RGB at the size the vision tower reads.

    `budget_mb`: room on disk (MiB, of all processes and workers together) for resized photos; 0:
    none are kept, and those that do not fit are decoded each time. `decoding`: as in `decode`.
    Raises `ImageError` for an unusable photo.
    """

    def __init__(self, root: Path, qwen: QwenInputs, budget_mb: int = 0, decoding: str = "exact"):
        self.root = root
        self.qwen = qwen
        self.decoding = decoding
        self.cache: PhotoCache | None = None
        if budget_mb:
            folder = paths.cache(CACHE) / cache_key(qwen, decoding)
            self.cache = shared_cache(folder, budget_mb * 2**20)

    def __getitem__(self, path: str) -> Image.Image:
        file = self.root / path
        if self.cache is None or not file.is_file():
            return decode(self.qwen, file, self.decoding)
        content = file.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        kept = self.cache.get(key)
        if kept is not None:
            return kept
        resized = decode(self.qwen, content, self.decoding)
        self.cache.put(key, resized)
        return resized


def decode(qwen: QwenInputs, source: Path | bytes, decoding: str = "exact") -> Image.Image:
    """A photo's file as the RGB image that `inputs.photo_inputs(..., resized=True)` takes.

    `exact`: what validation, evaluation and use see. `fast`: a JPEG is decoded at 1/2, 1/4 or 1/8
    of its size when that is no smaller than the resized photo, whose size stays the same. Raises
    `ImageError`, and ValueError for another word.
    """
    if decoding == "exact":
        return inputs.resize(qwen, images.load_rgb(source))
    if decoding != "fast":
        raise ValueError(f"photo_decoding is {decoding!r}; give exact or fast")
    size = inputs.resized_size(qwen, *images.upright_size(source))
    return images.load_rgb(source, draft_size=size).resize(
        size, Image.Resampling(int(qwen.image_processor.resample))
    )


def cache_bytes(sizes: Iterable[tuple[int, int]], qwen: QwenInputs) -> int:
    """Bytes on disk of the cache of photos of these sizes, each counted once.

    `sizes`: (width, height) in pixels, before resizing.
    """
    total = 0
    for size in sizes:
        width, height = inputs.resized_size(qwen, *size)
        total += CHECKSUM.size + SIZE.size + 3 * width * height
    return total


def cache_key(qwen: QwenInputs, decoding: str) -> str:
    """One short word for everything but the photo that decides its pixels.

    Pixel limits, filter, decoding, library versions.
    """
    processor = qwen.image_processor
    side = processor.patch_size * processor.merge_size
    return records.fingerprint(
        [
            VERSION,
            PIL.__version__,
            transformers.__version__,
            dict(processor.size),
            side,
            int(processor.resample),
            decoding,
        ]
    )[:16]


class PhotoCache:
    """Resized photos below `folder`, one file each.

    Written under another name and renamed: a reader sees all or nothing. `left`: bytes that may
    still be written, counted over this process and its workers. Processes of one training share the
    budget evenly.
    """

    def __init__(self, folder: Path, budget: int):
        self.folder = folder
        processes = int(os.environ.get("WORLD_SIZE", 1))
        self.left = multiprocessing.Value("q", (budget - bytes_below(folder)) // processes)

    def get(self, key: str) -> Image.Image | None:
        """The photo, or None when it is not there or damaged."""
        try:
            entry = memoryview(self._file(key).read_bytes())
        except OSError:
            return None
        start = CHECKSUM.size + SIZE.size
        if len(entry) < start:
            return None
        (checksum,) = CHECKSUM.unpack_from(entry)
        if checksum != zlib.crc32(entry[CHECKSUM.size :]):
            return None
        return Image.frombytes("RGB", SIZE.unpack_from(entry, CHECKSUM.size), entry[start:])

    def put(self, key: str, photo: Image.Image) -> None:
        """Keep a photo while there is room.

        A disk that refuses ends the keeping with a warning, not the training.
        """
        body = SIZE.pack(*photo.size) + photo.tobytes()
        with self.left.get_lock():
            if self.left.value < CHECKSUM.size + len(body):
                return
            self.left.value -= CHECKSUM.size + len(body)
        try:
            self._write(self._file(key), CHECKSUM.pack(zlib.crc32(body)) + body)
        except OSError as error:
            self.left.value = 0
            warnings.warn(
                f"photos are no longer kept in {self.folder} ({error}); from here on they "
                "are decoded each time",
                stacklevel=2,
            )

    def _write(self, file: Path, entry: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{uuid.uuid4().hex}.part")
        try:
            part.write_bytes(entry)
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / key


def bytes_below(folder: Path) -> int:
    """Of all files two levels down; one that another process renames meanwhile counts or not."""
    total = 0
    for file in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


@functools.cache
def shared_cache(folder: Path, budget: int) -> PhotoCache:
    """The one cache of this process for a folder: training and validation rows share its budget."""
    return PhotoCache(folder, budget)


def turned(photo: Image.Image, way: int) -> Image.Image:
    """One of the eight ways a photo taken from above can lie.

    Mirrored left-right, top-bottom, along the diagonal: the bits of `way`.
    """
    flips = (
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
    )
    for bit, flip in enumerate(flips):
        if way >> bit & 1:
            photo = photo.transpose(flip)
    return photo


def another_view(
    photo: Image.Image, chances: Sequence[float], strength: float = 1.0
) -> Image.Image:
    """The photo from nearer by, off centre and in other light, at its size.

    `chances`: six numbers in [0, 1): zoom, place (x, y), brightness, contrast, colour. `strength`:
    how far they reach; 1 cuts up to MOST_CUT off the sides and changes light by up to MOST_RELIT.
    """
    zoom, x, y, *light = chances
    nearer = 1 - MOST_CUT * strength * zoom
    width = photo.width * nearer
    height = photo.height * nearer
    left = x * (photo.width - width)
    top = y * (photo.height - height)
    box = (left, top, left + width, top + height)
    photo = photo.resize(photo.size, Image.Resampling.BILINEAR, box=box)
    relit = MOST_RELIT * strength
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for enhance, chance in zip(enhancers, light, strict=True):
        photo = enhance(photo).enhance(1 - relit + 2 * relit * chance)
    return photo
