from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from photoguard_eval.errors import InvalidImageError, StoreError
from photoguard_eval.reports.pictures import LARGEST_SIDE, StoreImages, embed, embed_perturbation
from tests.reports.example import encode, png


def decode(uri: str) -> tuple[str, Image.Image]:
    head, data = uri.split(",", 1)
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_small_png_is_embedded_byte_for_byte():
    file = png(LARGEST_SIDE)
    embedded = embed(file)
    assert embedded.uri == "data:image/png;base64," + base64.b64encode(file).decode()
    assert (embedded.width, embedded.height, embedded.scaled) == (LARGEST_SIDE, LARGEST_SIDE, False)


def test_a_small_file_of_another_kind_keeps_its_pixels():
    file = encode(Image.open(io.BytesIO(png(32))), "JPEG")
    head, image = decode(embed(file).uri)
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(file))))


def test_a_large_picture_is_scaled_down():
    file = encode(Image.new("RGB", (512, 384), (10, 200, 30)))
    embedded = embed(file)
    head, image = decode(embedded.uri)
    assert head == "data:image/jpeg;base64"
    assert image.size == (embedded.width, embedded.height) == (256, 192)
    assert embedded.scaled
    assert np.abs(np.asarray(image, int) - (10, 200, 30)).max() <= 3


def test_a_perturbation_is_shown_ten_times_around_middle_gray():
    original = Image.new("RGB", (8, 8), (100, 100, 100))
    immunized = Image.new("RGB", (8, 8), (103, 98, 100))
    immunized.putpixel((0, 0), (120, 80, 100))
    _, shown = decode(embed_perturbation(encode(original), encode(immunized)).uri)
    assert shown.getpixel((4, 4)) == (158, 108, 128)
    assert shown.getpixel((0, 0)) == (255, 0, 128)


def test_an_unchanged_image_with_transparency_has_no_perturbation():
    original = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    seen_by_the_model = Image.new("RGB", (8, 8), (255, 255, 255))
    _, shown = decode(embed_perturbation(encode(original), encode(seen_by_the_model)).uri)
    assert set(np.asarray(shown).ravel()) == {128}


def test_a_rotated_photo_is_compared_upright():
    upright = Image.open(io.BytesIO(png(8)))
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = encode(upright.rotate(180), exif=exif)
    _, shown = decode(embed_perturbation(stored, encode(upright)).uri)
    assert set(np.asarray(shown).ravel()) == {128}


def test_a_large_perturbation_is_scaled_down():
    embedded = embed_perturbation(png(512, seed=1), png(512, seed=2))
    assert (embedded.width, embedded.scaled) == (256, True)


def test_store_images_come_from_store_and_dataset(tmp_path, result):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(b"the image")
    images = StoreImages(tmp_path, {"key": b"the edit"}.get)
    assert images.artifact("key") == b"the edit"
    assert images.case_image(result.cases[0]) == b"the image"


def test_a_missing_artifact_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match=r"lacks the image 0123456789abcdef….*Run the evaluation again"):
        StoreImages(tmp_path, lambda key: None).artifact("0123456789abcdef0123")


@pytest.mark.parametrize("name", ["images/none.png", "../secret.png", "/etc/passwd"])
def test_files_outside_of_the_dataset_are_refused(tmp_path, result, name):
    folder = tmp_path / "dataset"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    case = result.cases[0].model_copy(update={"image": name})
    with pytest.raises(InvalidImageError, match="has no file"):
        StoreImages(folder, lambda key: None).case_image(case)
