"""Files of photos: what their bytes say they are, whatever their names, and opening them."""

import io
import os
import struct
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from dishvl_lib.core import system_files
from dishvl_lib.core.types import AnyPath

# What is tried on a file, whatever its suffix: no EPS, which would start Ghostscript, and nothing
# exotic.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
HEIF = "HEIF"  # known to Pillow once pillow-heif is registered
PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".webp", ".bmp", ".dib"),
    *(".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
}
# TIFF by their bytes, but what a TIFF reader finds in them is a thumbnail.
RAW_SUFFIXES = {
    *(".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef"),
    *(".srw", ".x3f"),
}
NO_HEIC_READER = "HEIC"  # reason of an ImageError that another look may lift
HEIC_REMEDY = "it is HEIC, as phones make it; pip install 'dishvl[heic]' (or pillow-heif) reads it"
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes, by the versions of the format
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_PNG_SIGNATURE = _BEGINNINGS[1]
# Text and colour profiles: nothing that a photo's pixels need, and Pillow refuses large ones.
_PNG_ASIDES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")

# Of EXIF tags that nobody reads here: a person can do nothing about them.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


class ImageError(ValueError):
    """A photo that cannot be used. `reason` is one of a few fixed words, `detail` says what was
    seen.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def is_photo(file: Path) -> bool:
    """Whether a file is a photo by its suffix or, for any other suffix, by its first bytes."""
    suffix = file.suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return True
    if suffix in RAW_SUFFIXES or not file.is_file():
        return False
    try:
        with open(file, "rb") as opened:
            return _begins_like_photo(opened.read(32))
    except OSError:
        return False


def open_photo(source: AnyPath | bytes) -> Image.Image:
    """The photo with its header read and nothing decoded. Raises `ImageError`."""
    try:
        return _opened(source)
    except FileNotFoundError:
        raise ImageError("missing", f"no such file: {os.fsdecode(str(source))}") from None
    except UnidentifiedImageError:
        return _open_heif(source)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        return _open_bare(source, error)


def without_asides(png: bytes) -> bytes:
    """A PNG without its text and colour profiles; other bytes as they are."""
    if not png.startswith(_PNG_SIGNATURE):
        return png
    kept = [_PNG_SIGNATURE]
    place = len(_PNG_SIGNATURE)
    while place + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        end = place + length + 12  # with length, kind and checksum
        if kind not in _PNG_ASIDES:
            kept.append(png[place:end])
        place = end
    return b"".join(kept)


def _opened(source: AnyPath | bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size == 0:
        raise ImageError("empty", "0 bytes")
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    return Image.open(file, formats=formats)


def _open_heif(source: AnyPath | bytes) -> Image.Image:
    if not _is_heif(_beginning(source)):
        raise ImageError("not an image", "the bytes are of no known image format")
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(NO_HEIC_READER, HEIC_REMEDY) from None
    pillow_heif.register_heif_opener()
    try:
        return _opened(source, (HEIF,))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise ImageError("damaged", f"HEIC: {error}") from None


def _open_bare(source: AnyPath | bytes, error: Exception) -> Image.Image:
    """A PNG whose text or colour profile is refused, opened without it."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    bare = without_asides(content)
    if bare == content:
        raise ImageError("damaged", str(error)) from None
    try:
        return _opened(bare)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as again:
        raise ImageError("damaged", str(again)) from None


def _beginning(source: AnyPath | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:32]
    with open(source, "rb") as file:
        return file.read(32)


def _begins_like_photo(beginning: bytes) -> bool:
    if beginning.startswith(_BEGINNINGS) or _is_heif(beginning):
        return True
    if beginning[:4] == b"RIFF":
        return beginning[8:12] == b"WEBP"
    if beginning[:2] == b"BM":
        return int.from_bytes(beginning[14:18], "little") in _BMP_HEADERS
    return _brand(beginning) in _AVIF_BRANDS


def _is_heif(beginning: bytes) -> bool:
    return _brand(beginning) in _HEIF_BRANDS


def _brand(beginning: bytes) -> bytes:
    """What kind of ISO media file this is; b"" for any other file."""
    return beginning[8:12] if beginning[4:8] == b"ftyp" else b""


def below(root: Path) -> list[Path]:
    """The photos in a folder and in those below it, by path; without what is hidden, and what
    systems and network drives leave behind.
    """
    files = []
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for name in sorted(names):
            file = Path(directory, name)
            if not _is_passed_over(name) and is_photo(file):
                files.append(file)
    return files


def _is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden or a system's."""
    return name.startswith(".") or system_files.refusal((name,), name) is not None
