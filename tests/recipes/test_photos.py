"""The photographs' masks and metadata are what the recipe makes of them, and the card says whose they are."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from photoguard_eval import resources
from photoguard_eval.data.cases import METADATA, load_dataset
from recipes.photos.cutout import Outline, cut_out
from recipes.photos.dataset import make_dataset, read_photos

FOLDER = resources.datasets_folder() / "photos"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The dataset, made again from its photographs."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copytree(FOLDER / "images", folder / "images")
    make_dataset(folder)
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / METADATA).read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_recipe_makes_the_same_metadata(made):
    for own, again in zip(rows(FOLDER), rows(made), strict=True):
        assert {**own, "mask_sha256": ""} == {**again, "mask_sha256": ""}


@pytest.mark.slow
def test_the_recipe_makes_the_same_masks(made):
    """Not to the bit: GrabCut's sums may differ between builds of OpenCV."""
    for row in rows(FOLDER):
        own, again = (np.asarray(Image.open(folder / row["mask_file_name"])) for folder in (FOLDER, made))
        assert (own == again).mean() > 0.99, row["mask_file_name"]


def test_every_edit_is_of_a_square_of_512_pixels_that_keeps_a_part():
    dataset = load_dataset("photos")
    assert len(dataset.cases) == 60
    for case in dataset.cases[::3]:
        assert case.image().shape[-2:] == (512, 512)
        assert 0.03 < 1 - float(case.mask().mean()) < 0.5


def test_the_card_names_the_author_licence_and_origin_of_every_photograph():
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    names = {"LicenseRef-Public-Domain": "public domain", "CC0-1.0": "CC0 1.0", "CC-BY-4.0": "CC BY 4.0"}
    for stem, photo in read_photos().items():
        (line,) = [line for line in lines if line.startswith(f"| `{stem}` ")]
        assert photo["author"] in line
        assert names[photo["license"]] in line
        assert all(part.strip(" <>") in line for part in photo["source"].split(" ; "))
        assert photo["evidence"][:40] in line


def test_a_subject_is_found_in_its_box():
    random = np.random.default_rng(0)
    picture = random.integers(0, 60, (96, 96, 3), dtype=np.uint8)
    picture[30:60, 40:70] += 180
    mask = cut_out(picture, Outline(box=(30, 20, 80, 70)))
    assert (mask[33:57, 43:67] == 0).all()
    assert (mask == 0).sum() == pytest.approx(30 * 30, rel=0.1)


def test_polygons_correct_what_was_found():
    random = np.random.default_rng(0)
    picture = random.integers(0, 60, (96, 96, 3), dtype=np.uint8)
    picture[30:60, 40:70] += 180
    left = [(40, 30), (55, 30), (55, 60), (40, 60)]
    within = [(40, 40), (55, 40), (55, 50), (40, 50)]
    mask = cut_out(picture, Outline(box=(30, 20, 80, 70), edit=[left], keep=[within]))
    assert (mask[32:58, 58:68] == 0).all()
    assert (mask[42:48, 42:53] == 0).all()
    assert (mask[30:36, 42:53] == 255).all()
    assert (mask[54:60, 42:53] == 255).all()


def test_a_drawn_subject_is_the_polygons_without_specks_and_holes():
    picture = np.zeros((96, 96, 3), np.uint8)
    square = [(20, 20), (70, 20), (70, 70), (20, 70)]
    hole, speck = [(40, 40), (46, 40), (46, 46), (40, 46)], [(80, 80), (86, 80), (86, 86), (80, 86)]
    outline = Outline(box=(0, 0, 96, 96), keep=[square, speck], drawn=True)
    mask = cut_out(picture, outline)
    assert (mask[22:69, 22:69] == 0).all()
    assert (mask[78:, 78:] == 255).all()
    assert (cut_out(picture, Outline(box=(0, 0, 96, 96), edit=[hole], keep=[square], drawn=True)) == mask).all()
