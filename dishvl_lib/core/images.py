"""The one way a photo becomes pixels in this project: `load_rgb`, and what is said when it
cannot.
"""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dishvl_lib.core import photo_files
from dishvl_lib.core.photo_files import ImageError
from dishvl_lib.core.types import AnyPath, PhotoSource

__all__ = [
    "ImageError",
    "decoding_bytes",
    "examine",
    "is_read_alike",
    "jpeg_bytes",
    "load_rgb",
    "orientation",
    "upright_size",
]

Size = tuple[int, int]  # width, height in pixels
MAX_IMAGE_PIXELS = 250_000_000  # what is taken from people; a catalogue's photos are any size
# A JPEG beyond this is decoded at half its sides: no use of a photo here needs more.
FULL_DECODE_PIXELS = 100_000_000
BAND_PIXELS = 4_000_000  # converted at once, so that a large photo has no second full-size copy
# Bytes a pixel: four in Pillow and one of the grey copy, and what the decoder itself holds.
DECODING_BYTES = {"WEBP": 17, "AVIF": 13, "HEIF": 13}
ORIENTATION = 0x0112  # EXIF tag
_PLAIN_MODES = ("RGB", "L")  # for which every reader's RGB is the same
_SAYS_ORIENTATION = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # of `info`
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation[^0-9]{1,3}([1-8])")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Our own limit is checked from the header, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def load_rgb(
    source: AnyPath | bytes | Image.Image,
    *,
    draft_size: Size | None = None,
    max_image_pixels: int | None = None,
) -> Image.Image:
    """Decode one photo completely: RGB, upright, alpha on white, 16 bit scaled, first frame of an
    animation.

    `draft_size` (width, height as seen upright) lets a JPEG decode at a reduced scale that is still
    at least that large; the whole bitstream is read all the same. A JPEG over FULL_DECODE_PIXELS is
    halved in any case. `max_image_pixels`: the largest photo that is decoded, None for any. Raises
    `ImageError` with reason `missing`, `unreadable`, `empty`, `not an image`, `HEIC`, `too large`,
    `out of memory` or `damaged`; truncated files are refused, never filled up with grey.
    """
    if isinstance(source, Image.Image):
        return _upright(_converted(source, "RGB"), _orientation(source))
    return _decode(source, draft_size, max_image_pixels, "RGB")


def examine(
    content: bytes, draft_size: Size, max_image_pixels: int | None = None
) -> tuple[Size, Image.Image]:
    """((width, height) as seen upright, the photo in grey) of an encoded photo, decoded to its last
    bit, once.

    `draft_size` and `max_image_pixels` as in `load_rgb`. A JPEG's colours are read and checked like
    its brightness, but not computed. Raises `ImageError`.
    """
    return upright_size(content), _decode(content, draft_size, max_image_pixels, "L")


def upright_size(source: AnyPath | bytes) -> Size:
    """(width, height) as seen after EXIF orientation, from the header alone. Raises
    `ImageError`.
    """
    with photo_files.open_photo(source) as image:
        return _upright_size(image)


def orientation(source: AnyPath | bytes) -> int:
    """How a photo lies by EXIF or XMP: 1 (upright) to 8, of which 5 to 8 exchange its sides. Raises
    `ImageError`.
    """
    with photo_files.open_photo(source) as image:
        return _orientation(image)


def is_read_alike(content: bytes) -> bool:
    """Whether Pillow by itself, turning by EXIF as servers of models do, sees in an encoded photo
    the pixels that `load_rgb` gives; it is decoded to its last bit, a JPEG at a reduced scale.

    False for what `load_rgb` alone does: alpha on white, 16 bit scaled, HEIC, very large JPEGs
    halved, text chunks passed over; and for a damaged photo.
    """
    try:
        with Image.open(io.BytesIO(content), formats=photo_files.FORMATS) as image:
            return _is_read_alike(image)
    # Pillow's decoders raise half a dozen unrelated classes, as in `_decode`.
    except Exception:
        return False


def decoding_bytes(source: AnyPath | bytes, draft_size: Size) -> int:
    """About how much memory `examine` takes for a photo, from its header. Raises `ImageError`."""
    with photo_files.open_photo(source) as image:
        width, height = image.size
        if _is_jpeg(image):
            # A progressive JPEG's coefficients (2 bytes, 3 channels) are kept until its last scan.
            coefficients = 6 * width * height if "progressive" in image.info else 0
            least_width, least_height = draft_size
            times = min(width // least_width, height // least_height)
            # JPEG decodes at an eighth at the least.
            scale = max(1, min(times, 8))
            return coefficients + 3 * width * height // scale**2
        return width * height * DECODING_BYTES.get(image.format or "", 5)


def loading_bytes(source: PhotoSource, max_image_pixels: int | None = None) -> int:
    """About how much memory `load_rgb` takes for a photo, from its header; 0 for one that is decoded
    already, or that it refuses by its header.
    """
    if isinstance(source, Image.Image):
        return 0
    try:
        width, height = upright_size(source)
        if max_image_pixels and width * height > max_image_pixels:
            return 0
        return decoding_bytes(source, (width, height))
    except (ImageError, OSError):
        return 0


def jpeg_bytes(image: Image.Image, longest_side: int, quality: int = 90) -> bytes:
    """The photo as JPEG, scaled down (never up) so that its longer side is at most `longest_side`
    pixels.
    """
    copy = image.copy()
    copy.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _decode(
    source: AnyPath | bytes,
    draft_size: Size | None,
    max_image_pixels: int | None,
    mode: str,
) -> Image.Image:
    """The whole photo, upright, in `mode` RGB or L."""
    image = photo_files.open_photo(source)
    width, height = image.size
    if max_image_pixels is not None and width * height > max_image_pixels:
        image.close()
        detail = f"{width}x{height} is over the limit of {max_image_pixels:,} pixels"
        raise ImageError("too large", detail)
    orientation = _orientation(image)
    _set_draft(image, draft_size, mode)
    try:
        image.load()
        return _upright(_converted(image, mode), orientation)
    except MemoryError:
        detail = f"{width}x{height} does not fit into memory now"
        raise ImageError("out of memory", detail) from None
    except OSError as error:
        if error.errno:  # the disk's fault or the network's; what a decoder finds has no number
            raise ImageError("unreadable", error.strerror or str(error)) from None
        raise ImageError("damaged", f"{type(error).__name__}: {error}") from None
    # Pillow's decoders raise half a dozen unrelated classes for damaged data.
    except Exception as error:
        bare = _without_asides(source)
        if bare is not None:
            return _decode(bare, draft_size, max_image_pixels, mode)
        raise ImageError("damaged", f"{type(error).__name__}: {error}") from None


def _without_asides(source: AnyPath | bytes) -> bytes | None:
    """A PNG without the text that may have been refused after its pixels; None when it has none."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    bare = photo_files.without_asides(content)
    return None if bare == content else bare


def _is_read_alike(image: Image.Image) -> bool:
    width, height = image.size
    is_plain = image.mode in _PLAIN_MODES and "transparency" not in image.info
    largest = FULL_DECODE_PIXELS if _is_jpeg(image) else MAX_IMAGE_PIXELS
    if not is_plain or width * height > largest:
        return False
    orientation = _orientation(image)
    _set_draft(image, (1, 1), "RGB")
    image.load()
    expected = _upright(image, orientation)
    turned = _turned_by_pillow(image)
    return turned.size == expected.size and turned.tobytes() == expected.tobytes()


def _turned_by_pillow(image: Image.Image) -> Image.Image:
    """The photo upright where Pillow can turn it, and otherwise as it lies: what servers go on
    with.
    """
    try:
        return ImageOps.exif_transpose(image)
    # It writes EXIF back, which fails for many cameras' tags in as many ways.
    except Exception:
        return image


def _set_draft(image: Image.Image, draft_size: Size | None, mode: str) -> None:
    """Let a JPEG decode at a reduced scale where that is enough."""
    if not _is_jpeg(image):
        return
    width, height = image.size
    if draft_size:
        is_turned = _upright_size(image) != image.size
        size = draft_size[::-1] if is_turned else draft_size
        image.draft("L" if mode == "L" else None, size)
    elif width * height > FULL_DECODE_PIXELS:
        image.draft(None, (width // 2, height // 2))


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _upright_size(image: Image.Image) -> Size:
    return image.size[::-1] if _orientation(image) in (5, 6, 7, 8) else image.size


def _orientation(image: Image.Image) -> int:
    """How the photo lies, 1 (upright) to 8, as EXIF or XMP say; 1 where they say nothing sound.

    Only read: writing EXIF back, as Pillow's `exif_transpose` does, fails for many cameras' tags.
    """
    try:
        stated = image.getexif().get(ORIENTATION)
    # The block is read by a parser of its own, which raises as it likes.
    except Exception:
        stated = None
    first = stated[0] if isinstance(stated, tuple) and stated else stated
    if first is None:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        raw = xmp.encode() if isinstance(xmp, str) else xmp
        match = _XMP_ORIENTATION.search(raw)
        first = int(match[1]) if match else 1
    return first if isinstance(first, int) and 1 <= first <= 8 else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    if orientation not in _TURNS:
        return image
    turned = image.transpose(_TURNS[orientation])
    # It lies as it should now; a crop of it that is loaded again must not be turned once more.
    for key in _SAYS_ORIENTATION:
        turned.info.pop(key, None)
    return turned


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """The photo in mode RGB or L, alpha on white, 16 bit scaled: in bands, without a second copy of
    full size.
    """
    if image.mode == mode and "transparency" not in image.info:
        return image
    width, height = image.size
    top = _top_value(image)
    converted = Image.new(mode, image.size)
    rows = max(1, BAND_PIXELS // width)
    for first in range(0, height, rows):
        band = image.crop((0, first, width, min(first + rows, height)))
        converted.paste(_band_converted(band, mode, top), (0, first))
    return converted


def _top_value(image: Image.Image) -> float:
    """The value that becomes white in an image of more than 8 bits."""
    if not _is_deep(image):
        return 255.0
    largest = np.max(image.getextrema())
    return 65535.0 if largest > 255 else 255.0


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _band_converted(band: Image.Image, mode: str, top: float) -> Image.Image:
    if _is_deep(band):
        values = np.asarray(band, dtype=np.float64)
        scaled = np.clip(values / top * 255, 0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert(mode)
    if band.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in band.info:
        rgba = band.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB").convert(mode)
    return band.convert("RGB").convert(mode)
