"""The one way a photo becomes pixels in this project: `load_rgb`, and what is said when it cannot."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_IMAGE_PIXELS = 100_000_000
# What is tried on a file, whatever its suffix: no EPS, which would start Ghostscript, and nothing
# exotic.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
Image.MAX_IMAGE_PIXELS = (
    None  # our own limit is checked from the header, before anything is decoded
)


class ImageError(ValueError):
    """A photo that cannot be used. `reason` is one of a few fixed words, `detail` says what was
    seen.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def load_rgb(
    source: str | Path | bytes | Image.Image,
    *,
    draft_size: tuple[int, int] | None = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Image.Image:
    """Decode one photo completely: RGB, upright, alpha on white, 16 bit scaled, first frame of an
    animation.

    `draft_size` (width, height as seen upright) lets a JPEG decode at a reduced scale that is still
    at least that large; the whole bitstream is read all the same. Raises `ImageError` with reason
    `missing`, `unreadable`, `empty`, `not an image`, `too large` or `damaged`; truncated files are
    refused, never filled up with grey.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(ImageOps.exif_transpose(source))
    return _decode(_open(source), draft_size, max_image_pixels)


def examine(
    content: bytes, draft_size: tuple[int, int], max_image_pixels: int = MAX_IMAGE_PIXELS
) -> tuple[tuple[int, int], Image.Image]:
    """((width, height) as seen upright, the photo in grey) of an encoded photo, decoded to its last
    bit, once.

    `draft_size` as in `load_rgb`. A JPEG's colours are read and checked like its brightness, but
    not computed. Raises `ImageError`.
    """
    image = _open(content)
    return _upright_size(image), _decode(image, draft_size, max_image_pixels, "L", _to_grey)


def upright_size(source: str | Path | bytes) -> tuple[int, int]:
    """(width, height) as seen after EXIF orientation, from the header alone. Raises `ImageError`."""
    with _open(source) as image:
        return _upright_size(image)


def jpeg_bytes(image: Image.Image, longest_side: int, quality: int = 90) -> bytes:
    """The photo as JPEG, scaled down (never up) so that its longer side is at most `longest_side`
    pixels.
    """
    copy = image.copy()
    copy.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _upright_size(image: Image.Image) -> tuple[int, int]:
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (
        Exception
    ) as error:  # EXIF blocks are read by a parser of their own, which raises as it likes
        raise ImageError("damaged", f"EXIF: {type(error).__name__}: {error}") from None
    return image.size[::-1] if turned else image.size


def _decode(
    image: Image.Image,
    draft_size: tuple[int, int] | None,
    max_image_pixels: int,
    draft_mode: str | None = None,
    convert: Callable[[Image.Image], Image.Image] | None = None,
) -> Image.Image:
    """The whole photo, upright and converted (to RGB by default); `draft_mode` is what a JPEG's
    decoder is asked for.
    """
    width, height = image.size
    if width * height > max_image_pixels:
        image.close()
        raise ImageError(
            "too large", f"{width}x{height} is over the limit of {max_image_pixels:,} pixels"
        )
    if draft_size and image.format == "JPEG":
        image.draft(
            draft_mode, draft_size if _upright_size(image) == image.size else draft_size[::-1]
        )
    try:
        image.load()
        return (convert or _to_rgb)(ImageOps.exif_transpose(image))
    except (
        Exception
    ) as error:  # Pillow's decoders raise half a dozen unrelated classes for damaged data
        raise ImageError("damaged", f"{type(error).__name__}: {error}") from None


def _open(source: str | Path | bytes) -> Image.Image:
    try:
        if isinstance(source, bytes):
            if not source:
                raise ImageError("empty", "0 bytes")
            return Image.open(io.BytesIO(source), formats=FORMATS)
        if Path(source).stat().st_size == 0:
            raise ImageError("empty", "0 bytes")
        return Image.open(source, formats=FORMATS)
    except FileNotFoundError:
        raise ImageError("missing", f"no such file: {os.fsdecode(source)}") from None
    except UnidentifiedImageError:
        raise ImageError("not an image", "the bytes are of no known image format") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError("damaged", str(error)) from None


def _to_grey(image: Image.Image) -> Image.Image:
    return (
        image
        if image.mode == "L" and "transparency" not in image.info
        else _to_rgb(image).convert("L")
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image
