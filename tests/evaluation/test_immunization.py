"""What an immunized image is known by, so that a folder is gone on with only under the same conditions."""

from dataclasses import replace

import pytest

from photoguard_eval.diffusion import EDITORS, EditSettings, identify_model
from photoguard_eval.evaluation.immunization import Photograph, Recipe
from photoguard_eval.evaluation.plan import create_attack
from photoguard_eval.evaluation.presets import find_preset
from photoguard_eval.images import write_image
from tests.tiny import random_images


@pytest.fixture
def photograph(tmp_path):
    write_image(tmp_path / "image.png", random_images(1))
    return Photograph(tmp_path / "image.png", None, tmp_path / "immunized.png")


@pytest.fixture
def recipe():
    attack, model = create_attack("encoder,steps=2", find_preset("smoke")), identify_model("inpaint-a", None)
    return Recipe(attack, model, EDITORS.create("img2img").instance, EditSettings(), None, 0, "float32")


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"dtype": "float16"}, {"device": "cuda"}, {"vae_tiling": True}, {"compiled": True}]
)
def test_what_changes_the_numbers_changes_the_key(recipe, photograph, change):
    assert recipe.key(photograph) == recipe.key(photograph)
    assert replace(recipe, **change).key(photograph) != recipe.key(photograph)


def test_other_libraries_make_other_images(recipe, photograph, monkeypatch):
    key = recipe.key(photograph)
    monkeypatch.setattr(
        "photoguard_eval.evaluation.immunization.library_versions", lambda names: dict.fromkeys(names, "0")
    )
    assert recipe.key(photograph) != key
