"""What a photo's file is by its bytes, and photos with whole pixels and odd things around them."""

import io
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image, ImageOps, PngImagePlugin
from toys import encoded, jpeg, picture

from dishvl_lib.core import images, photo_files

PIXELS = picture(1)
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic"


def tag(number: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", number, kind, count) + value


def exif(*tags: bytes, after: bytes = b"") -> bytes:
    """An EXIF block of one directory, for orientation 6 and other tags."""
    entries = [tag(0x0112, 3, 1, struct.pack("<HH", 6, 0)), *tags]
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + after


AFTER = struct.pack("<I", 8 + 2 + 2 * 12 + 4)  # where the values begin after two tags
ODD_EXIF = {
    "a signed rational in an unsigned tag": exif(
        tag(0x011A, 10, 1, AFTER), after=struct.pack("<ii", -1, 0)
    ),
    "a resolution as text": exif(tag(0x011A, 2, 4, b"72\0\0")),
    "a negative short": exif(tag(0x0128, 8, 1, struct.pack("<hh", -2, 0))),
    "a signed long in a long tag": exif(tag(0x0100, 9, 1, struct.pack("<i", -5))),
    "an offset beyond the end": exif(tag(0x010F, 2, 50, struct.pack("<I", 60000))),
    "an unknown type": exif(tag(0x9999, 13, 1, bytes(4))),
}


@pytest.mark.parametrize("block", ODD_EXIF.values(), ids=ODD_EXIF.keys())
def test_an_odd_tag_does_not_cost_the_photo_nor_its_orientation(block):
    content = encoded(PIXELS, "JPEG", exif=block)
    assert images.load_rgb(content).size == PIXELS.size[::-1]


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff", b"Exif\0\0nonsense"])
def test_a_block_that_says_nothing_leaves_the_photo_upright(block):
    content = encoded(PIXELS, "JPEG", exif=block)
    assert images.load_rgb(content).tobytes() == images.load_rgb(encoded(PIXELS, "JPEG")).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_turned_upright(orientation):
    info = Image.Exif()
    info[0x0112] = orientation
    content = encoded(PIXELS, "PNG", exif=info)
    by_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    upright = images.load_rgb(content)
    assert upright.size == by_pillow.size
    assert upright.tobytes() == by_pillow.tobytes()


def with_chunk(png: bytes, kind: bytes, data: bytes, before: bytes) -> bytes:
    """A PNG with one more chunk in front of the first one of a kind."""
    place = png.index(before) - 4
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:place] + chunk + png[place:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_text_and_profiles_of_any_size_do_not_matter(kind, before):
    size = PngImagePlugin.MAX_TEXT_CHUNK + 1
    data = b"name\0\0" + zlib.compress(bytes(size))
    odd = with_chunk(encoded(PIXELS, "PNG"), kind, data, before)
    assert images.load_rgb(odd).tobytes() == PIXELS.tobytes()


def test_a_damaged_png_with_text_is_damaged_still():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x")
    whole = encoded(PIXELS, "PNG", pnginfo=info)
    with pytest.raises(images.ImageError, match="damaged"):
        images.load_rgb(whole[: len(whole) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_a_photo_is_known_by_its_bytes(tmp_path, kind):
    (tmp_path / "odd.suffix").write_bytes(encoded(PIXELS, kind))
    assert photo_files.is_photo(tmp_path / "odd.suffix")
    assert images.load_rgb(tmp_path / "odd.suffix").size == PIXELS.size


@pytest.mark.parametrize(
    "content", [b"", b"text", b"BM is how this text begins, a long one", b"%PDF"]
)
def test_other_files_are_no_photos(tmp_path, content):
    (tmp_path / "notes.txt").write_bytes(content)
    assert not photo_files.is_photo(tmp_path / "notes.txt")


def test_a_cameras_raw_file_is_no_photo_although_it_begins_like_a_tiff(tmp_path):
    (tmp_path / "a.NEF").write_bytes(encoded(PIXELS, "TIFF"))
    assert not photo_files.is_photo(tmp_path / "a.NEF")


def test_heic_without_its_reader_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(images.ImageError, match=r"dishvl\[heic\]") as refused:
        images.load_rgb(HEIC)
    assert refused.value.reason == photo_files.NO_HEIC_READER


def test_heic_that_its_reader_cannot_read_is_damaged():
    with pytest.raises(images.ImageError) as refused:
        images.load_rgb(HEIC)
    assert refused.value.reason == "damaged"


def test_an_error_of_the_disk_is_not_damage(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))

    def fail(self):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", fail)
    with pytest.raises(images.ImageError) as refused:
        images.load_rgb(tmp_path / "a.jpg")
    assert refused.value.reason == "unreadable"


def test_a_lack_of_memory_is_not_damage(monkeypatch):
    def fail(self):
        raise MemoryError

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", fail)
    with pytest.raises(images.ImageError) as refused:
        images.load_rgb(jpeg(1))
    assert refused.value.reason == "out of memory"


def test_a_jpeg_beyond_a_hundred_megapixels_is_halved(monkeypatch):
    monkeypatch.setattr(images, "FULL_DECODE_PIXELS", 96 * 72 - 1)
    assert images.load_rgb(jpeg(1)).size == (48, 36)
    assert images.upright_size(jpeg(1)) == (96, 72)


MODES = {
    "RGBA": lambda: picture(2, (90, 70)).convert("RGBA").rotate(10),
    "LA": lambda: picture(2, (90, 70)).convert("LA"),
    "P": lambda: picture(2, (90, 70)).quantize(16),
    "1": lambda: picture(2, (90, 70)).convert("1"),
    "CMYK": lambda: picture(2, (90, 70)).convert("CMYK"),
    "I;16": lambda: Image.frombytes("I;16", (90, 70), bytes(range(252)) * 50),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("to", ["RGB", "L"])
def test_bands_change_no_pixel(monkeypatch, mode, to):
    image = MODES[mode]()
    whole = images._converted(image, to)
    monkeypatch.setattr(images, "BAND_PIXELS", 7 * 90)
    assert images._converted(image, to).tobytes() == whole.tobytes()


def test_large_photos_are_examined_one_after_the_other(tmp_path):
    """Four photos of 49 megapixels at once, with transparency, in a process of their own."""
    program = """
import sys
from pathlib import Path
from dishvl_lib.annotation import scan
from dishvl_lib.annotation.layout import PhotoFile
folder = Path(sys.argv[1])
files = [folder / f"{number}.png" for number in range(4)]
for file in files[1:]:
    file.hardlink_to(files[0])
# Of this process alone: ru_maxrss begins with the parent's.
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
before = peak()
whole, left_out = scan.examine([PhotoFile(file, "a") for file in files], folder, 4)
assert not left_out, left_out
print((peak() - before) / 2**20)
"""
    Image.new("RGBA", (7_000, 7_000), (200, 10, 10, 90)).save(tmp_path / "0.png", compress_level=1)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    # Above it a slow machine has the progress of the scan.
    gibibytes = float(done.stdout.splitlines()[-1])
    # One of them takes 0.23 GiB, four side by side took four times as much and more.
    assert gibibytes < 0.6
