"""The attacks of the paper: what they minimise, their defaults, and that they stay where they may act."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from photoguard_eval.attacks import (
    ATTACKS,
    DEFAULT_BUDGET,
    AceAttack,
    AdvDmAttack,
    AdvPaintAttack,
    AmortisedAttack,
    AttackBatch,
    Ball,
    BlurGuardAttack,
    DaynAttack,
    DiffusionAttack,
    DiffusionGuardAttack,
    EncoderAttack,
    EnsembleAttack,
    MistAttack,
    NoiseAttack,
    PidAttack,
    RobustAttack,
    SdsAttack,
)
from photoguard_eval.diffusion import CostMeter, EditSettings, Img2ImgEditor, InpaintEditor, InstructEditor, load_model
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.images.arrays import write_image
from photoguard_eval.pipeline.accounting import Account, weights
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import (
    assemble,
    half_masks,
    random_images,
    tiny_components,
    tiny_consistency_components,
    tiny_model,
    tiny_xl_components,
)

SETTINGS = EditSettings(num_inference_steps=4)
L2 = Ball("l2", 3 / 255)
ATTACKS_TO_TRY = [
    NoiseAttack(),
    AmortisedAttack(),
    EncoderAttack(steps=3),
    EncoderAttack(steps=3, budget=L2, step_size=1 / 255),
    DiffusionAttack(steps=2, denoising_steps=2),
    DiffusionAttack(steps=2, denoising_steps=2, budget=L2, step_size=1 / 255, repetitions=2),
    PidAttack(steps=2),
    AdvDmAttack(steps=2),
    MistAttack(steps=2),
    SdsAttack(steps=2),
    SdsAttack(steps=2, direction="plus", target_weight=5.0, budget=L2, step_size=1 / 255),
    AceAttack(steps=2),
    DiffusionGuardAttack(steps=2),
    AdvPaintAttack(steps=2),
    DaynAttack(steps=2),
    BlurGuardAttack(steps=2),
    EnsembleAttack(attacks="encoder(steps=2)+noise", trials=1, denoising_steps=2),
    RobustAttack(attack="encoder(steps=2)", purifiers="jpeg+gaussian-noise+rotation"),
]
EDITORS = [InpaintEditor(), Img2ImgEditor()]


@pytest.fixture(scope="module", params=[9, 4], ids=["inpainting", "text-to-image"])
def model(request):
    return tiny_model(input_channels=request.param)


def batch(editor, count=2, side=32):
    masks = half_masks(count, side)
    return AttackBatch(
        images=random_images(count, side=side),
        masks=masks if editor.reads_mask else torch.zeros_like(masks),
        prompts=("a dog in a meadow", "a red cat at sunset")[:count],
        ids=tuple(f"image-{index}" for index in range(count)),
        editor=editor,
        settings=SETTINGS,
    )


def seeds(count=2):
    return CaseGenerators.from_seeds(range(10, 10 + count))


def require_support_or_skip(attack, model, editor):
    try:
        attack.require_support(model, editor, {(32, 32)})
    except ConfigurationError as error:
        pytest.skip(str(error))


def describe(attack):
    return f"{attack.name}-{(attack.budget or DEFAULT_BUDGET).norm}"


@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)
@pytest.mark.parametrize("attack", ATTACKS_TO_TRY, ids=describe)
def test_perturbations_stay_in_budget_and_where_the_editor_reads(model, attack, editor):
    data = replace(batch(editor), budget=attack.budget or DEFAULT_BUDGET)
    require_support_or_skip(attack, model, editor)
    immunized = attack.perturb(model, data, seeds())
    change = (immunized - data.images).abs()
    size = change.amax() if data.budget.norm == "linf" else change.square().mean(dim=(1, 2, 3)).sqrt().amax()
    assert 0 < size <= data.budget.radius + 1e-6
    discarded = (data.masks == 1).expand_as(change)
    assert (change[discarded] == 0).all()


@pytest.mark.parametrize("attack", ATTACKS_TO_TRY, ids=describe)
def test_an_image_does_not_depend_on_its_batch(model, attack):
    data = replace(batch(InpaintEditor()), budget=attack.budget or DEFAULT_BUDGET)
    require_support_or_skip(attack, model, data.editor)
    together = attack.perturb(model, data, CaseGenerators.from_seeds([10, 11]))
    prompts = data.prompts[1:]
    single = replace(data, images=data.images[1:], masks=data.masks[1:], prompts=prompts, ids=data.ids[1:])
    alone = attack.perturb(model, single, CaseGenerators.from_seeds([11]))
    # The sign of a gradient near zero may turn by rounding; it may not for more than a few pixels.
    assert ((together[1] - alone[0]).abs() > 1e-6).float().mean() < 0.02


def test_noise_is_uniform_up_to_the_radius():
    data = batch(Img2ImgEditor(), side=64)
    data = replace(data, images=torch.full_like(data.images, 0.5), budget=Ball("linf", 8 / 255))
    change = NoiseAttack().perturb(None, data, seeds()) - data.images
    assert change.abs().max() <= 8 / 255 + 1e-6
    assert change.std() == pytest.approx(8 / 255 / 3**0.5, rel=0.02)


@pytest.mark.parametrize("target", ["gray", "zero"])
def test_the_encoder_attack_moves_the_latents_to_the_target(model, target):
    data = batch(InpaintEditor())
    attack = EncoderAttack(steps=20, target=target)
    immunized = attack.perturb(model, data, seeds())
    goal = model.encode(torch.full_like(data.images, 0.5)) if target == "gray" else 0

    def distance(images):
        return (model.encode(data.visible(images, model)) - goal).flatten(1).norm(dim=1)

    assert (distance(immunized) < distance(data.images)).all()


def test_the_encoder_attack_takes_an_image_as_target(model, tmp_path):
    data = batch(Img2ImgEditor())
    path = tmp_path / "target.png"
    write_image(path, random_images(1, seed=9))
    attack = EncoderAttack(steps=20, target=str(path))
    immunized = attack.perturb(model, data, seeds())
    goal = model.encode(random_images(1, seed=9))
    before, after = ((model.encode(images) - goal).flatten(1).norm(dim=1) for images in (data.images, immunized))
    assert (after < before).all()
    assert set(attack.inputs) == {"target"}


def test_a_target_of_another_size_is_refused(model, tmp_path):
    path = tmp_path / "target.png"
    write_image(path, random_images(1, side=16))
    with pytest.raises(ConfigurationError, match="16 × 16, the images are 32 × 32"):
        EncoderAttack(steps=1, target=str(path)).perturb(model, batch(Img2ImgEditor()), seeds())


@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)
def test_the_diffusion_attack_drives_the_short_edit_to_gray(editor):
    model = load_model("inpaint-a")
    data = batch(editor, count=1, side=64)
    attack = DiffusionAttack(steps=12, denoising_steps=4)
    immunized = attack.perturb(model, data, seeds(1))
    settings = SETTINGS.changed(num_inference_steps=editor.schedule_length(4, SETTINGS), guidance_scale=1)
    prompt = model.embed_prompts([""] * 8)

    @torch.no_grad()
    def distance(images):
        inputs = editor.prepare(model, images, data.masks, settings).repeat(8)
        edits = editor.denoise(model, inputs, prompt, None, CaseGenerators.from_seeds(range(8)), settings)
        return float((edits * 2 - 1).flatten(1).norm(dim=1).mean())

    assert distance(immunized) < distance(data.images)


def test_one_step_of_the_diffusion_attack_follows_the_gradient_of_its_loss():
    model = tiny_model(dtype=torch.float64)
    editor = InpaintEditor()
    data = batch(editor, count=1)
    images = data.images.double()
    data = AttackBatch(images, data.masks.double(), None, data.ids, editor, SETTINGS)
    attack = DiffusionAttack(steps=1, denoising_steps=2, repetitions=2)
    moved = attack.perturb(model, data, CaseGenerators.from_seeds([3])) - images

    settings = SETTINGS.changed(num_inference_steps=2, guidance_scale=1)
    x = images.clone().requires_grad_(True)
    twice = CaseGenerators.from_seeds([3]).spawn(2)
    inputs = editor.prepare(model, x, data.masks, settings).repeat(2)
    edits = editor.denoise(model, inputs, model.embed_prompts(["", ""]), None, twice, settings)
    (gradient,) = torch.autograd.grad((edits * 2 - 1).flatten(1).norm(dim=1).mean(), x)
    expected = ((images - 2 / 255 * gradient.sign() * data.kept).clamp(0, 1)) - images
    assert torch.allclose(moved, expected, atol=1e-12)


MODELS = {
    "text-to-image": (lambda: tiny_components(4), Img2ImgEditor(), 0),
    "xl": (tiny_xl_components, InpaintEditor(), 2),
    "consistency": (tiny_consistency_components, InpaintEditor(), 1),
    "instruction": (lambda: tiny_components(8), InstructEditor(), 3),
}
"""Components, an editor, and how many branches the UNet runs for an edit after the empty prompt; 0 where guidance has
no effect on it."""


@pytest.mark.parametrize("kind", MODELS)
def test_the_short_edit_is_guided_where_guidance_has_an_effect(kind):
    components, editor, branches = MODELS[kind]
    model, images = assemble(components()), batch(editor)
    attack, rows = DiffusionAttack(denoising_steps=1), []
    attack.require_support(model, editor, {(32, 32)})
    model.unet.register_forward_pre_hook(lambda _unet, inputs: rows.append(len(inputs[0])))

    def loss(text, image):
        guided = replace(images, settings=SETTINGS.changed(guidance_scale=text, image_guidance_scale=image))
        return attack.objective(model, guided, seeds())(images.images)

    losses = loss(7.5, 2.0)
    assert rows == [max(1, branches) * len(images)]
    assert torch.equal(losses, loss(1.0, 1.0)) == (branches == 0)
    settings = SETTINGS.changed(
        num_inference_steps=editor.schedule_length(1, SETTINGS), eta=1, guidance_scale=7.5, image_guidance_scale=2
    )
    edits = editor.denoise(
        model,
        editor.prepare(model, images.images, images.masks, settings),
        model.embed_prompts(["", ""]),
        model.unconditional(2),
        seeds().spawn(1),
        settings,
    )
    assert torch.allclose(losses, torch.linalg.vector_norm((edits * 2 - 1).flatten(1), dim=1), rtol=1e-4)


def test_averaging_draws_fresh_noise_for_each_repetition():
    model = tiny_model()
    data = batch(InpaintEditor())
    once = DiffusionAttack(steps=2, denoising_steps=2).perturb(model, data, seeds())
    often = DiffusionAttack(steps=2, denoising_steps=2, repetitions=3).perturb(model, data, seeds())
    assert not torch.equal(once, often)


@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)
@pytest.mark.parametrize("at_once", [1, 4, 5])
def test_repetitions_give_the_same_gradient_in_parts_as_all_at_once(editor, at_once):
    model = tiny_model(dtype=torch.float64)
    data = batch(editor)
    data = replace(data, images=data.images.double(), masks=data.masks.double())
    attack = DiffusionAttack(steps=1, denoising_steps=2, repetitions=5)

    def gradient(edits):
        images = data.images.clone().requires_grad_(True)
        losses = attack.objective(model, replace(data, at_once=edits), seeds())(images)
        # Weights that differ show that each image's gradient is its own.
        (found,) = torch.autograd.grad((losses * torch.tensor([1.0, 3.0])).sum(), images)
        return losses.detach(), found

    losses, whole = gradient(10)
    in_parts, found = gradient(at_once)
    assert torch.allclose(losses, in_parts, atol=1e-12)
    assert torch.allclose(whole, found, atol=1e-12)
    assert whole.abs().max() > 0


def test_repetitions_in_parts_pass_the_encoder_once_and_keep_the_memory_of_one_part():
    model = tiny_model()
    data = batch(InpaintEditor())
    attack = DiffusionAttack(steps=1, denoising_steps=2, repetitions=4)
    most = {}
    for at_once in (1, 8):
        with CostMeter(model) as meter, Account(weights(model)) as account:
            attack.perturb(model, replace(data, at_once=at_once), seeds())
        assert (meter.encoder_calls, meter.gradient_evaluations) == (2, 2)
        assert meter.unet_calls == 8 * 2
        most[at_once] = account.peak
    assert most[1] < 0.4 * most[8]


def test_losses_in_parts_need_no_gradient():
    model = tiny_model()
    data = batch(InpaintEditor())
    attack = DiffusionAttack(steps=1, denoising_steps=2, repetitions=3)
    with torch.no_grad():
        one, all_at_once = (
            attack.objective(model, replace(data, at_once=at_once), seeds())(data.images) for at_once in (1, 6)
        )
    assert torch.allclose(one, all_at_once, rtol=1e-5)


@pytest.mark.parametrize("name", ["encoder", "diffusion"])
def test_defaults_are_those_of_table_9(name):
    arguments = ATTACKS.create(name).arguments
    assert (arguments["budget"], arguments["step_size"], arguments["steps"]) == (None, 2 / 255, 200)
    assert str(ATTACKS.create(name).declared.within().budget) == "16/255"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("noise,budget=0", "more than 0"),
        ("encoder,budget=300/255", "at most 1"),
        ("encoder,budget=16", "Did you mean 16/255"),
        ("encoder,budget=l1:8/255", "norm of the budget is 'l1'"),
        ("amortised,budget=l2:8/255", "'amortised' works in ℓ∞, and its budget is l2 8/255"),
        ("encoder,epsilon=8/255", "no parameter epsilon. Write budget=8/255, or budget=l2:8/255"),
        ("encoder,norm=l2", "no parameter norm. Write budget=8/255, or budget=l2:8/255"),
        ("eot,epsilon=8/255", "no parameter epsilon. Write budget=8/255"),
        ("encoder,steps=0", "steps is 0"),
        ("encoder,step_size=-1/255", "step_size"),
        ("encoder,target=nowhere.png", "no such file"),
        ("diffusion,repetitions=0", "repetitions is 0"),
        ("diffusion,denoising_steps=-1", "denoising_steps is -1"),
        ("diffusion,steps=many", "steps='many'"),
        ("encoder,stepsize=1", "Did you mean 'step_size'"),
        ("encodr", "Did you mean 'encoder'"),
        ("mist,mode=texture", "mode='texture' .*'textural', 'semantic' or 'fused'"),
        ("sds,direction=down", "direction='down' .*'minus' or 'plus'"),
        ("ace,target=nowhere.png", "no such file"),
        ("diffusionguard,shrinking_strength=-1", "shrinking_strength is -1"),
        ("diffusionguard,shrinking_iterations=0", "shrinking_iterations is 0"),
        ("dayn,timesteps=0", "timesteps is 0"),
        ("advdm,preset=publishd", "Did you mean 'published'"),
        ("ensemble,attacks=encoder", "at least two"),
        ("ensemble,attacks=encoder+diffusoin", "Did you mean 'diffusion'"),
        ("ensemble,attacks=encoder(steps=2+noise", "no closing parenthesis"),
        ("ensemble,attacks=encoder(budget=4/255)+noise", "a budget of its own"),
        ("ensemble,trials=0", "trials is 0"),
        ("ensemble,prompts=on a beach+", "none of them empty"),
        ("eot,attack=noise", "follows no gradient"),
        ("eot,purifiers=jpeg+bit-depth", "not differentiable, so no gradient"),
        ("eot,purifiers=jpg", "Did you mean 'jpeg'"),
        ("eot,purifiers=jpeg(quality=0)", "quality is 0"),
    ],
)
def test_bad_specs_are_refused_before_any_work(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        ATTACKS.create(spec)


def test_the_readme_s_gradient_attack_goes_to_the_zero_latent(tmp_path):
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = (block for block in readme.split("```python")[1:] if "GradientAttack" in block)
    (tmp_path / "mine.py").write_text(block.partition("```")[0], encoding="utf-8")
    attack = ATTACKS.create(f"{tmp_path / 'mine.py'}:ToZero,steps=4").instance
    model, data = tiny_model(), batch(InpaintEditor())
    given = EncoderAttack(target="zero", steps=4, random_start=False, decay=False)
    assert torch.equal(attack.perturb(model, data, seeds()), given.perturb(model, data, seeds()))
