"""Image files as phones, browsers and drawing programs write them: what the pixels do not need is not needed."""

import io
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.images.arrays import read_image, to_8bit
from photoguard_eval.images.files import read_size
from photoguard_eval.reports.pictures import decode

PIXELS = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
IMAGE = Image.fromarray(PIXELS)
UPRIGHT = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.transpose(1, 0, 2),
    6: np.rot90(PIXELS, -1),
    7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PIXELS),
}
"""What is seen, by the orientation that a camera notes (TIFF 6.0, Section 8)."""


def levels(path):
    return to_8bit(read_image(path))[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_every_orientation_is_set_upright_and_measured_so(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    IMAGE.save(tmp_path / f"a.{ending}", exif=exif)
    assert (levels(tmp_path / f"a.{ending}") == UPRIGHT[orientation]).all()
    assert read_size(tmp_path / f"a.{ending}") == UPRIGHT[orientation].shape[:2]


@pytest.mark.parametrize("kind", ["zTXt", "iTXt"])
@pytest.mark.parametrize("after_the_pixels", [False, True])
def test_long_notes_in_a_png_do_not_keep_it_from_being_read(tmp_path, kind, after_the_pixels):
    long = zlib.compress(bytes(2 * PngImagePlugin.MAX_TEXT_CHUNK))
    notes = PngImagePlugin.PngInfo()
    head = b"workflow\0" if kind == "zTXt" else b"XML:com.adobe.xmp\0\1"
    notes.add(kind.encode(), head + (b"\0" if kind == "zTXt" else b"\0\0\0") + long, after_the_pixels)
    path = tmp_path / "a.png"
    IMAGE.save(path, pnginfo=notes)
    with pytest.raises(ValueError, match=r"(?i)too large"), Image.open(path) as image:
        image.load()
    assert (levels(path) == PIXELS).all()
    assert read_size(path) == (4, 8)
    assert (np.asarray(decode(path.read_bytes())) == PIXELS).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\0\0\0"])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_damaged_exif_does_not_keep_an_image_from_being_read(tmp_path, exif, ending):
    IMAGE.save(tmp_path / f"a.{ending}", exif=exif)
    assert levels(tmp_path / f"a.{ending}").shape == (4, 8, 3)
    assert read_size(tmp_path / f"a.{ending}") == (4, 8)


def test_too_many_pixels_are_counted_in_the_refusal(tmp_path, monkeypatch):
    IMAGE.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert levels(tmp_path / "a.png").shape == (4, 8, 3)
    Image.new("1", (8_000, 500)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(InvalidImageError, match=r"has 4 megapixels; at most 2 are read\. Resize or crop it"):
        read_image(tmp_path / "large.png")


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_an_animation_is_refused_and_a_single_frame_is_not(tmp_path, ending):
    frames = [Image.new("RGB", (8, 4), (shade, 0, 0)) for shade in (0, 255)]
    path = tmp_path / f"a.{ending}"
    frames[1].save(path)
    assert levels(path).shape == (4, 8, 3)
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidImageError, match=r"a\.\w+ is animated or has several pages \(2\)\. Give a single one"):
        read_image(path)


def test_a_photograph_with_a_preview_is_no_animation(tmp_path):
    IMAGE.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (4, 2))])
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    assert levels(tmp_path / "a.jpg").shape == (4, 8, 3)


HEIC = b"\0\0\0\x18ftypheic" + bytes(40)


def test_a_heic_photograph_asks_for_its_extra(tmp_path, monkeypatch):
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InvalidImageError, match=r"IMG_1\.HEIC is a HEIC photograph, .*install 'photoguard-eval\[heic"):
        read_image(tmp_path / "IMG_1.HEIC")


def test_a_heic_photograph_is_read_by_what_its_extra_brings(tmp_path, monkeypatch):
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    buffer = io.BytesIO()
    IMAGE.save(buffer, format="PNG")

    def register():
        """Have Pillow read the file as a decoder of HEIC would; here it is a PNG."""
        monkeypatch.setattr(Image, "open", lambda path, opened=Image.open: opened(io.BytesIO(buffer.getvalue())))

    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    assert (levels(tmp_path / "IMG_1.HEIC") == PIXELS).all()
