"""Masks: white is edited, black is kept, and what is neither is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from photoguard_eval import load_dataset
from photoguard_eval.diffusion import DEFAULT_GPU_MODEL, identify_model, published_architectures
from photoguard_eval.errors import ConfigurationError, InvalidImageError
from photoguard_eval.images.masks import (
    LATENT_FACTORS,
    read_mask,
    require_latent_mask,
    require_partial_mask,
    share_left,
)


def save(tmp_path, array):
    Image.fromarray(np.asarray(array, np.uint8)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def square(size=64, low=16, high=48):
    mask = np.zeros((size, size), np.uint8)
    mask[low:high, low:high] = 255
    return mask


def test_masks_are_binary(tmp_path):
    row = [0] * 20 + [0, 127, 128, 255] + [255] * 20
    mask = read_mask(save(tmp_path, [row]))
    assert mask.shape == (1, 1, 1, 44)
    assert mask.flatten().tolist() == [0] * 22 + [1] * 22


@pytest.mark.parametrize("blur", [0, 1, 2, 3])
def test_soft_edges_are_taken(tmp_path, blur):
    Image.fromarray(square()).filter(ImageFilter.GaussianBlur(blur)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").mean() == pytest.approx(0.25, abs=0.02)


def test_a_photograph_is_no_mask():
    """Every photograph of the package is refused, and no mask is."""
    for case in load_dataset("photos").cases[::9]:
        with pytest.raises(InvalidImageError, match=r"is no mask: \d+% of it is neither nearly black nor nearly white"):
            read_mask(case.image_path)
        assert 0 < read_mask(case.mask_path).mean() < 1


def test_bright_colours_are_no_white(tmp_path):
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32] = (255, 255, 0)
    with pytest.raises(InvalidImageError, match="50% of it is neither"):
        read_mask(save(tmp_path, picture))


def hole(colour):
    """A picture whose middle, a quarter, is transparent."""
    picture = np.full((64, 64, 4), 255, np.uint8)
    picture[..., :3] = colour
    picture[..., 3] = 255 - square()
    return picture


def test_transparency_is_asked_about(tmp_path):
    path = save(tmp_path, hole((90, 120, 60)))
    with pytest.raises(InvalidImageError, match=r"has transparent pixels, .* --mask-from: `transparent`"):
        read_mask(path)
    assert (read_mask(path, "transparent")[0, 0].numpy() == square() / 255).all()


def test_black_that_is_painted_on_transparency_is_not_inverted(tmp_path):
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[..., 3] = square()
    path = save(tmp_path, picture)
    with pytest.raises(InvalidImageError, match="`opaque` the part that is painted"):
        read_mask(path)
    assert (read_mask(path, "opaque")[0, 0].numpy() == square() / 255).all()


def test_an_opaque_alpha_channel_says_nothing(tmp_path):
    picture = np.dstack([square()] * 3 + [np.full((64, 64), 255, np.uint8)])
    assert (read_mask(save(tmp_path, picture))[0, 0].numpy() == square() / 255).all()


def test_transparency_that_is_not_there_is_refused(tmp_path):
    path = save(tmp_path, square())
    with pytest.raises(InvalidImageError, match="has no transparency"):
        read_mask(path, "transparent")
    with pytest.raises(ConfigurationError, match="expected one of colour, transparent, opaque"):
        read_mask(path, "alpha")


@pytest.mark.parametrize(("value", "verb"), [(0.0, "keeps"), (1.0, "edits")])
def test_a_mask_of_one_value_is_refused(value, verb):
    with pytest.raises(InvalidImageError, match=f"fox: the mask {verb} every pixel"):
        require_partial_mask(torch.full((1, 1, 4, 4), value), "fox")


def test_a_region_between_the_latents_is_refused():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 1, :] = 1
    with pytest.raises(InvalidImageError, match=r"fox: the mask's region is too thin.* every 4th pixel .* at least 4"):
        require_latent_mask(mask, 4, "fox")
    assert share_left(mask, 4) == 0
    mask[..., 1, :], mask[..., 4, 8] = 0, 1
    require_latent_mask(mask, 4, "fox")
    assert share_left(torch.ones(1, 1, 64, 64), 8) == 1


def test_the_factors_without_a_model_are_those_of_the_models():
    published = json.loads(published_architectures()[DEFAULT_GPU_MODEL].read_text(encoding="utf-8"))["vae"]
    embedded = json.loads((identify_model("inpaint-a").path / "vae/config.json").read_text(encoding="utf-8"))
    factors = [2 ** (len(config["block_out_channels"]) - 1) for config in (published, embedded)]
    assert factors == list(LATENT_FACTORS.values())
