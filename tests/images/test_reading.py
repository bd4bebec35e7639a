import struct
import tracemalloc
import zipfile
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from app.images import ImageError, ImageTooLargeError, fit_image, read_image
from tests.images.pages import file

RAMP = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28)
LEVELS = (RAMP % 256).astype(np.uint8)
UNIT = LEVELS.astype(np.float32) / np.float32(255)


@given(arrays(np.uint8, (28, 28)))
def test_an_8_bit_png_comes_back_to_the_bit(levels):
    picture = read_image(file(Image.fromarray(levels)))
    assert picture.grey and picture.pixels.dtype == np.float32
    assert np.array_equal(fit_image(picture), levels.astype(np.float32) / np.float32(255))


LOSSLESS = {  # the modes that each lossless format has
    "PNG": ["L", "LA", "RGB", "RGBA", "P"],
    "TIFF": ["L", "LA", "RGB", "RGBA", "P"],
    "WEBP": ["L", "LA", "RGB", "RGBA", "P", "PA"],
    "BMP": ["L", "RGB", "RGBA", "P"],
    "GIF": ["L", "LA", "RGB", "P"],
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in LOSSLESS.items() for mode in modes])
def test_grey_is_told_by_content_in_every_lossless_format(kind, mode):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = read_image(file(Image.fromarray(LEVELS).convert(mode), kind, **options))
    assert picture.grey
    assert np.array_equal(picture.pixels, UNIT)


def test_colour_is_not_grey():
    assert not read_image(file(Image.new("RGB", (28, 28), (255, 0, 0)))).grey


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_kept(kind):
    deep = (RAMP * 83).astype(np.uint16)
    assert np.array_equal(read_image(file(Image.fromarray(deep), kind)).pixels, (deep / 65535).astype(np.float32))


def test_16_bit_tiff_of_either_byte_order():
    # Pillow writes little-endian: turn a file's order by hand.
    entries = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 98), (278, 3, 1), (279, 4, 4)]
    for order, mark in ((">", b"MM"), ("<", b"II")):
        table = b"".join(
            struct.pack(order + "HHI", tag, kind, 1) + struct.pack(order + ("H2x" if kind == 3 else "I"), value)
            for tag, kind, value in entries
        )
        head = mark + struct.pack(order + "HI", 42, 8)
        body = head + struct.pack(order + "H", 8) + table + bytes(4)
        tiff = body.ljust(98 + 16, b"\0")[: 98 + 16]
        offset = len(body)
        tiff = body.replace(struct.pack(order + "I", 98), struct.pack(order + "I", offset)) + struct.pack(
            order + "HH", 1000, 65535
        )
        assert read_image(tiff).pixels.tolist() == [[pytest.approx(1000 / 65535), 1.0]]


@pytest.mark.parametrize(("white", "values"), [(1, [0, 0.25, 1]), (255, [0, 51, 255]), (65535, [0, 300, 65535])])
def test_real_and_32_bit_numbers_are_read_by_the_least_usual_white(white, values):
    for kind in (np.float32, np.int32):
        numbers = np.array([values], kind)
        found = read_image(file(Image.fromarray(numbers), "TIFF")).pixels
        assert found == pytest.approx(numbers / white)


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_a_tiff_whose_zero_is_white_is_no_negative(kind, white):
    values = (np.array([[0, 0.25, 1]]) * white).astype(kind)
    ordinary = file(Image.fromarray(values), "TIFF")
    black_is_zero, white_is_zero = (struct.pack("<HHIHH", 262, 3, 1, zero, 0) for zero in (1, 0))
    assert ordinary.count(black_is_zero) == 1
    found = read_image(ordinary.replace(black_is_zero, white_is_zero)).pixels
    assert found == pytest.approx(1 - values / white)


def test_a_tiff_of_numbers_that_are_not_read_is_not_told_that_it_is_none():
    single = file(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")
    bits_32, bits_64 = (struct.pack("<HHIHH", 258, 3, 1, bits, 0) for bits in (32, 64))
    assert single.count(bits_32) == 1
    with pytest.raises(ImageError, match="found a TIFF that is damaged, or of numbers that are not read"):
        read_image(single.replace(bits_32, bits_64))


def test_nan_is_an_error():
    with pytest.raises(ImageError, match="NaN"):
        read_image(file(Image.fromarray(np.array([[np.nan, 1]], np.float32)), "TIFF"))


def test_one_bit_cmyk_and_lab():
    half = Image.fromarray(np.where(LEVELS > 127, 255, 0).astype(np.uint8))
    assert np.array_equal(read_image(file(half.convert("1"))).pixels, np.asarray(half) / 255)
    assert np.abs(read_image(file(Image.fromarray(LEVELS).convert("CMYK"), "TIFF")).pixels - UNIT).max() < 0.01
    assert read_image(file(Image.new("LAB", (3, 2), (255, 128, 128)), "TIFF")).pixels == pytest.approx(1, abs=0.02)


def test_an_inverted_cmyk_jpeg_is_not_a_negative():
    ink = Image.new("L", (32, 32), 255)
    none = Image.new("L", (32, 32), 0)
    black = read_image(file(Image.merge("CMYK", (none, none, none, ink)), "JPEG")).pixels
    white = read_image(file(Image.merge("CMYK", (none, none, none, none)), "JPEG")).pixels
    assert black.max() < 0.02 and white.min() > 0.98


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_is_turned_upright(orientation, kind):
    upright = np.zeros((24, 40), np.uint8)
    upright[:8, :16] = 255
    upright[16:, :8] = 128
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    data = file(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), kind, exif=exif.tobytes())
    pixels = read_image(data).pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels - upright / 255).mean() < 0.02


def test_a_transparent_drawing_lies_on_the_paper_that_contrasts():
    alpha = np.zeros((20, 20), np.uint8)
    alpha[5:15, 8:12] = 255
    for ink, paper in ((0, 1.0), (60, 1.0), (255, 0.0), (180, 0.0)):
        levels = np.dstack([np.full_like(alpha, ink)] * 3 + [alpha])
        picture = read_image(file(Image.fromarray(levels)))
        assert not picture.grey
        assert picture.pixels[0, 0] == paper and picture.pixels[10, 10] == pytest.approx(ink / 255, abs=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "I;16"])
def test_a_transparent_colour_counts_as_transparent(mode):
    levels = np.zeros((20, 20), np.uint8)
    levels[5:15, 8:12] = 255
    image = Image.fromarray(levels.astype(np.uint16) * 257 if mode == "I;16" else levels)
    image = image if mode == "I;16" else image.convert(mode)
    key = {"RGB": (0, 0, 0), "P": 0}.get(mode, 0)
    picture = read_image(file(image, transparency=key))
    assert not picture.grey
    assert np.array_equal(picture.pixels, levels / 255)  # light strokes: black paper


def test_round_corners_take_the_colour_of_the_paper():
    levels = np.full((40, 40), 250, np.uint8)
    levels[10:30, 18:22] = 10
    alpha = np.full_like(levels, 255)
    alpha[:4, :4] = 0
    pixels = read_image(file(Image.merge("LA", (Image.fromarray(levels), Image.fromarray(alpha))))).pixels
    assert pixels[0, 0] == pytest.approx(250 / 255, abs=1e-6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_of_several(kind):
    first, second = Image.new("L", (28, 28), 40).convert("RGB"), Image.new("L", (28, 28), 200).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file(first, kind, save_all=True, append_images=[second], **options)
    assert np.array_equal(read_image(data).pixels, np.full((28, 28), np.float32(40) / np.float32(255)))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG", "WEBP", "TIFF"])
def test_too_many_pixels_are_refused(kind):
    with pytest.raises(ImageTooLargeError, match=r"at most 1000000 pixels in all images together, found 1001 x 1000$"):
        read_image(file(Image.new("L", (1001, 1000)).convert("RGB"), kind), max_pixels=1_000_000)


@pytest.mark.parametrize("side", [1_001, 10_000, 100_000])
def test_they_are_refused_on_the_header(side):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    with pytest.raises(ImageTooLargeError, match="at most 1000000 pixels"):
        read_image(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""), max_pixels=1_000_000)


def test_the_limit_itself_is_allowed():
    assert read_image(file(Image.new("L", (20, 10))), max_pixels=200).pixels.shape == (10, 20)


HUGE = {
    "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0)),
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<4HB", 0, 0, 65535, 65535, 0),
    "WEBP": b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<IBI", 14, 0x2F, 2**28 - 1) + bytes(9),
    "TIFF": b"II*\0\x08\0\0\0\x03\0"
    + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 2**31), (257, 2**31), (262, 1)))
    + bytes(4),
    "BMP": b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 8, 0, 0, 0, 0, 0, 0),
    "JPEG": b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0?\0\xff\xd9",
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_header_that_promises_billions_takes_no_memory(kind):
    tracemalloc.start()
    with pytest.raises(ImageError):
        read_image(HUGE[kind])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_a_png_s_metadata_does_not_go_off(kind):
    bomb = zlib.compress(bytes(200_000_000), 9)
    body = b"digit\0\0" + bomb if kind != b"iTXt" else b"digit\0\1\0\0\0" + bomb
    png = file(Image.fromarray(LEVELS))
    tracemalloc.start()
    try:
        assert np.array_equal(read_image(png[:33] + chunk(kind, body) + png[33:]).pixels, UNIT)
    except ImageError as error:
        assert "too large" in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_file_that_is_a_zip_too_is_its_picture():
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as both:
        both.writestr("digit.txt", "no picture")
    polyglot = file(Image.fromarray(LEVELS)) + archive.getvalue()
    assert zipfile.is_zipfile(BytesIO(polyglot)) and np.array_equal(read_image(polyglot).pixels, UNIT)
    with pytest.raises(ImageError, match="expected a sound PNG"):
        read_image(archive.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_truncated_file_says_so(kind):
    whole = file(Image.fromarray(LEVELS).resize((120, 120)), kind)
    for length in (20, len(whole) // 2, len(whole) * 9 // 10):
        with pytest.raises(ImageError, match="expected a sound"):
            read_image(whole[:length])


def test_a_flipped_bit_in_a_png_is_found():
    data = bytearray(file(Image.fromarray(LEVELS)))
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageError, match="damaged"):
        read_image(bytes(data))


@pytest.mark.parametrize(
    "data", [b"", b"GIF", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P5 1 1 255 0"]
)
def test_other_files_are_refused(data):
    with pytest.raises(ImageError, match="expected a sound PNG, JPEG, WebP, BMP, GIF or TIFF file, found"):
        read_image(data)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_metadata_does_not_matter():
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x01\x02\x03" * 20
    whole = file(Image.fromarray(LEVELS), "JPEG", exif=exif)
    assert read_image(whole).pixels.shape == (28, 28)
    png = file(Image.fromarray(LEVELS))
    broken = chunk(b"iCCP", b"digit\0\0not a profile")
    assert np.array_equal(read_image(png[:33] + broken + png[33:]).pixels, UNIT)


SEEDS = [
    file(Image.fromarray(LEVELS).convert(mode), kind, **options)
    for kind, mode, options in [
        ("PNG", "L", {}),
        ("PNG", "P", {"transparency": b"\0\x80"}),
        ("JPEG", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
        ("JPEG", "CMYK", {}),
        ("WEBP", "RGBA", {}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("TIFF", "L", {"compression": "tiff_lzw", "description": "digit"}),
    ]
]


@given(st.binary(max_size=200) | st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255))))
def test_any_bytes_are_a_picture_or_an_image_error(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        if damaged:
            damaged[place % len(damaged)] = value
    try:
        fitted = fit_image(read_image(bytes(damaged), max_pixels=100_000))
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert fitted.shape == (28, 28) and fitted.dtype == np.float32
        assert fitted.min() >= 0 and fitted.max() <= 1  # which NaN is not
