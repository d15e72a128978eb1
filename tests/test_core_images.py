"""load_rgb: what a photo's file may be, what its pixels become, and the fixed word for each way it
can fail.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from toys import encoded, jpeg, picture, rotated

from dishvl_lib.core import images


def refused(source, **options) -> str:
    with pytest.raises(images.ImageError) as error:
        images.load_rgb(source, **options)
    assert error.value.detail
    return error.value.reason


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few dozen bytes whose header promises width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size = struct.pack(">I", len(data))
        return size + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("draft", [None, (64, 64)])
def test_a_truncated_jpeg_is_refused_never_filled_up(share, draft):
    whole = encoded(picture(1, (512, 384)), "JPEG", quality=90)
    assert images.load_rgb(whole, draft_size=draft).mode == "RGB"
    assert refused(whole[: int(share * len(whole))], draft_size=draft) == "damaged"


def test_the_word_for_each_failure(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html><body>404</body></html>")
    assert refused(tmp_path / "empty.jpg") == refused(b"") == "empty"
    assert refused(tmp_path / "page.jpg") == refused(b"hello") == "not an image"
    assert refused(tmp_path / "none.jpg") == "missing"
    assert refused(tmp_path) == "unreadable"
    assert refused(encoded(picture(2), "PNG")[:200]) == "damaged"


def test_a_bomb_is_refused_by_its_header():
    assert refused(bomb(16_000, 16_000), max_image_pixels=images.MAX_IMAGE_PIXELS) == "too large"
    assert refused(jpeg(1), max_image_pixels=96 * 72 - 1) == "too large"
    assert images.load_rgb(jpeg(1), max_image_pixels=96 * 72).size == (96, 72)


def test_no_interpreter_is_started_for_a_file_that_only_claims_to_be_a_photo(tmp_path):
    (tmp_path / "x.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert refused(tmp_path / "x.jpg") == "not an image"


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_suffix_is_not_believed(tmp_path, kind):
    (tmp_path / "photo.jpg").write_bytes(encoded(picture(3), kind))
    photo = images.load_rgb(tmp_path / "photo.jpg")
    assert photo.mode == "RGB"
    assert photo.size == (96, 72)
    if kind in ("PNG", "BMP", "TIFF"):
        assert photo.tobytes() == picture(3).tobytes()


def test_cmyk_keeps_its_colours():
    red = Image.new("RGB", (32, 32), (200, 30, 40))
    pixels = np.asarray(
        images.load_rgb(encoded(red.convert("CMYK"), "JPEG", quality=95)), dtype=int
    )
    assert np.abs(pixels - (200, 30, 40)).max() <= 6


@pytest.mark.parametrize(
    "orientation, size, corner",
    [
        (1, (96, 72), (0, 0)),
        (2, (96, 72), (95, 0)),
        (3, (96, 72), (95, 71)),
        (4, (96, 72), (0, 71)),
        (5, (72, 96), (0, 0)),
        (6, (72, 96), (71, 0)),
        (7, (72, 96), (71, 95)),
        (8, (72, 96), (0, 95)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, size, corner):
    """`corner`: where the stored top left pixel belongs."""
    image = Image.new("RGB", (96, 72), "black")
    image.paste("white", (0, 0, 24, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "p.jpg").write_bytes(encoded(image, "JPEG", exif=exif))
    photo = images.load_rgb(tmp_path / "p.jpg")
    assert (
        photo.size
        == images.upright_size(tmp_path / "p.jpg")
        == images.upright_size((tmp_path / "p.jpg").read_bytes())
        == size
    )
    assert min(photo.getpixel(corner)) > 200
    assert sum(np.asarray(photo)[x, y].min() > 128 for x in (0, -1) for y in (0, -1)) == 1


def with_broken_exif(good: bytes) -> bytes:
    block = b"\xff\xe1" + struct.pack(">H", 2 + 14) + b"Exif\0\0" + b"BADBADBA"
    return good[:2] + block + good[2:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_photo_is_not_turned_again(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = images.load_rgb(encoded(picture(1), kind, exif=exif))
    part = upright.crop((0, 0, 50, 40))
    assert images.load_rgb(part).tobytes() == part.tobytes()


def test_a_broken_exif_block_spoils_no_pixel():
    good = jpeg(4)
    evil = with_broken_exif(good)
    assert images.upright_size(evil) == (96, 72)
    assert images.load_rgb(evil).tobytes() == images.load_rgb(good).tobytes()


def test_transparency_becomes_white():
    rgba = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    rgba.putpixel((1, 1), (0, 0, 255, 255))
    photo = images.load_rgb(encoded(rgba, "PNG"))
    assert photo.getpixel((0, 0)) == (255, 255, 255)
    assert photo.getpixel((1, 1)) == (0, 0, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 1), 1)
    photo = images.load_rgb(encoded(palette, "PNG", transparency=0))
    assert photo.getpixel((0, 0)) == (255, 255, 255)
    assert photo.getpixel((1, 1)) == (0, 255, 0)
    assert images.load_rgb(encoded(Image.new("LA", (2, 2), (0, 0)), "PNG")).getpixel((0, 0)) == (
        255,
        255,
        255,
    )


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = np.asarray(images.load_rgb(encoded(Image.fromarray(values), "PNG")), dtype=float)
    assert pixels.shape == (64, 64, 3)
    assert np.abs(pixels[..., 0] - values / 257).max() <= 1


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    photo = images.load_rgb(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert photo.getpixel((0, 0)) == (255, 0, 0)


def test_a_reduced_decode_is_at_least_as_large_as_asked():
    whole = encoded(picture(5, (800, 600)), "JPEG")
    photo = images.load_rgb(whole, draft_size=(64, 64))
    assert 64 <= photo.size[0] < 800
    assert 64 <= photo.size[1]
    assert images.load_rgb(whole).size == (800, 600)


def test_an_image_in_memory_is_turned_too():
    assert images.load_rgb(Image.open(io.BytesIO(rotated(1, 6)))).size == (72, 96)


def test_jpeg_bytes_scales_down_never_up():
    small = Image.open(io.BytesIO(images.jpeg_bytes(picture(6), 48)))
    assert small.format == "JPEG"
    assert small.size == (48, 36)
    photo = picture(6)
    assert Image.open(io.BytesIO(images.jpeg_bytes(photo, 500))).size == photo.size == (96, 72)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_of_a_reduced_decode_is_asked_for_as_seen_upright(orientation):
    """Stored 800x600; upright 600x800 when turned. Half of that is large enough in one direction
    only if they are not mixed up.
    """
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = encoded(picture(5, (800, 600)), "JPEG", exif=exif)
    size = images.load_rgb(whole).size
    half = (size[0] // 2, size[1] // 2)
    assert images.load_rgb(whole, draft_size=half).size == half


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_turned_by_its_tag_is_read_alike_by_servers(orientation):
    assert images.is_read_alike(rotated(1, orientation))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_plain_photos_of_every_kind_are_read_alike(kind, mode):
    assert images.is_read_alike(encoded(picture(3).convert(mode), kind))


def test_a_broken_exif_block_is_read_alike_too():
    assert images.is_read_alike(with_broken_exif(jpeg(4)))


@pytest.mark.parametrize(
    "content",
    [
        encoded(picture(1).convert("RGBA"), "PNG"),
        encoded(picture(1).convert("LA"), "PNG"),
        encoded(picture(1).convert("CMYK"), "JPEG"),
        encoded(picture(1).convert("P"), "GIF"),
        encoded(Image.fromarray(np.zeros((8, 8), np.uint16)), "PNG"),
        jpeg(1)[:900],
        b"",
        b"hello",
    ],
    ids=["RGBA", "LA", "CMYK", "palette", "16 bit", "cut", "empty", "no photo"],
)
def test_what_only_we_read_so_is_not_read_alike(content):
    assert not images.is_read_alike(content)


def test_a_jpeg_that_we_halve_is_not_read_alike(monkeypatch):
    monkeypatch.setattr(images, "FULL_DECODE_PIXELS", 96 * 72 - 1)
    assert not images.is_read_alike(jpeg(1))
    assert images.is_read_alike(encoded(picture(1), "PNG"))


def test_a_photo_that_we_refuse_by_its_header_is_not_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 96 * 72 - 1)
    assert not images.is_read_alike(encoded(picture(1), "PNG"))


def test_a_photo_that_pillow_fails_to_turn_is_not_read_alike(monkeypatch):
    """Servers go on with it as it lies."""

    def fails(_):
        raise ValueError("an odd tag")

    monkeypatch.setattr(images.ImageOps, "exif_transpose", fails)
    assert not images.is_read_alike(rotated(1, 6))
    assert images.is_read_alike(rotated(1, 1))


def test_memory_of_loading_is_counted_from_the_header(tmp_path):
    file = tmp_path / "photo.png"
    Image.new("RGB", (40, 30)).save(file)
    assert images.loading_bytes(file) == images.decoding_bytes(file, (40, 30))
    assert images.loading_bytes(file) >= 3 * 40 * 30


@pytest.mark.parametrize(
    "source",
    [Image.new("RGB", (40, 30)), b"no photo", "missing.jpg"],
    ids=["decoded", "bytes", "missing"],
)
def test_what_is_not_decoded_takes_no_memory(source):
    assert images.loading_bytes(source) == 0


def test_a_photo_that_is_refused_takes_no_memory(tmp_path):
    file = tmp_path / "photo.png"
    Image.new("RGB", (40, 30)).save(file)
    assert images.loading_bytes(file, max_image_pixels=40 * 30 - 1) == 0
