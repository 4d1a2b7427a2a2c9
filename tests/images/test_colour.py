"""Whatever colours a file's numbers stand for, what is read is sRGB."""

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from photoguard_eval.images.arrays import read_image, to_8bit, write_image
from photoguard_eval.images.files import colour_remark
from photoguard_eval.images.masks import read_mask
from tests import profiles

COLOURS = np.array([(250, 40, 30), (20, 200, 60), (30, 60, 220), (128, 128, 128), (240, 220, 200)], np.uint8)[None]
P3 = profiles.matrix_profile("Display P3", profiles.DISPLAY_P3)


def saved(path, image, profile=None, **options):
    image.save(path, **({"icc_profile": profile} if profile else {}), **options)
    return path


def levels(path):
    return to_8bit(read_image(path))[0].permute(1, 2, 0).numpy().astype(int)


def in_srgb(colours, colorants, gamma):
    """Convert by the definitions: to light, to X, Y and Z, to the light of sRGB, and by its curve (IEC 61966-2-1)."""
    light = (colours / 255) ** gamma @ np.array(colorants) @ np.linalg.inv(np.array(profiles.SRGB))
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("name", "colorants", "gamma"),
    [("Display P3", profiles.DISPLAY_P3, 2.2), ("Adobe RGB (1998)", profiles.ADOBE_RGB, 563 / 256)],
)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_the_colours_of_a_profile_become_those_of_srgb(tmp_path, name, colorants, gamma, ending):
    profile = profiles.matrix_profile(name, colorants, gamma)
    options = {"lossless": True} if ending == "webp" else {}
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(COLOURS), profile, **options)
    assert np.abs(levels(path) - in_srgb(COLOURS, colorants, gamma)).max() <= 2
    assert np.abs(levels(path) - COLOURS).max() > 15
    assert colour_remark(path) == f"converted from {name} to sRGB"


def test_what_is_written_has_no_profile_and_is_read_the_same(tmp_path):
    image = read_image(saved(tmp_path / "a.png", Image.fromarray(COLOURS), P3))
    write_image(tmp_path / "b.png", image)
    assert "icc_profile" not in Image.open(tmp_path / "b.png").info
    assert (read_image(tmp_path / "b.png") == image).all()


def test_an_image_with_a_profile_of_srgb_keeps_its_pixels(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS), srgb)
    assert (levels(path) == COLOURS).all()
    assert colour_remark(path) == ""


def test_gray_images_and_inks_are_converted_too(tmp_path):
    ramp = Image.fromarray(np.arange(0, 256, 15, dtype=np.uint8)[None])
    gray = saved(tmp_path / "gray.png", ramp, profiles.gray_profile("Gray Gamma 1.8", 1.8))
    expected = in_srgb(np.asarray(ramp)[..., None].repeat(3, axis=2), profiles.SRGB, 1.8)
    assert np.abs(levels(gray) - expected).max() <= 2
    assert colour_remark(gray) == "converted from Gray Gamma 1.8 to sRGB"
    in_colour = saved(tmp_path / "in-colour.png", ramp, P3)
    assert np.abs(levels(in_colour) - in_srgb(np.asarray(ramp)[..., None].repeat(3, 2), profiles.SRGB, 2.2)).max() <= 2
    inks = saved(tmp_path / "inks.tif", Image.new("CMYK", (4, 4), (255, 0, 0, 0)), profiles.ink_profile("Gray Inks"))
    red, green, blue = levels(inks)[0, 0]
    # One ink leaves three quarters of the lightness, and has no colour in this profile; Pillow alone makes it cyan.
    assert max(red, green, blue) - min(red, green, blue) <= 2
    assert 165 <= red <= 200
    assert colour_remark(inks) == "converted from Gray Inks to sRGB"


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparent_and_palette_images_are_converted(tmp_path, mode):
    plain = levels(saved(tmp_path / "plain.png", Image.fromarray(COLOURS), P3))
    image = Image.fromarray(COLOURS).convert(mode, palette=Image.Palette.ADAPTIVE)
    if mode == "RGBA":
        image.putpixel((0, 0), (250, 40, 30, 0))
        plain[0, 0] = 255
    assert np.abs(levels(saved(tmp_path / "a.png", image, P3)) - plain).max() <= 1


@pytest.mark.parametrize("damaged", [b"no profile", P3[:200], profiles.gray_profile("Gray", 2.2)])
def test_a_profile_that_cannot_be_used_is_ignored_and_said(tmp_path, damaged):
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS), damaged)
    assert (levels(path) == COLOURS).all()
    assert colour_remark(path).startswith("its colour profile cannot be read and is ignored")


def test_other_notes_on_colour_are_said_and_not_applied(tmp_path):
    adobe = Image.Exif()
    adobe[0x8769] = {0xA001: 65535}
    notes = PngImagePlugin.PngInfo()
    notes.add(b"gAMA", (100_000).to_bytes(4, "big"))
    srgb = PngImagePlugin.PngInfo()
    srgb.add(b"gAMA", (45_455).to_bytes(4, "big"))
    image = Image.fromarray(COLOURS)
    linear = saved(tmp_path / "a.png", image, pnginfo=notes)
    assert "it notes other colours than sRGB" in colour_remark(linear)
    assert (levels(linear) == COLOURS).all()
    assert "it notes other colours than sRGB" in colour_remark(saved(tmp_path / "b.jpg", image, exif=adobe))
    assert colour_remark(saved(tmp_path / "c.png", image, pnginfo=srgb)) == ""


def test_a_mask_s_colours_are_numbers(tmp_path):
    image = Image.new("L", (8, 1), 0)
    image.paste(255, (4, 0, 8, 1))
    path = saved(tmp_path / "mask.png", image, profiles.gray_profile("Gray Gamma 1.0", 1.0))
    assert read_mask(path).flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
