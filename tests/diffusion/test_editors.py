import pytest
import torch

from photoguard_eval.diffusion import EDITORS, EditSettings, Img2ImgEditor, InpaintEditor
from photoguard_eval.errors import ConfigurationError, InvalidImageError, UnknownNameError
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import SIDE, half_masks, random_images, tiny_model

FEW_STEPS = EditSettings(num_inference_steps=4)
PROMPTS = ["a dog in a meadow", "a cat at sunset", "a fox on a beach"]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize("editor", [InpaintEditor(), Img2ImgEditor()], ids=lambda editor: editor.name)
def test_an_edit_does_not_depend_on_its_batch(model, editor):
    images, masks = random_images(3), half_masks(3)
    together = editor.edit(model, images, masks, PROMPTS, [5, 6, 7], FEW_STEPS)
    alone = editor.edit(model, images[1:2], masks[1:2], PROMPTS[1:2], [6], FEW_STEPS)
    assert (together[1] - alone[0]).abs().max() < 1e-5


@pytest.mark.parametrize("editor", [InpaintEditor(), Img2ImgEditor()], ids=lambda editor: editor.name)
def test_the_seed_alone_decides_the_noise(model, editor):
    images, masks = random_images(1), half_masks(1)
    torch.manual_seed(1)
    first = editor.edit(model, images, masks, PROMPTS[:1], [5], FEW_STEPS)
    torch.manual_seed(2)
    assert torch.equal(editor.edit(model, images, masks, PROMPTS[:1], [5], FEW_STEPS), first)
    assert not torch.equal(editor.edit(model, images, masks, PROMPTS[:1], [6], FEW_STEPS), first)


def test_kept_pixels_are_the_originals(model):
    originals, masks = random_images(2), half_masks(2)
    immunized = (originals + 0.05).clamp(0, 1)
    edited = InpaintEditor().edit(model, immunized, masks, PROMPTS[:2], [1, 2], FEW_STEPS, originals=originals)
    kept = (masks == 0).expand_as(edited)
    assert torch.equal(edited[kept], originals[kept])
    assert not torch.equal(edited[~kept], originals[~kept])


def test_kept_pixels_are_the_immunized_on_request(model):
    originals, masks = random_images(1), half_masks(1)
    immunized = (originals + 0.05).clamp(0, 1)
    settings = FEW_STEPS.changed(composite="immunized")
    edited = InpaintEditor().edit(model, immunized, masks, PROMPTS[:1], [1], settings, originals=originals)
    kept = (masks == 0).expand_as(edited)
    assert torch.equal(edited[kept], immunized[kept])


@pytest.mark.parametrize(
    ("editor", "channels"), [("inpaint", 9), ("inpaint", 4), ("img2img", 9), ("img2img", 4), ("instruct", 8)]
)
def test_an_edit_depends_on_the_settings_that_its_editor_reads_and_on_no_other(editor, channels):
    factory, model = EDITORS.find(editor), tiny_model(input_channels=channels)
    originals, masks = random_images(1), half_masks(1)
    immunized = (originals + 0.05).clamp(0, 1)

    def edited(**changes):
        settings = EditSettings(num_inference_steps=4).changed(**changes)
        return factory().edit(model, immunized, masks, PROMPTS[:1], [1], settings, originals=originals)

    before = edited()
    changes = {
        "guidance_scale": 2,
        "image_guidance_scale": 3,
        "num_inference_steps": 3,
        "eta": 0,
        "strength": 0.8,
        "composite": "immunized",
        "sample_latents": False,
    }
    assert changes.keys() == EditSettings.model_fields.keys()
    read = {name for name, value in changes.items() if not torch.equal(edited(**{name: value}), before)}
    assert read == factory.reads_settings


def test_an_edit_of_an_original_does_not_depend_on_whose_pixels_it_keeps(model):
    images, masks, settings = random_images(1), half_masks(1), FEW_STEPS.changed(composite="immunized")
    assert settings.before_compositing() == FEW_STEPS
    edits = [
        InpaintEditor().edit(model, images, masks, PROMPTS[:1], [1], given, originals=images)
        for given in (settings, FEW_STEPS)
    ]
    assert torch.equal(*edits)


def test_inpainting_reads_only_what_is_kept(model):
    images, masks = random_images(1), half_masks(1)
    repainted = torch.where(masks > 0, torch.rand_like(images), images)
    first = InpaintEditor().edit(model, images, masks, PROMPTS[:1], [1], FEW_STEPS)
    second = InpaintEditor().edit(model, repainted, masks, PROMPTS[:1], [1], FEW_STEPS)
    assert torch.equal(first, second)


def test_no_guidance_runs_one_branch(model):
    calls = []
    handle = model.unet.register_forward_pre_hook(lambda _module, inputs: calls.append(len(inputs[0])))
    images, masks = random_images(1), half_masks(1)
    InpaintEditor().edit(model, images, masks, PROMPTS[:1], [1], FEW_STEPS.changed(guidance_scale=1))
    InpaintEditor().edit(model, images, masks, PROMPTS[:1], [1], FEW_STEPS)
    handle.remove()
    assert calls == [1] * 4 + [2] * 4


def test_strength_chooses_how_many_steps_run(model):
    calls = []
    handle = model.unet.register_forward_pre_hook(lambda _module, inputs: calls.append(len(inputs[0])))
    settings = EditSettings(num_inference_steps=10, strength=0.3, guidance_scale=1)
    Img2ImgEditor().edit(model, random_images(1), half_masks(1), PROMPTS[:1], [1], settings)
    handle.remove()
    assert len(calls) == 3


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("executed", [1, 4, 7])
def test_a_schedule_runs_as_many_steps_as_asked(model, strength, executed):
    settings = EditSettings(strength=strength)
    length = Img2ImgEditor().schedule_length(executed, settings)
    calls = []
    handle = model.unet.register_forward_pre_hook(lambda _module, inputs: calls.append(len(inputs[0])))
    short = settings.changed(num_inference_steps=length, guidance_scale=1)
    Img2ImgEditor().edit(model, random_images(1), half_masks(1), PROMPTS[:1], [1], short)
    handle.remove()
    assert len(calls) == executed


@pytest.mark.parametrize("editor", [InpaintEditor(), Img2ImgEditor()], ids=lambda editor: editor.name)
@pytest.mark.parametrize("input_channels", [9, 4])
def test_the_gradient_of_an_edit_matches_finite_differences(editor, input_channels):
    model = tiny_model(input_channels=input_channels, dtype=torch.float64)
    images, masks = random_images(1).double(), half_masks(1).double()
    settings = EditSettings(num_inference_steps=3, guidance_scale=1)
    prompt = model.embed_prompts([""])
    weights = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def loss(x):
        inputs = editor.prepare(model, x, masks, settings)
        generators = CaseGenerators.from_seeds([4])
        return (editor.denoise(model, inputs, prompt, None, generators, settings) * weights).sum()

    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(images), images)
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        numeric = (loss(images + step * direction) - loss(images - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-4)


def test_repeated_inputs_give_independent_edits_of_one_encoding(model):
    images, masks = random_images(2), half_masks(2)
    editor = InpaintEditor()
    generators = CaseGenerators.from_seeds([1, 2])
    repeated = CaseGenerators(generators.generators * 3)
    inputs = editor.prepare(model, images, masks, FEW_STEPS).repeat(3)
    with torch.no_grad():
        edits = editor.denoise(model, inputs, model.embed_prompts([""] * 6), None, repeated, FEW_STEPS)
    assert edits.shape[0] == 6
    assert not torch.allclose(edits[0], edits[2])


@pytest.mark.parametrize(
    ("images", "masks", "prompts", "seeds", "error"),
    [
        (random_images(1)[..., :30], half_masks(1)[..., :30], ["a dog"], [1], InvalidImageError),
        (random_images(1), half_masks(1)[..., :16], ["a dog"], [1], InvalidImageError),
        (random_images(2), half_masks(2), ["a dog"], [1, 2], ConfigurationError),
        (random_images(2), half_masks(2), ["a dog", "a cat"], [1], ConfigurationError),
        (random_images(2), half_masks(1), ["a dog", "a cat"], [1, 2], ConfigurationError),
        (random_images(1)[:0], half_masks(1)[:0], [], [], ConfigurationError),
        (random_images(1)[:, :1], half_masks(1), ["a dog"], [1], InvalidImageError),
        (random_images(1)[0], half_masks(1), ["a dog"] * 3, [1, 2, 3], ConfigurationError),
        (random_images(1), half_masks(1).repeat(1, 3, 1, 1), ["a dog"], [1], InvalidImageError),
    ],
)
def test_bad_batches_are_refused(model, images, masks, prompts, seeds, error):
    with pytest.raises(error):
        InpaintEditor().edit(model, images, masks, prompts, seeds, FEW_STEPS)


def test_originals_are_not_broadcast_over_the_batch(model):
    images, masks = random_images(2), half_masks(2)
    with pytest.raises(ConfigurationError, match=r"2 images.* 1 originals"):
        InpaintEditor().edit(model, images, masks, PROMPTS[:2], [1, 2], FEW_STEPS, originals=images[:1])


@pytest.mark.parametrize(
    "values",
    [
        {"strength": 0},
        {"guidance_scale": float("inf")},
        {"guidance_scale": -1},
        {"strength": 1.1},
        {"eta": -1},
        {"num_inference_steps": 0},
        {"guidance": 3},
        {"composite": "x"},
    ],
)
def test_bad_settings_are_refused(values):
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        EditSettings().changed(**values)


def test_an_unknown_editor_is_suggested():
    with pytest.raises(UnknownNameError, match="inpaint"):
        EDITORS.create("inpant")
