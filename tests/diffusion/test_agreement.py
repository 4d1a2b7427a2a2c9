"""Edits agree with diffusers' own pipelines on the same weights, seeds and steps.

Both compute in float32; encoding one by one or in a batch and the order of a few sums differ. Images in [0, 1] may
differ by 1e-4, a fortieth of a level of 8 bits.
"""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)

from photoguard_eval import resources
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import EDITORS, EditSettings, default_editor, load_model
from photoguard_eval.errors import ConfigurationError
from tests.tiny import (
    SIDE,
    assemble,
    half_masks,
    random_images,
    tiny_components,
    tiny_consistency_components,
    tiny_model,
    tiny_xl_components,
)

TOLERANCE = 1e-4
PROMPTS = ["a dog in a meadow", "a red cat at sunset"]
SEEDS = [11, 12]


def build(pipeline_class, parts):
    pipeline = pipeline_class(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, assemble(parts)


def generators():
    return [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]


def paste(edited, images, masks):
    return torch.where(masks > 0.5, edited, images)


def inpainted(pipeline, images, masks, eta=1.0, **options):
    """Run diffusers' inpainting pipeline as an edit is run: with the same guidance and seeds, at the images' size."""
    return pipeline(
        prompt=PROMPTS,
        image=images,
        mask_image=masks,
        height=images.shape[-2],
        width=images.shape[-1],
        guidance_scale=7.5,
        eta=eta,
        generator=generators(),
        output_type="pt",
        **options,
    ).images


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(("input_channels", "prediction_type"), [(9, "epsilon"), (4, "epsilon"), (9, "v_prediction")])
def test_inpaint_agrees_with_the_pipeline(input_channels, prediction_type, eta):
    parts = tiny_components(input_channels, prediction_type=prediction_type)
    pipeline, model = build(StableDiffusionInpaintPipeline, parts)
    images, masks = random_images(2), half_masks(2)
    reference = inpainted(pipeline, images, masks, num_inference_steps=6, eta=eta)
    settings = EditSettings(num_inference_steps=6, guidance_scale=7.5, eta=eta)
    edited = EDITORS.create("inpaint").instance.edit(model, images, masks, PROMPTS, SEEDS, settings)
    difference = (edited - paste(reference, images, masks)).abs().max()
    assert difference < TOLERANCE
    assert (edited - images).abs().mean() > 0.01, "an edit that changes nothing would agree with anything"


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    ("strength", "prediction_type"), [(0.6, "epsilon"), (0.6, "v_prediction"), (1.0, "epsilon"), (0.29, "epsilon")]
)
def test_img2img_agrees_with_the_pipeline(strength, prediction_type, eta):
    parts = tiny_components(4, prediction_type=prediction_type)
    pipeline, model = build(StableDiffusionImg2ImgPipeline, parts)
    images = random_images(2)
    reference = pipeline(
        prompt=PROMPTS,
        image=images,
        strength=strength,
        num_inference_steps=10,
        guidance_scale=7.5,
        eta=eta,
        generator=generators(),
        output_type="pt",
    ).images
    settings = EditSettings(num_inference_steps=10, guidance_scale=7.5, eta=eta, strength=strength)
    edited = EDITORS.create("img2img").instance.edit(model, images, half_masks(2), PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < TOLERANCE
    assert (edited - images).abs().mean() > 0.01, "an edit that changes nothing would agree with anything"


@pytest.mark.parametrize(("guidance", "image_guidance"), [(7.5, 1.5), (7.5, 1.0), (1.5, 2.5)])
def test_instructions_agree_with_the_pipeline(guidance, image_guidance):
    parts = tiny_components(8)
    pipeline = StableDiffusionInstructPix2PixPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    model = assemble(parts)
    images = random_images(2)
    reference = pipeline(
        prompt=PROMPTS,
        image=images,
        num_inference_steps=6,
        guidance_scale=guidance,
        image_guidance_scale=image_guidance,
        eta=1.0,
        generator=generators(),
        output_type="pt",
    ).images
    settings = EditSettings(num_inference_steps=6, guidance_scale=guidance, image_guidance_scale=image_guidance)
    edited = EDITORS.create("instruct").instance.edit(model, images, half_masks(2), PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < TOLERANCE
    assert (edited - images).abs().mean() > 0.01, "an edit that changes nothing would agree with anything"


@pytest.mark.parametrize("input_channels", [9, 4])
def test_inpaint_by_a_consistency_model_agrees_with_the_pipeline(input_channels):
    pipeline, model = build(StableDiffusionInpaintPipeline, tiny_consistency_components(input_channels))
    images, masks = random_images(2), half_masks(2)
    reference = inpainted(pipeline, images, masks, num_inference_steps=4)
    editor = EDITORS.create("inpaint").instance
    settings = EditSettings(num_inference_steps=4, guidance_scale=7.5)
    edited = editor.edit(model, images, masks, PROMPTS, SEEDS, settings)
    assert (edited - paste(reference, images, masks)).abs().max() < TOLERANCE
    unguided = editor.edit(model, images, masks, PROMPTS, SEEDS, settings.changed(guidance_scale=1))
    assert (edited - unguided).abs().max() > 10 * TOLERANCE, "the model is told the guidance"


def test_img2img_by_a_consistency_model_agrees_with_the_pipeline():
    pipeline, model = build(StableDiffusionImg2ImgPipeline, tiny_consistency_components(4))
    images = random_images(2)
    reference = pipeline(
        prompt=PROMPTS,
        image=images,
        strength=0.6,
        num_inference_steps=8,
        guidance_scale=7.5,
        generator=generators(),
        output_type="pt",
    ).images
    settings = EditSettings(num_inference_steps=8, guidance_scale=7.5, strength=0.6)
    edited = EDITORS.create("img2img").instance.edit(model, images, half_masks(2), PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < TOLERANCE


def test_a_consistency_model_refuses_more_steps_than_it_was_distilled_from():
    model = assemble(tiny_consistency_components())
    settings = EditSettings(num_inference_steps=51)
    with pytest.raises(ConfigurationError, match="1 to 50"):
        EDITORS.create("inpaint").instance.edit(model, random_images(1), half_masks(1), PROMPTS[:1], [1], settings)


def test_a_schedule_that_ends_in_noise_alone_is_sampled():
    """By DDIM as the pipeline does, but for a signal of 2⁻²⁴ that is left; with η = 1 the pipeline gives NaN."""
    parts = tiny_components(9, prediction_type="v_prediction")
    parts["scheduler"] = DDIMScheduler.from_config(
        parts["scheduler"].config, rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    pipeline, model = build(StableDiffusionInpaintPipeline, parts)
    assert parts["scheduler"].alphas_cumprod[-1] == 0
    images, masks = random_images(2), half_masks(2)
    editor, settings = EDITORS.create("inpaint").instance, EditSettings(num_inference_steps=6, eta=0)
    reference = paste(inpainted(pipeline, images, masks, num_inference_steps=6, eta=0.0), images, masks)
    edited = editor.edit(model, images, masks, PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < 10 * TOLERANCE
    noisy = editor.edit(model, images, masks, PROMPTS, SEEDS, settings.changed(eta=1))
    assert noisy.isfinite().all()
    assert (noisy - edited).abs().mean() > 0.01


def build_xl(pipeline_class, parts):
    pipeline = pipeline_class(**parts, force_zeros_for_empty_prompt=True, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, assemble(parts)


@pytest.mark.parametrize("input_channels", [9, 4])
def test_inpaint_agrees_with_the_pipeline_of_stable_diffusion_xl(input_channels):
    pipeline, model = build_xl(StableDiffusionXLInpaintPipeline, tiny_xl_components(input_channels))
    images, masks = random_images(2), half_masks(2)
    reference = inpainted(pipeline, images, masks, num_inference_steps=6, strength=1.0)
    settings = EditSettings(num_inference_steps=6)
    edited = EDITORS.create("inpaint").instance.edit(model, images, masks, PROMPTS, SEEDS, settings)
    assert (edited - paste(reference, images, masks)).abs().max() < TOLERANCE
    assert (edited - images).abs().mean() > 0.01, "an edit that changes nothing would agree with anything"


def test_img2img_agrees_with_the_pipeline_of_stable_diffusion_xl():
    pipeline, model = build_xl(StableDiffusionXLImg2ImgPipeline, tiny_xl_components(4))
    images = random_images(2)
    reference = pipeline(
        prompt=PROMPTS,
        image=images,
        strength=0.6,
        num_inference_steps=10,
        guidance_scale=7.5,
        eta=1.0,
        generator=generators(),
        output_type="pt",
    ).images
    settings = EditSettings(num_inference_steps=10)
    edited = EDITORS.create("img2img").instance.edit(model, images, half_masks(2), PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < TOLERANCE
    assert (edited - images).abs().mean() > 0.01, "an edit that changes nothing would agree with anything"


@pytest.mark.parametrize(("editor", "channels", "advice"), [("inpaint", 8, "instruct"), ("instruct", 9, "inpaint or")])
def test_an_editor_refuses_a_checkpoint_of_another_kind(editor, channels, advice):
    model = tiny_model(input_channels=channels)
    with pytest.raises(ConfigurationError, match=f"The editor '{editor}' runs on checkpoints for .* Use {advice}"):
        EDITORS.create(editor).instance.edit(model, random_images(1), half_masks(1), ["x"], [0], EditSettings())


def test_the_editor_follows_from_the_checkpoint_and_the_mask():
    assert default_editor("instruction", has_mask=False) == "instruct"
    assert default_editor("inpainting", has_mask=True) == "inpaint"
    assert default_editor("text-to-image", has_mask=False) == "img2img"
    with pytest.raises(ConfigurationError, match="reads no mask"):
        default_editor("instruction", has_mask=True)


def test_a_soft_mask_is_cut_where_the_pipeline_cuts_it():
    parts = tiny_components(9)
    pipeline, model = build(StableDiffusionInpaintPipeline, parts)
    images = random_images(2)
    soft = torch.linspace(0, 1, SIDE).expand(2, 1, SIDE, SIDE)
    reference = inpainted(pipeline, images, soft, num_inference_steps=4)
    edited = EDITORS.create("inpaint").instance.edit(
        model, images, soft, PROMPTS, SEEDS, EditSettings(num_inference_steps=4)
    )
    assert (edited - paste(reference, images, (soft >= 0.5).float())).abs().max() < TOLERANCE


def test_img2img_on_an_inpainting_checkpoint_is_the_inpaint_pipeline_with_a_mask_of_ones():
    parts = tiny_components(9)
    pipeline, model = build(StableDiffusionInpaintPipeline, parts)
    images = random_images(2)
    reference = inpainted(pipeline, images, torch.ones(2, 1, SIDE, SIDE), num_inference_steps=10, strength=0.6)
    settings = EditSettings(num_inference_steps=10, strength=0.6)
    edited = EDITORS.create("img2img").instance.edit(model, images, half_masks(2), PROMPTS, SEEDS, settings)
    assert (edited - reference).abs().max() < TOLERANCE


class InpaintingChannels(int):
    """Input channels that the pipeline takes for those of Stable Diffusion.

    It compares them with 9 to know an inpainting checkpoint, which is the sum for four latent channels only.
    """

    __hash__ = int.__hash__

    def __eq__(self, other):
        return other in (9, int(self))

    def __ne__(self, other):
        return not self == other


def test_the_embedded_checkpoint_agrees_with_the_pipeline():
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        resources.embedded_checkpoints()["inpaint-a"], safety_checker=None, dtype=torch.float32
    )
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.register_to_config(in_channels=InpaintingChannels(pipeline.unet.config.in_channels))
    # Scenes that it knows: on images of noise, 25 guided steps magnify the rounding of another layout beyond measure.
    cases = load_dataset("emoji-scenes").cases[:6:3]
    images, masks = (torch.cat([getattr(case, name)() for case in cases]) for name in ("image", "mask"))
    reference = inpainted(pipeline, images, masks, num_inference_steps=25)
    settings = EditSettings(num_inference_steps=25)
    edited = EDITORS.create("inpaint").instance.edit(load_model("inpaint-a"), images, masks, PROMPTS, SEEDS, settings)
    assert (edited - paste(reference, images, masks)).abs().max() < TOLERANCE
