import io
import struct
import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.images.arrays import (
    decode_png,
    encode_png,
    from_8bit,
    read_image,
    require_multiple,
    require_same_size,
    to_8bit,
    write_image,
)
from photoguard_eval.images.files import read_size
from photoguard_eval.images.masks import read_mask

RED = (200, 30, 40)


def save(path, image, **options):
    image.save(path, **options)
    return path


def small_png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), RED).save(buffer, format="PNG")
    return buffer.getvalue()


def png_of_16_bits(colour_type, channels):
    """Build a PNG that Pillow can read and not write: 2 × 1 pixels of 16 bits a channel."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 2, 1, 16, colour_type, 0, 0, 0)
    pixels = bytes([0, *range(4 * channels)])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@given(hnp.arrays(np.uint8, (3, 5, 7)))
def test_8_bits_survive_the_round_trip(array):
    levels = torch.from_numpy(array)
    assert torch.equal(to_8bit(from_8bit(levels)), levels)
    assert torch.equal(to_8bit(decode_png(encode_png(levels)))[0], levels)


def test_values_are_rounded_not_truncated():
    assert to_8bit(torch.tensor([0.9999, 0.5, -1.0, 2.0])).tolist() == [255, 128, 0, 255]


def test_a_written_image_is_read_back(tmp_path):
    image = torch.rand(1, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "image.png", image)
    assert (read_image(tmp_path / "image.png") - image).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "CMYK"])
def test_colour_modes_become_rgb(tmp_path, mode):
    image = Image.new("RGB", (8, 6), RED).convert(mode, palette=Image.Palette.ADAPTIVE)
    path = save(tmp_path / ("image.tif" if mode == "CMYK" else "image.png"), image)
    pixels = to_8bit(read_image(path))
    assert pixels.shape == (1, 3, 6, 8)
    assert (pixels[0, :, 0, 0].int() - torch.tensor(RED)).abs().max() <= 2


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_gray_modes_become_rgb(tmp_path, mode):
    image = Image.new("L", (8, 6), 255).convert(mode)
    assert to_8bit(read_image(save(tmp_path / "image.png", image))).unique().tolist() == [255]


def test_transparency_is_composited_over_white(tmp_path):
    image = Image.new("RGBA", (3, 1), (*RED, 0))
    image.putpixel((1, 0), (*RED, 255))
    image.putpixel((2, 0), (0, 0, 0, 51))
    pixels = to_8bit(read_image(save(tmp_path / "image.png", image)))[0, :, 0]
    assert pixels[:, 0].tolist() == [255, 255, 255]
    assert pixels[:, 1].tolist() == list(RED)
    assert pixels[:, 2].tolist() == [204, 204, 204]


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, *RED])
    image.putpixel((1, 0), 1)
    pixels = to_8bit(read_image(save(tmp_path / "image.png", image, transparency=1)))[0, :, 0]
    assert [pixels[:, 0].tolist(), pixels[:, 1].tolist()] == [list(RED), [255, 255, 255]]


def test_the_orientation_of_a_camera_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "image.jpg", image, exif=exif)
    assert read_image(path).shape == (1, 3, 8, 4)
    assert read_size(path) == (8, 4)


def test_the_size_is_height_and_width(tmp_path):
    assert read_size(save(tmp_path / "image.png", Image.new("RGB", (8, 4)))) == (4, 8)
    (tmp_path / "image.png").write_bytes(b"hello")
    with pytest.raises(InvalidImageError, match="cannot be read as an image"):
        read_size(tmp_path / "image.png")


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_8_bits_are_refused(tmp_path, mode):
    path = save(tmp_path / "image.tif", Image.new(mode, (8, 6)))
    with pytest.raises(InvalidImageError, match="Convert it to 8-bit RGB"):
        read_image(path)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_is_refused_whatever_its_mode(tmp_path, colour_type, channels):
    path = tmp_path / "image.png"
    path.write_bytes(png_of_16_bits(colour_type, channels))
    with pytest.raises(InvalidImageError, match="has 16 bits a channel; expected 8"):
        read_image(path)
    with pytest.raises(InvalidImageError, match="has 16 bits a channel"):
        read_mask(path)


@given(
    place=st.integers(0, len(small_png()) - 1),
    byte=st.integers(0, 255),
    length=st.integers(0, len(small_png())),
)
@example(place=11, byte=4, length=len(small_png()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_image_is_read_or_refused_but_never_breaks(tmp_path, place, byte, length):
    data = bytearray(small_png())
    data[place] = byte
    path = tmp_path / "image.png"
    path.write_bytes(bytes(data[:length]))
    try:
        assert read_image(path).shape[:2] == (1, 3)
    except InvalidImageError as error:
        assert "Give a whole PNG" in str(error)  # noqa: PT017


def test_a_missing_image_is_said(tmp_path):
    with pytest.raises(InvalidImageError, match=r"no image file .*fox\.png"):
        read_image(tmp_path / "fox.png")


def test_a_truncated_image_is_refused(tmp_path):
    path = tmp_path / "image.png"
    write_image(path, torch.rand(1, 3, 64, 64))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InvalidImageError, match="cannot be read as an image"):
        read_image(path)


def test_bytes_that_are_no_image_are_refused(tmp_path):
    (tmp_path / "image.png").write_bytes(b"hello")
    with pytest.raises(InvalidImageError, match="cannot be read as an image"):
        read_image(tmp_path / "image.png")
    with pytest.raises(InvalidImageError, match="the edit is no readable image"):
        decode_png(b"hello", "the edit")


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InvalidImageError, match="fox: the image is 8 × 4 and the mask 4 × 4"):
        require_same_size(torch.zeros(1, 3, 4, 8), torch.zeros(1, 1, 4, 4), "fox")


def test_sides_must_be_multiples():
    with pytest.raises(InvalidImageError, match=r"fox is 60 × 64, .* multiples of 16.* for example to 64 × 64"):
        require_multiple(torch.zeros(1, 3, 64, 60), 16, "fox")
    require_multiple(torch.zeros(1, 3, 64, 48), 16, "fox")


def test_a_lossy_output_is_refused_and_not_written(tmp_path):
    with pytest.raises(InvalidImageError, match=r"does not end in \.png"):
        write_image(tmp_path / "image.jpg", torch.rand(1, 3, 4, 4))
    assert not list(tmp_path.iterdir())
