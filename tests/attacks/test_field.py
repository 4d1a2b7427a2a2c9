"""The attacks of the field: that each objective moves its way, and what is special about each."""

from dataclasses import replace

import pytest
import torch

from photoguard_eval.attacks import ATTACKS, AttackBatch, Ball, EncoderAttack, GradientAttack, NoiseAttack
from photoguard_eval.attacks.attention import attention_layers
from photoguard_eval.attacks.blurguard import RegionBlur, blur_within, find_regions, matching_sigma
from photoguard_eval.attacks.combined import EnsembleAttack
from photoguard_eval.attacks.first_step import shrink
from photoguard_eval.attacks.gradient import noised
from photoguard_eval.attacks.targets import pattern
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import EditSettings, Img2ImgEditor, InpaintEditor, load_model
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.images.arrays import write_image
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images, tiny_model

SETTINGS = EditSettings(num_inference_steps=4)
SIZES = {(64, 64)}
EDITORS = [InpaintEditor(), Img2ImgEditor()]
DESCENDING = [
    "encoder",
    "encoder,target=zero",
    "encoder,target=pattern",
    "pid",
    "advdm",
    "mist",
    "mist,mode=textural",
    "mist,mode=semantic",
    "ace",
    "diffusionguard",
    "advpaint",
    "dayn",
    "blurguard",
    "eot",
]


@pytest.fixture(scope="module")
def embedded():
    return load_model("inpaint-a")


def embedded_batch(editor, count=2):
    cases = load_dataset("emoji-scenes").cases[: 3 * count : 3]
    masks = torch.cat([case.mask() for case in cases])
    return AttackBatch(
        images=torch.cat([case.image() for case in cases]),
        masks=masks if editor.reads_mask else torch.zeros_like(masks),
        prompts=tuple(case.prompt for case in cases),
        ids=tuple(case.id for case in cases),
        editor=editor,
        settings=SETTINGS,
    )


def mean_loss(attack, model, batch, images, draws=8):
    """The objective, averaged over random numbers that the attack did not see."""
    with torch.no_grad():
        values = [
            attack.objective(model, batch, CaseGenerators.from_seeds(range(draw, draw + len(batch))))(images)
            for draw in range(1000, 1000 + 100 * draws, 100)
        ]
    return torch.stack(values).mean(dim=0)


@pytest.mark.parametrize(
    "editor",
    [EDITORS[0], *(pytest.param(editor, marks=pytest.mark.slow) for editor in EDITORS[1:])],
    ids=lambda editor: editor.name,
)
@pytest.mark.parametrize("spec", DESCENDING)
def test_twenty_steps_lower_the_objective_beyond_noise(embedded, spec, editor):
    attack = ATTACKS.create(spec if spec == "eot" else f"{spec},steps=20").instance
    if spec == "eot":
        attack = ATTACKS.create("eot,attack=encoder(steps=20)").instance
    batch = embedded_batch(editor)
    generators = CaseGenerators.from_seeds([1, 2])
    immunized = attack.perturb(embedded, batch, generators)
    noise = NoiseAttack().perturb(embedded, batch, CaseGenerators.from_seeds([1, 2]))
    after, floor = (mean_loss(attack, embedded, batch, images) for images in (immunized, noise))
    assert after.mean() < floor.mean(), f"{after} after the attack, {floor} with noise"


@pytest.mark.parametrize(("direction", "sign"), [("minus", 1), ("plus", -1)])
def test_score_distillation_moves_the_latents_along_the_score(embedded, direction, sign):
    """Its objective is no loss that could be compared; what it moves is the training loss, down or up."""
    attack = ATTACKS.create(f"sds,steps=20,direction={direction}").instance
    training_loss = ATTACKS.create("advdm").instance
    batch = embedded_batch(Img2ImgEditor())
    immunized = attack.perturb(embedded, batch, CaseGenerators.from_seeds([1, 2]))
    # AdvDM's objective is the negative of the training loss.
    before, after = (-mean_loss(training_loss, embedded, batch, images, 24) for images in (batch.images, immunized))
    assert (sign * (after - before)).mean() < 0


@pytest.mark.parametrize(
    ("spec", "levels", "step_size", "steps", "decay"),
    [
        ("advdm", None, 1, 100, False),
        ("mist", None, 1, 100, False),
        ("sds", None, 1, 100, False),
        ("pid", 12.75, 1, 1000, False),
        ("ace", 4, 2, 200, False),
        # Quoted for images in [−1, 1]: 16/255 and 1/255; 0.06 and 0.03; 0.06.
        ("diffusionguard", 8, 0.5, 800, False),
        ("advpaint", 7.65, 3.825, 250, True),
        ("dayn", 7.65, 2, 100, False),
    ],
)
def test_published_parameters_are_a_preset_in_true_levels(spec, levels, step_size, steps, decay):
    published = ATTACKS.create(f"{spec},preset=published").instance
    board = ATTACKS.create(spec).instance
    assert published.budget == (None if levels is None else Ball("linf", levels / 255))
    assert published.step_size * 255 == pytest.approx(step_size)
    assert (published.steps, published.decay) == (steps, decay)
    assert (board.budget, board.step_size, board.steps) == (None, 2 / 255, 200)
    assert ATTACKS.create(f"{spec},preset=published,steps=3").instance.steps == 3


def test_a_preset_goes_before_defaults_and_after_what_is_given():
    plugin = ATTACKS.create("pid,preset=published,steps=7", {"steps": 5, "step_size": 0.5})
    assert plugin.arguments["steps"] == 7
    assert plugin.arguments["step_size"] == pytest.approx(1 / 255)
    assert plugin.label == "pid,preset=published,steps=7"
    assert "preset" not in plugin.arguments


@pytest.mark.parametrize("spec", ["diffusionguard", "advpaint"])
def test_the_first_step_of_inpainting_by_freezing_sees_no_image(spec):
    attack = ATTACKS.create(spec).instance
    with pytest.raises(ConfigurationError, match="does not see the image"):
        attack.require_support(tiny_model(input_channels=4), InpaintEditor(), SIZES)
    attack.require_support(tiny_model(input_channels=4), Img2ImgEditor(), SIZES)
    attack.require_support(tiny_model(input_channels=9), InpaintEditor(), SIZES)


@pytest.mark.parametrize("spec", ["advpaint", "dayn", "ensemble,attacks=encoder+dayn", "eot,attack=dayn"])
def test_attention_that_cannot_be_read_is_refused(spec):
    attack, model = ATTACKS.create(spec).instance, tiny_model()
    attack.require_support(model, InpaintEditor(), SIZES)
    model.unet.fuse_qkv_projections()
    with pytest.raises(ConfigurationError, match="attention of this model cannot be read"):
        attack.require_support(model, InpaintEditor(), SIZES)
    model.unet.unfuse_qkv_projections()
    attack.require_support(model, InpaintEditor(), SIZES)
    for module in model.unet.modules():
        if hasattr(module, "to_q"):
            del module.to_q
    with pytest.raises(ConfigurationError, match="attention of this model cannot be read"):
        attack.require_support(model, InpaintEditor(), SIZES)


@pytest.mark.parametrize("spec", ["dayn,timesteps", "diffusion,denoising_steps", "diffusionguard,denoising_steps"])
def test_a_schedule_that_the_model_cannot_run_is_refused_before_any_work(spec):
    attack = ATTACKS.create(f"{spec}=1000").instance
    with pytest.raises(ConfigurationError, match=f"{spec.partition(',')[2]} is 1000, .* expected 1 to 999"):
        attack.require_support(tiny_model(), InpaintEditor(), SIZES)


@pytest.mark.parametrize(
    "spec",
    [
        "diffusion,eta=2",
        "diffusion,eta=-0.1",
        "ace,timesteps_from=1",
        "ace,timesteps_from=nan",
        "mist,weight=nan",
        "mist,weight=-1",
        "sds,target_weight=-5",
        "diffusionguard,shrinking_strength=inf",
        "ensemble,attacks=noise+amortised,steps=0",
    ],
)
def test_a_value_out_of_range_is_refused(spec):
    with pytest.raises(ConfigurationError, match=f"{spec.split(',')[-1].partition('=')[0]} is .*expected"):
        ATTACKS.create(spec)


@pytest.mark.parametrize("prompts", [None, ("a dog", " ")])
def test_attention_to_a_prompt_without_words_is_refused(prompts):
    batch = replace(embedded_batch(InpaintEditor()), prompts=prompts)
    with pytest.raises(ConfigurationError, match="not empty"):
        ATTACKS.create("dayn,steps=1").instance.perturb(tiny_model(), batch, CaseGenerators.from_seeds([1, 2]))


@pytest.mark.parametrize(("editor", "first"), [(EDITORS[0], 751), (EDITORS[1], 501)], ids=["inpaint", "img2img"])
def test_advpaint_attacks_the_first_step_of_the_edit_itself(editor, first, monkeypatch):
    model, seen = tiny_model(), []
    predict = model.predict_noise
    monkeypatch.setattr(
        model, "predict_noise", lambda latents, timesteps, *rest, **named: seen.append(timesteps.unique().tolist())
        or predict(latents, timesteps, *rest, **named)
    )  # fmt: skip
    batch = replace(embedded_batch(editor), settings=EditSettings(num_inference_steps=4, strength=0.75))
    ATTACKS.create("advpaint,steps=2").instance.perturb(model, batch, CaseGenerators.from_seeds([1, 2]))
    assert seen == [[first]] * 2


def test_attention_layers_are_told_apart():
    itself, text = attention_layers(tiny_model())
    assert len(itself) == len(text) > 0
    assert {layer.to_k.in_features for layer in text} == {16}


def test_timesteps_are_drawn_from_the_choices():
    model = tiny_model()
    batch = embedded_batch(Img2ImgEditor())
    choices = torch.tensor([3, 500])
    drawn = {
        int(timestep)
        for seed in range(10)
        for timestep in noised(
            model, batch, batch.images, CaseGenerators.from_seeds([seed, seed + 50]), choices
        ).timesteps
    }
    assert drawn == {3, 500}


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_noise_is_read_from_any_parametrisation(kind):
    model = tiny_model(prediction_type=kind)
    clean, noise = torch.randn((2, 3, 4, 8, 8), generator=torch.Generator().manual_seed(0)).double()
    timesteps = torch.tensor([10, 400, 990])
    latents = model.add_noise(clean, noise, timesteps)
    scheduler = model.scheduler(1)
    prediction = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(clean, noise, timesteps),
        "sample": clean,
    }[kind]
    assert torch.allclose(model.noise_in(prediction, latents, timesteps), noise, atol=1e-4)


def test_masks_shrink_inwards_by_depths_that_vary():
    kept = 1 - half_masks(2, 64)
    depths = torch.arange(32, 0, -1.0).expand(64, 32)
    depths = torch.nn.functional.pad(depths, (0, 32)).expand(2, 1, 64, 64)
    shrunken = shrink(kept, depths, 8.0, CaseGenerators.from_seeds([1, 2]))
    assert (shrunken <= kept).all()
    widths = shrunken.sum(dim=-1).flatten(1)
    assert (widths >= 24).all()
    assert widths.std(dim=1).min() > 0.5, "the contour moves by the same everywhere"
    assert not torch.equal(shrunken[0], shrunken[1])


def test_a_whole_image_that_is_kept_is_not_shrunk():
    attack = ATTACKS.create("diffusionguard,steps=1").instance
    batch = embedded_batch(Img2ImgEditor())
    immunized = attack.perturb(tiny_model(), batch, CaseGenerators.from_seeds([1, 2]))
    assert (immunized != batch.images).float().mean() > 0.5


def test_regions_cover_what_is_kept_once():
    batch = embedded_batch(InpaintEditor())
    regions = find_regions(batch.images[0].numpy(), batch.kept[0, 0].numpy())
    assert (regions.sum(axis=0) == batch.kept[0, 0].numpy()).all()


def test_a_region_blur_is_an_average_within_the_region():
    region = torch.zeros(32, 32)
    region[4:20, 6:30] = 1
    signs = torch.randint(0, 2, (3, 32, 32), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    blurred = blur_within(signs, region, 1.5)
    assert blurred.abs().max() <= 1
    assert (blurred * (1 - region) == 0).all()
    assert blurred.std() < 0.3 * (signs * region).std()
    constant = blur_within(torch.ones(3, 32, 32), region, 1.5)
    assert torch.allclose(constant, region.expand(3, 32, 32), atol=1e-5)


def test_blurguard_stays_in_an_l2_ball(monkeypatch):
    monkeypatch.setattr("photoguard_eval.attacks.blurguard.matching_sigma", lambda *_: 3.0)
    batch = embedded_batch(InpaintEditor())
    batch = replace(batch, images=batch.images / 2 + 0.25, budget=Ball("l2", 2 / 255))
    attack = ATTACKS.create("blurguard").instance
    plain, held = RegionBlur(batch.images, batch.kept), attack.parametrisation(batch)

    def size(change):
        return change.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()

    # The change that grows most, by power iteration: it is larger where it weighs in more averages.
    change = batch.kept.expand_as(batch.images)
    for _ in range(20):
        change = (change / size(change) * 2 / 255).requires_grad_()
        grown = size(plain(batch.images + change) - batch.images)
        (change,) = torch.autograd.grad(grown.square().sum(), change)
    assert (grown * 255 > 2.002).all(), "nothing needs to be held back"
    change = change / size(change) * 2 / 255
    assert (size(held(batch.images + change) - batch.images) * 255 <= 2 + 1e-4).all()


def test_a_smooth_image_gets_a_wider_blur_than_a_rough_one():
    rough = torch.rand((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(rough[..., ::8, ::8], size=64, mode="bicubic")
    whole = torch.ones(64, 64).numpy()
    assert matching_sigma(rough[0, 0].numpy(), whole) == 0
    assert matching_sigma(smooth[0, 0].numpy(), whole) >= 1.5


def test_perturbations_of_blurguard_are_smoother(embedded):
    batch = embedded_batch(InpaintEditor())

    def roughness(spec):
        change = (
            ATTACKS.create(spec).instance.perturb(embedded, batch, CaseGenerators.from_seeds([1, 2])) - batch.images
        )
        return float((change[..., 1:, :] - change[..., :-1, :]).abs().mean() / change.abs().mean())

    assert any(sigma > 0 for sigmas in RegionBlur(batch.images, batch.kept).sigmas for sigma in sigmas)
    limit = 0.8 * roughness("encoder,steps=10,target=pattern")
    assert roughness("blurguard,steps=10") < limit
    assert roughness("eot,attack=blurguard(steps=10),purifiers=blur") < limit


def test_transformations_take_over_a_parametrisation():
    class Halved(EncoderAttack):
        def parametrisation(self, batch):
            return lambda images: (batch.images + images) / 2

    attack = ATTACKS.create("eot,attack=encoder(steps=20),purifiers=blur").instance
    attack.attack = Halved(steps=20)
    batch = embedded_batch(InpaintEditor())
    change = attack.perturb(tiny_model(), batch, CaseGenerators.from_seeds([1, 2])) - batch.images
    assert 4 / 255 < change.abs().max() <= 8 / 255 + 1e-6


def test_the_pattern_is_chequered_and_of_full_contrast():
    picture = pattern(64, 64)
    assert picture.shape == (1, 3, 64, 64)
    assert set(picture.unique().tolist()) == {0.0, 1.0}
    assert picture.mean() == 0.5
    assert pattern(512, 512)[0, 0, ::16, ::16].std() > 0.4


def constant_attack(value):
    class Constant(NoiseAttack):
        def perturb(self, model, batch, generator):
            return (batch.images + value * batch.kept).clamp(0, 1)

    return Constant()


def test_an_ensemble_takes_what_changes_the_attacker_s_own_edits_most(embedded):
    attack = EnsembleAttack(attacks="noise+encoder", trials=2)
    for values in ([0.0, 0.05], [0.05, 0.0], [0.01, 0.06]):
        for member, value in zip(attack.members, values, strict=True):
            object.__setattr__(member, "instance", constant_attack(value))
        batch = embedded_batch(Img2ImgEditor())
        chosen = attack.perturb(embedded, batch, CaseGenerators.from_seeds([1, 2]))
        best = (batch.images + max(values)).clamp(0, 1)
        assert torch.allclose(chosen, best)


def test_an_ensemble_judges_by_edits_after_the_prompts_that_the_attacker_guesses(embedded, monkeypatch):
    asked, edit = [], Img2ImgEditor.edit

    def follow(editor, model, images, masks, prompts, seeds, *arguments):
        asked.append((prompts, seeds))
        return edit(editor, model, images, masks, prompts, seeds, *arguments)

    monkeypatch.setattr(Img2ImgEditor, "edit", follow)
    spec = "ensemble,attacks=noise+noise,prompts=on a beach+at sunset,trials=3,denoising_steps=1"
    attack, batch = ATTACKS.create(spec).instance, embedded_batch(Img2ImgEditor())
    attack.perturb(embedded, batch, CaseGenerators.from_seeds([1, 2]))
    trials = [(["on a beach"] * 2, 0), (["at sunset"] * 2, 1), (["on a beach"] * 2, 2)]
    # The original, then the two candidates.
    assert [prompts for prompts, _ in asked] == [prompts for prompts, _ in trials] * 3
    first = asked[0][1]
    assert [seeds for _, seeds in asked] == [[seed + offset for seed in first] for _, offset in trials] * 3


def test_what_parts_see_is_what_the_whole_sees():
    assert ATTACKS.create("ensemble,attacks=encoder+dayn").declared.sees_prompt
    assert not ATTACKS.create("ensemble,attacks=encoder+diffusion").declared.sees_prompt
    assert ATTACKS.create("eot,attack=dayn").declared.sees_prompt
    batch = embedded_batch(InpaintEditor())
    assert batch.seen_by(NoiseAttack()).prompts is None
    assert torch.equal(batch.seen_by(NoiseAttack()).masks, batch.masks)


def test_every_gradient_attack_names_its_paper():
    for factory in ATTACKS.classes().values():
        if issubclass(factory, GradientAttack) and factory.__module__.startswith("photoguard_eval"):
            assert factory.paper, factory.name


def test_random_numbers_of_whole_numbers_are_the_cases_own():
    like = torch.zeros(1)
    together = CaseGenerators.from_seeds([1, 2]).integers(1000, like)
    assert together.tolist() == [
        int(CaseGenerators.from_seeds([1]).integers(1000, like)),
        int(CaseGenerators.from_seeds([2]).integers(1000, like)),
    ]


@pytest.mark.parametrize("name", ["encoder", "mist", "sds", "ace", "blurguard", "ensemble", "eot"])
def test_a_target_of_another_size_is_refused_before_any_work(name, tmp_path):
    write_image(tmp_path / "target.png", random_images(1, side=32))
    target = f"target={tmp_path / 'target.png'}"
    spec = {"ensemble": f"ensemble,attacks=noise+mist({target})", "eot": f"eot,attack=encoder({target})"}
    attack = ATTACKS.create(spec.get(name, f"{name},{target}")).instance
    with pytest.raises(ConfigurationError, match="32 × 32, the images are 64 × 64"):
        attack.require_support(tiny_model(), InpaintEditor(), SIZES)
    attack.require_support(tiny_model(), InpaintEditor(), {(32, 32)})
