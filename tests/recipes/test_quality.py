from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from photoguard_eval import load_model, resources
from photoguard_eval.metrics.clip import TextImageModel
from recipes.emoji_scenes.batches import draw_batch
from recipes.emoji_scenes.glyphs import FONT, EmojiFont
from recipes.emoji_scenes.immunizability import (
    EPSILON,
    encoder_gain,
    look_from_kept_latents,
    round_trip_psnr,
    whole_subject,
)
from recipes.emoji_scenes.quality import (
    flip_looks,
    held_out_edits,
    measure_amortised,
    measure_clip,
    places_found,
)
from recipes.emoji_scenes.vocabulary import PLACES, is_held_out
from tests.recipes.test_emoji_scenes import drawn_glyph


class Cells(nn.Module):
    """An autoencoder whose latents are the pixels of each cell, or their mean; what it does to them is known."""

    def __init__(self, mean=False, scale=1.0):
        super().__init__()
        self.mean, self.scale = mean, scale

    def encode(self, images):
        cells = pixel_unshuffle(images, 4)
        if self.mean:
            cells = cells.unflatten(1, (3, 16)).mean(2)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: cells * self.scale))

    def decode(self, latents):
        cells = latents / self.scale
        if self.mean:
            cells = cells.repeat_interleave(16, dim=1)
        return SimpleNamespace(sample=pixel_shuffle(cells, 4))


def test_a_round_trip_that_loses_half_is_measured_against_the_error_in_closed_form():
    class Halving(Cells):
        def decode(self, latents):
            return SimpleNamespace(sample=super().decode(latents).sample / 2)

    images = draw_batch([77, 0], 8, drawn_glyph, held_out=True).images
    # In [0, 1] the error is a quarter of the image in [-1, 1].
    expected = (-10 * (images / 4).square().mean((1, 2, 3)).log10()).mean()
    assert round_trip_psnr(Halving(), drawn_glyph, 8) == pytest.approx(float(expected), abs=1e-4)


def test_looks_are_told_from_pixels_and_not_from_means():
    told, lost = (look_from_kept_latents(Cells(mean), drawn_glyph, 320) for mean in (False, True))
    assert told > 0.8
    assert lost < 0.5


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_the_gain_of_pixels_is_the_budgets(scale):
    gain = encoder_gain(Cells(scale=scale), drawn_glyph, 4, 40)
    batch = draw_batch([77, 2], 4, drawn_glyph, held_out=True, mask_rule=whole_subject)
    kept = (batch.masks < 0.5).float()
    norms = (batch.images * kept).flatten(1).norm(dim=1)
    reachable = ((batch.images * kept).abs().clamp_max(2 * EPSILON)).flatten(1).norm(dim=1)
    assert gain["toward"] == pytest.approx(float((reachable / norms).mean()), rel=0.05)
    assert gain["noise"] < gain["toward"]


def test_edits_go_to_held_out_places_other_than_their_own():
    edits = held_out_edits(40, drawn_glyph)
    for content, place, prompt in zip(edits.batch.contents, edits.places, edits.prompts, strict=True):
        assert is_held_out(content.name, place)
        assert place != content.place
        assert prompt.endswith(place)
        assert prompt.removesuffix(place) == content.caption.removesuffix(content.place)


def test_a_flip_changes_the_texture_of_what_is_kept_within_the_budget():
    edits = held_out_edits(8, drawn_glyph)
    change = flip_looks(edits) - edits.images
    edited = (edits.batch.masks >= 0.5).expand_as(change)
    assert (change[edited] == 0).all()
    assert 8 / 255 < change.abs().max() <= EPSILON + 1e-6
    assert all(row.abs().max() > 8 / 255 for row in change)


class Colours:
    """A CLIP for images that are flat: the place is written in their gray."""

    def embed_images(self, images):
        return torch.nn.functional.one_hot((images.mean((1, 2, 3)) * 10).long(), 10).float()

    def embed_texts(self, texts):
        return torch.nn.functional.one_hot(torch.tensor([self.place(text) for text in texts]), 10).float()

    def place(self, text):
        return next(index for index, place in enumerate(PLACES) if text.endswith(place))


def test_a_place_is_found_if_no_other_is_likelier():
    edits = held_out_edits(20, drawn_glyph)
    wanted = torch.tensor([PLACES.index(place) for place in edits.places])
    images = ((wanted + 0.5) / 10)[:, None, None, None].expand(-1, 3, 64, 64)
    assert places_found(Colours(), images, edits) == 1
    assert places_found(Colours(), (images + 0.1) % 1, edits) == 0


@pytest.fixture
def font():
    if not FONT.is_file():
        pytest.skip("needs the font of Debian's package fonts-noto-color-emoji")
    return EmojiFont()


def test_the_network_that_the_package_carries_is_measured_against_noise(font):
    network, model = resources.CHECKPOINTS / "amortised-a", load_model("inpaint-a")
    quality = measure_amortised(network, model, font, count=4)
    assert quality["inpaint_loss_of_network"] < quality["inpaint_loss_of_noise"]
    assert quality["img2img_loss_of_network"] < quality["img2img_loss_of_noise"]


def test_the_clip_that_the_package_carries_knows_its_domain_better_than_chance(monkeypatch, font):
    monkeypatch.setattr("recipes.emoji_scenes.quality.CLIP_BATCHES", 1)
    quality = measure_clip(TextImageModel(str(resources.embedded_clip())), font)
    assert quality["retrieval_of_64"] > 0.9
    assert quality["place_found"] > 0.95
