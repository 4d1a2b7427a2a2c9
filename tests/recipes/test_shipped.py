"""The checkpoints that the package carries: their cards, their sizes, and on scenes of the domain their quality."""

import json

import pytest
import torch
from safetensors import safe_open

from photoguard_eval import load_model, resources
from photoguard_eval.metrics.clip import TextImageModel
from recipes.emoji_scenes.cards import MEASURES, card
from recipes.emoji_scenes.checkpoints import AUTOENCODERS, DENOISERS, NAMES
from recipes.emoji_scenes.glyphs import FONT, EmojiFont
from recipes.emoji_scenes.immunizability import encoder_gain, look_from_kept_latents, round_trip_psnr
from recipes.emoji_scenes.quality import flip_looks, held_out_edits, places_found, similarity_of_edits

MEBIBYTE = 2**20

FOLDERS = sorted(
    (path for folder in resources.checkpoint_folders() for path in folder.iterdir() if (path / "README.md").is_file()),
    key=lambda path: path.name,
)
DEFAULT = ("inpaint-a", "clip")
INPAINTING = ("inpaint-a", "inpaint-b")


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEBIBYTE


def test_the_default_and_all_together_are_small():
    assert sum(size_of(resources.CHECKPOINTS / name) for name in DEFAULT) <= 45
    assert sum(map(size_of, FOLDERS)) <= 80


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_weights_are_safetensors_in_half_precision(folder):
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
        assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float16}


def test_every_checkpoint_is_there():
    assert [folder.name for folder in FOLDERS] == sorted({*NAMES} - {*AUTOENCODERS})


def test_what_was_measured_reaches_the_targets():
    quality = {folder.name: json.loads((folder / "quality.json").read_text()) for folder in FOLDERS}
    for name in DENOISERS:
        assert quality[name]["round_trip_psnr"] >= 30
        assert quality[name]["look_from_kept_latents"] >= 0.9
        assert quality[name]["gain_toward"] >= 0.5
        assert quality[name]["gain_noise"] <= 0.1
    for name in INPAINTING:
        assert quality[name]["place_found"] >= 0.95
        assert quality[name]["flip_ssim"] <= 0.8
        assert quality[name]["kept_pixels_changed"] == 0
    assert quality["clip"]["retrieval_of_64"] >= 0.95
    assert quality["text-to-image-a"]["object_found"] >= 0.9
    assert quality["text-to-image-a"]["colour_found"] >= 0.9
    amortised = quality["amortised-a"]
    assert amortised["inpaint_loss_of_network"] <= 0.75 * amortised["inpaint_loss_of_noise"]
    assert amortised["img2img_loss_of_network"] <= 0.75 * amortised["img2img_loss_of_noise"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_says_what_was_measured(folder):
    quality, record = (json.loads((folder / name).read_text()) for name in ("quality.json", "training.json"))
    assert set(quality) <= set(MEASURES)
    assert (folder / "README.md").read_text() == card(folder.name, record, quality)


@pytest.fixture(scope="module")
def font():
    if not FONT.is_file():
        pytest.skip("needs the font of Debian's package fonts-noto-color-emoji")
    return EmojiFont()


@pytest.fixture(scope="module", params=INPAINTING)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return load_model(name)


@pytest.mark.slow
def test_the_kept_latents_carry_the_detail_and_the_budget_moves_them(name, model, font):
    assert look_from_kept_latents(model.vae, font, 640) >= 0.9
    gain = encoder_gain(model.vae, font, 8, 50)
    assert gain["toward"] >= 0.5
    assert gain["noise"] <= 0.1
    measured = json.loads((resources.embedded_checkpoints()[name] / "quality.json").read_text())
    assert round_trip_psnr(model.vae, font, 64) >= measured["round_trip_psnr"] - 1


@pytest.mark.slow
def test_edits_show_the_place_and_depend_on_the_texture_of_what_is_kept(model, font):
    edits = held_out_edits(16, font)
    first = edits.drawn_by(model)
    assert places_found(TextImageModel(str(resources.embedded_clip())), first, edits) >= 0.8
    assert similarity_of_edits(edits.drawn_by(model, 0, flip_looks(edits)), first, edits) <= 0.8
    kept = (edits.batch.masks < 0.5).expand_as(first)
    assert torch.equal(first[kept], edits.images[kept])
