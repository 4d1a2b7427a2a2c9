import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from photoguard_eval import load_model
from photoguard_eval.attacks import AmortisedAttack, DiffusionAttack, EncoderAttack
from photoguard_eval.diffusion import EDITORS, EditSettings
from photoguard_eval.metrics.clip import TextImageModel
from recipes.emoji_scenes import cards, checkpoints, latents
from recipes.emoji_scenes.autoencoder import AutoencoderTask, DecoderTask, kept_cells, look_directions
from recipes.emoji_scenes.batches import CONTRASTED, draw_batch, draw_contrasting_batch
from recipes.emoji_scenes.checkpoints import AUTOENCODERS, DENOISERS, NAMES, Workshop
from recipes.emoji_scenes.denoiser import DenoiserTask
from recipes.emoji_scenes.latents import Latents
from recipes.emoji_scenes.training import Settings, step_generator, train
from recipes.emoji_scenes.vocabulary import LOOKS, is_held_out
from tests.recipes.test_emoji_scenes import drawn_glyph

SMALL = Settings(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, decay=1, seed=1)


@pytest.fixture
def small(monkeypatch):
    """Make every recipe as small as it can be; nothing else changes."""
    for name, recipe in AUTOENCODERS.items():
        small_recipe = replace(recipe, widths=(8, 8, 8), joint=SMALL, decoder=SMALL, polish=SMALL)
        monkeypatch.setitem(AUTOENCODERS, name, small_recipe)
    for name, recipe in DENOISERS.items():
        monkeypatch.setitem(DENOISERS, name, replace(recipe, widths=(32, 32, 32), scenes=8, coarse=SMALL, fine=SMALL))
    for name in ("CLIP_SETTINGS", "AMORTISED_COARSE", "AMORTISED_FINE"):
        monkeypatch.setattr(checkpoints, name, SMALL)
    monkeypatch.setattr(latents, "SHARD_SIZE", 8)
    monkeypatch.setattr(latents, "CHUNK", 4)


@pytest.fixture
def workshop(tmp_path, small):
    return Workshop(tmp_path / "training", tmp_path / "output", drawn_glyph)


def weights_of(folder):
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {(path.parent.name, name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


def stages_of(name):
    autoencoder, start = DENOISERS[name].autoencoder, DENOISERS[name].start
    denoisers = [start, f"{start}-fine"] if start else []
    return [autoencoder, f"{autoencoder}-decoder", f"{autoencoder}-polish", *denoisers, name, f"{name}-fine"]


@pytest.mark.parametrize(("name", "kind"), [(name, recipe.kind) for name, recipe in DENOISERS.items()])
def test_a_denoiser_is_made_from_nothing_and_loads_as_any_checkpoint(workshop, tmp_path, name, kind):
    workshop.make(name)
    folder = tmp_path / "output" / name
    model = load_model(str(folder))
    assert model.kind == kind
    assert model.native_size == 64
    weights = weights_of(folder)
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    images, masks = torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)
    settings = EditSettings(num_inference_steps=2)
    edit = EDITORS.create("inpaint").instance.edit(model, images, masks, ["a dog at sunset"], [0], settings)
    assert edit.shape == images.shape
    assert torch.isfinite(edit).all()
    record = json.loads((folder / "training.json").read_text())
    assert list(record) == stages_of(name)
    assert all(run["settings"]["steps"] == 2 for run in record.values())


@pytest.mark.slow
def test_a_checkpoint_is_made_the_same_again(workshop, tmp_path):
    workshop.make("inpaint-a")
    again = replace(workshop, training=tmp_path / "other", output=tmp_path / "again")
    again.make("inpaint-a")
    first, second = (weights_of(tmp_path / name / "inpaint-a") for name in ("output", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_finished_autoencoder_is_taken_from_the_checkpoint_that_carries_it(workshop, tmp_path):
    workshop.make("inpaint-a")
    later = replace(workshop, training=tmp_path / "new machine")
    later.make("text-to-image-a")
    assert not (tmp_path / "new machine" / "vae-a").exists()
    record = json.loads((tmp_path / "output" / "text-to-image-a" / "training.json").read_text())
    assert list(record) == stages_of("text-to-image-a")
    first, second = (weights_of(tmp_path / "output" / name / "vae") for name in ("inpaint-a", "text-to-image-a"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_denoiser_starts_from_a_finished_one(workshop, tmp_path, monkeypatch):
    start = DENOISERS["text-to-image-a"].start
    workshop.make(start)
    monkeypatch.setattr(checkpoints, "train", lambda *arguments: None)
    started = workshop._denoiser("text-to-image-a")
    finished = load_model(str(tmp_path / "output" / start))
    random = torch.Generator().manual_seed(0)
    latents, context = torch.randn(2, 12, 16, 16, generator=random), torch.randn(2, 16, 128, generator=random)
    # Mask and kept latents of zero: what is left of the first convolution is what reads the noised latents.
    blank = torch.zeros(2, 13, 16, 16)
    expected = finished.unet(torch.cat([latents, blank], dim=1), 500, context).sample
    with torch.no_grad():
        assert torch.allclose(started.unet(latents, 500, context).sample, expected, atol=1e-5)
    kept = {name: value for (part, name), value in weights_of(tmp_path / "output" / start).items() if "text" in part}
    own = started.text_encoder.state_dict()
    assert kept
    assert all(torch.equal(own[name].half(), value) for name, value in kept.items())


def test_the_latents_deviate_by_one_where_the_denoiser_sees_them(workshop, tmp_path):
    workshop.make("inpaint-a")
    model = load_model(str(tmp_path / "output" / "inpaint-a"))
    encoded = latents.encode_scenes(
        model.vae, checkpoints.SCENES_SEED, 8, drawn_glyph, tmp_path / "training" / "latents-of-vae-a"
    )
    assert model.latent_scale == pytest.approx(encoded.scaling_factor, rel=1e-4)
    assert (encoded.whole.float() * model.latent_scale).std() == pytest.approx(1, rel=1e-3)


def test_the_clip_is_made_from_nothing_and_loads_in_open_clips_format(workshop, tmp_path):
    workshop.make("clip")
    clip = TextImageModel(str(tmp_path / "output" / "clip"))
    texts = clip.embed_texts(["a dog at sunset", "a blue fox in the snow"])
    images = clip.embed_images(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert texts.shape == images.shape == (2, 128)
    assert not torch.equal(texts[0], texts[1])


def test_captions_are_tokenized_for_the_clip_as_in_its_training(workshop, tmp_path):
    import open_clip

    from recipes.emoji_scenes.text import encode_captions, make_tokenizer

    workshop.make("clip")
    captions = ["a small purple owl on the left under the stars", "an owl at sunset"]
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'output' / 'clip'}")
    assert torch.equal(tokenizer(captions), encode_captions(make_tokenizer(), captions))


def test_cards_say_what_was_measured_and_how_it_was_made(workshop, tmp_path, monkeypatch):
    for name in ("inpaint-a", "clip"):
        workshop.make(name)
    monkeypatch.setattr(cards, "_measure", lambda *arguments: {"place_found": 0.5})
    cards.measure_and_describe(tmp_path / "output", drawn_glyph, NAMES)
    card = (tmp_path / "output" / "inpaint-a" / "README.md").read_text()
    assert "| place of the prompt recognised by the CLIP among all ten | 0.5 | ≥ 0.95 |" in card
    assert "`python -m recipes.emoji_scenes inpaint-a`" in card
    assert "vae-a-decoder: 2 steps of 4 images" in card
    assert json.loads((tmp_path / "output" / "clip" / "quality.json").read_text()) == {"place_found": 0.5}
    assert not (tmp_path / "output" / "text-to-image-a").exists()
    monkeypatch.setattr(cards, "_measure", lambda *arguments: {"place_found": 0.75})
    cards.measure_and_describe(tmp_path / "output", drawn_glyph, ["inpaint-a"])
    measured = [json.loads((tmp_path / "output" / name / "quality.json").read_text()) for name in ("inpaint-a", "clip")]
    assert measured == [{"place_found": 0.75}, {"place_found": 0.5}]


@pytest.mark.slow
def test_the_network_of_the_amortised_attack_is_made_in_two_parts(workshop, tmp_path, monkeypatch):
    trained = []

    def follow(task, settings, folder):
        train(task, settings, folder)
        trained.append((folder.name, type(task).__name__, getattr(task, "attack", None)))

    monkeypatch.setattr(checkpoints, "train", follow)
    workshop.make("amortised-a")
    parts = [(folder, type(attack)) for folder, task, attack in trained if task == "AmortisedTask"]
    assert parts == [("amortised-a", EncoderAttack), ("amortised-a-fine", DiffusionAttack)]
    folder = tmp_path / "output" / "amortised-a"
    assert list(json.loads((folder / "training.json").read_text())) == ["amortised-a", "amortised-a-fine"]
    images = torch.full((1, 3, 64, 64), 0.5)
    perturbation = AmortisedAttack(network=str(folder)).predictor(images, torch.zeros(1, 1, 64, 64))
    assert perturbation.abs().max() > 0


def test_every_checkpoint_has_another_seed():
    seeds = [checkpoints.CLIP_SETTINGS.seed, checkpoints.AMORTISED_COARSE.seed]
    seeds += [checkpoints.AMORTISED_FINE.seed]
    seeds += [settings.seed for recipe in DENOISERS.values() for settings in (recipe.coarse, recipe.fine)]
    for recipe in AUTOENCODERS.values():
        seeds += [settings.seed for settings in (recipe.joint, recipe.decoder, recipe.polish)]
    assert len({*seeds, checkpoints.SCENES_SEED}) == len(seeds) + 1
    assert set(NAMES) == {*AUTOENCODERS, *DENOISERS, "clip", "amortised-a"}


def test_looks_are_read_along_orthonormal_directions():
    directions = look_directions(7)
    assert torch.allclose(directions @ directions.T, torch.eye(len(directions)), atol=1e-5)
    assert torch.equal(directions, look_directions(7))
    assert not torch.equal(directions, look_directions(8))


def test_a_cell_is_kept_if_nothing_of_it_is_edited():
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., 3, 4] = 1
    assert kept_cells(masks).tolist() == [[[[1, 0], [1, 1]]]]


def test_the_decoder_is_trained_alone():
    task = AutoencoderTask((8, 8, 8), SMALL, drawn_glyph)
    task.autoencoder.encoder.requires_grad_(False)
    task.autoencoder.quant_conv.requires_grad_(False)
    decoder = DecoderTask(task.autoencoder, SMALL, drawn_glyph)
    decoder.losses(0)["loss"].backward()
    trained = {name for name, value in task.autoencoder.named_parameters() if value.grad is not None}
    assert trained == {name for name, _ in task.autoencoder.named_parameters() if name.startswith(("decoder", "post"))}


def test_polishing_raises_the_psnr_of_whole_images():
    task = AutoencoderTask((8, 8, 8), SMALL, drawn_glyph)
    polish = DecoderTask(task.autoencoder, SMALL, drawn_glyph, polish=True)
    losses = polish.losses(0)
    # One pixel value of 2 apart is 0 dB; the loss is of all images, the logged figure of every other one.
    images = draw_batch([SMALL.seed, 0], SMALL.batch_size, drawn_glyph).images
    with torch.no_grad():
        posterior = task.autoencoder.encode(images).latent_dist
        restored = task.autoencoder.decode(posterior.sample(step_generator(SMALL.seed, 0))).sample
    errors = (restored - images).square().mean((1, 2, 3))
    assert losses["loss"].item() == pytest.approx(errors.log().mean().item(), abs=1e-4)
    assert losses["psnr"].item() == pytest.approx(10 * math.log10(4 / errors[::2].mean().item()), abs=1e-3)


def test_the_autoencoders_loss_falls():
    task = AutoencoderTask((8, 16, 16), replace(SMALL, batch_size=8), drawn_glyph)
    optimizer = torch.optim.AdamW(task.modules.parameters(), 3e-3)
    first = task.losses(0)["loss"].item()
    for step in range(30):
        optimizer.zero_grad()
        task.losses(step)["loss"].backward()
        optimizer.step()
    assert task.losses(0)["loss"].item() < 0.8 * first


def test_batches_depend_on_their_seed_alone():
    first, again, other = (draw_batch([1, step], 3, drawn_glyph) for step in (5, 5, 6))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.images, other.images)
    assert first.images.shape == (3, 3, 64, 64)
    assert -1 <= first.images.min() <= first.images.max() <= 1
    assert (first.masked_images[(first.masks == 1).expand_as(first.images)] == 0).all()
    assert [list(LOOKS)[index] for index in first.looks] == [content.look for content in first.contents]


def test_contrasting_batches_have_scenes_that_differ_in_the_object_alone():
    batch = draw_contrasting_batch([1, 5], 64, drawn_glyph)
    assert len(batch.contents) == len(batch.images) == 64
    for group in (batch.contents[:CONTRASTED], batch.contents[CONTRASTED : 2 * CONTRASTED]):
        assert len({content.name for content in group}) == CONTRASTED
        assert len({replace(content, name="") for content in group}) == 1
    assert len({content.place for content in batch.contents[32:]}) > 3
    assert not any(is_held_out(content.name, content.place) for content in batch.contents)


def made_up_latents(count):
    random = torch.Generator().manual_seed(0)
    return Latents(
        whole=torch.randn(count, 12, 2, 2, generator=random).half(),
        kept=torch.zeros(count, 12, 2, 2).half(),
        masks=torch.ones(count, 1, 2, 2).half(),
        subjects=torch.tensor([[1.0, 0], [0, 0]]).half().expand(count, 1, 2, 2),
        captions=["a dog at sunset"] * count,
    )


@pytest.mark.parametrize(("kind", "deviation"), [("inpainting", 1000 / 12**0.5), ("text-to-image", 208)])
def test_the_second_part_of_a_denoisers_training_sees_less_noise(kind, deviation):
    count = 512
    task = DenoiserTask(kind, (32, 32, 32), replace(SMALL, batch_size=count), made_up_latents(count), None, drawn_glyph)
    seen = []
    task.unet.forward = lambda noised, times, context: (seen.append(times), SimpleNamespace(sample=noised[:, :12]))[1]
    task.losses(0)
    task.refine(replace(SMALL, batch_size=count, seed=2))
    task.losses(0)
    coarse, fine = (times.float().mean().item() for times in seen)
    assert coarse == pytest.approx(1000 / 1.6, abs=40)
    assert fine == pytest.approx(500, abs=40)
    # That of a uniform law, or of a normal law after the logistic function.
    assert seen[1].float().std().item() == pytest.approx(deviation, rel=0.1)


def test_a_subject_that_is_drawn_from_text_alone_counts_more_where_it_shows():
    count = 64
    task = DenoiserTask(
        "text-to-image", (32, 32, 32), replace(SMALL, batch_size=count), made_up_latents(count), None, drawn_glyph
    )
    signals = []

    def wrong_by_one_at_the_subject(noised, times, context):
        random = step_generator(SMALL.seed, 0)
        clean = task.latents.whole[torch.randint(count, (count,), generator=random)].float() * task.scaling_factor
        noise = torch.randn(clean.shape, generator=random)
        signals.append(task._schedule.alphas_cumprod[times].sqrt())
        error = task.latents.subjects.float()
        return SimpleNamespace(sample=task._schedule.get_velocity(clean, noise, times) + error)

    task.unet.forward = wrong_by_one_at_the_subject
    first = task.losses(0)
    assert first["loss"].item() == pytest.approx(first["error"].item())
    signals.clear()
    task.refine(task.settings)
    losses = task.losses(0)
    # One of four cells is the subject's.
    assert losses["error"].item() == pytest.approx(0.25, abs=1e-5)
    assert losses["loss"].item() == pytest.approx((0.25 * (1 + 3 * signals[0])).mean().item(), abs=1e-5)
