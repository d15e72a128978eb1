"""Photos that a person gives for a dish: read once, hashed, with their features and a small
picture.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dishvl_lib.core import images, photo_hashes
from dishvl_lib.core.types import AnyPath, PhotoSource
from dishvl_lib.similarity.embedder import Embedder

PICTURE_SIDE = 160  # pixels
PICTURE_QUALITY = 80


@dataclass(frozen=True)
class GivenPhoto:
    """A photo that could be read. `label`: its path, or its number where it has none; `picture`: a
    small JPEG.
    """

    label: str
    sha256: str
    phash: str
    phash_mirrored: str
    feature: np.ndarray
    picture: bytes


@dataclass(frozen=True)
class LeftOut:
    """A photo that is not registered, and why."""

    label: str
    reason: str

    def __str__(self) -> str:
        return f"{self.label} is left out, the photo is {self.reason}"


def read(
    sources: Sequence[PhotoSource], embedder: Embedder
) -> tuple[list[GivenPhoto], list[LeftOut]]:
    """(photos, those left out): unreadable ones, and those whose bytes were given before."""
    given: list[GivenPhoto] = []
    left_out = []
    for number, source in enumerate(sources, start=1):
        label = str(source) if isinstance(source, AnyPath) else f"photo {number}"
        try:
            photo = _read_photo(label, source, embedder)
        except images.ImageError as error:
            left_out.append(LeftOut(label, str(error)))
            continue
        twice = [other.label for other in given if other.sha256 == photo.sha256]
        if twice:
            left_out.append(LeftOut(label, f"the same file as {twice[0]}"))
        else:
            given.append(photo)
    return given, left_out


def content_of(source: PhotoSource) -> bytes:
    """The bytes of a photo; of a picture in memory those of a PNG.

    Raises `ImageError` for what is no photo, or one of too many pixels.
    """
    content = _bytes_of(source)
    width, height = images.upright_size(content)
    if width * height > images.MAX_IMAGE_PIXELS:
        limit = f"over the limit of {images.MAX_IMAGE_PIXELS:,} pixels"
        raise images.ImageError("too large", f"{width}x{height} is {limit}")
    return content


def _bytes_of(source: PhotoSource) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, Image.Image):
        buffer = io.BytesIO()
        images.load_rgb(source).save(buffer, "PNG")
        return buffer.getvalue()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise images.ImageError("missing", f"no such file: {source}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise images.ImageError("unreadable", reason) from None


def picture_of(content: bytes) -> bytes:
    """A small JPEG. Raises `ImageError`."""
    draft = (PICTURE_SIDE, PICTURE_SIDE)
    photo = images.load_rgb(content, draft_size=draft, max_image_pixels=images.MAX_IMAGE_PIXELS)
    return images.jpeg_bytes(photo, PICTURE_SIDE, PICTURE_QUALITY)


def _read_photo(label: str, source: PhotoSource, embedder: Embedder) -> GivenPhoto:
    content = content_of(source)
    _, grey = images.examine(content, photo_hashes.DRAFT, images.MAX_IMAGE_PIXELS)
    phash, mirrored = photo_hashes.perceptual_hashes(grey)
    return GivenPhoto(
        label=label,
        sha256=hashlib.sha256(content).hexdigest(),
        phash=phash,
        phash_mirrored=mirrored,
        feature=embedder.features([content])[0],
        picture=picture_of(content),
    )
