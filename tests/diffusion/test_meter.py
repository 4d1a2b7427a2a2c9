import pytest
import torch

from photoguard_eval.diffusion import CostMeter, EditSettings, InpaintEditor
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def hooks(model):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in (model.unet, model.vae.encoder, model.vae.decoder)
    )


def test_gradients_and_calls_are_counted_per_sample(model):
    images = random_images(3).requires_grad_(True)
    with CostMeter(model) as meter:
        for _ in range(2):
            torch.autograd.grad(model.encode(images).sum(), images)
        model.encode(images.detach())
    assert meter.cost(3)["gradient_evaluations"] == 2
    assert meter.cost(3)["encoder_calls"] == 3
    assert meter.seconds > 0


def test_both_branches_of_guidance_are_counted(model):
    settings = EditSettings(num_inference_steps=5)
    with CostMeter(model) as meter:
        InpaintEditor().edit(model, random_images(2), half_masks(2), ["a dog"] * 2, [1, 2], settings)
    assert meter.cost(2) == {
        **meter.cost(2),
        "unet_calls": 10,
        "encoder_calls": 1,
        "gradient_evaluations": 0,
    }


def test_repetitions_share_the_encoder_and_not_the_sampler(model):
    settings = EditSettings(num_inference_steps=2, guidance_scale=1)
    images = random_images(2).requires_grad_(True)
    generators = CaseGenerators(CaseGenerators.from_seeds([1, 2]).generators * 3)
    prompt = model.embed_prompts([""] * 6)
    with CostMeter(model) as meter:
        inputs = InpaintEditor().prepare(model, images, half_masks(2), settings).repeat(3)
        edits = InpaintEditor().denoise(model, inputs, prompt, None, generators, settings)
        torch.autograd.grad(edits.sum(), images)
    assert (meter.encoder_calls, meter.gradient_evaluations) == (2, 2)
    assert meter.unet_calls == 12


def test_hooks_are_removed_even_after_an_error(model):
    before = hooks(model)

    def fail():
        with CostMeter(model):
            assert hooks(model) > before
            raise RuntimeError("fails")

    with pytest.raises(RuntimeError, match="fails"):
        fail()
    assert hooks(model) == before


def test_memory_growth_is_measured(model):
    with CostMeter(model) as meter:
        block = torch.ones(64 * 2**20 // 4)
        del block
    assert 50 < meter.peak_memory_mib < 200
