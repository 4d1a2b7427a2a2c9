"""Gradients in float16: neither lost nor overflowing, and those of float32 otherwise."""

import pytest
import torch

from photoguard_eval.attacks import AttackBatch, DiffusionAttack, EncoderAttack
from photoguard_eval.attacks.descent import projected_gradient_descent
from photoguard_eval.attacks.loss_scale import FIRST, RISE_AFTER, LossScale
from photoguard_eval.diffusion import EditSettings, InpaintEditor
from photoguard_eval.errors import AttackError
from photoguard_eval.randomness import CaseGenerators
from tests.attacks.test_descent import EVERYWHERE, LINF, images
from tests.tiny import half_masks, random_images, tiny_model


def through_half(values, factor):
    """A loss whose gradient passes a half-precision number of the size of the factor."""
    return (values.half().float() * factor).sum()


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e6])
def test_gradients_that_float16_cannot_hold_come_through(factor):
    values = torch.ones(3, requires_grad=True)
    (plain,) = torch.autograd.grad(through_half(values, factor), values)
    scale = LossScale(torch.float16)
    _, (found,) = scale.differentiate(lambda: through_half(values, factor), [values])
    if factor == 1.0:
        assert torch.equal(found, plain)
    else:
        assert plain.tolist() in ([0.0] * 3, [float("inf")] * 3)
        assert found.tolist() == pytest.approx([factor] * 3, rel=1e-3)


def test_the_scale_falls_where_it_overflows_and_rises_again():
    values = torch.ones(3, requires_grad=True)
    scale = LossScale(torch.float16)
    scale.differentiate(lambda: through_half(values, 1000.0), [values])
    low = scale.value
    assert low < 65504 / 1000
    for _ in range(RISE_AFTER):
        scale.differentiate(lambda: through_half(values, 1e-3), [values])
    assert scale.value == 2 * low


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_types_with_enough_exponents_are_left_alone(dtype):
    scale = LossScale(dtype)
    values = torch.ones(3, requires_grad=True)
    for _ in range(2 * RISE_AFTER):
        losses, (found,) = scale.differentiate(lambda: values * 3, [values])
    assert scale.value == 1
    assert found.tolist() == losses.tolist() == [3.0] * 3
    assert not losses.requires_grad


def test_what_no_scale_makes_finite_stops_the_attack():
    scale = LossScale(torch.float16)
    with pytest.raises(AttackError, match="not finite at step 1 of 2"):
        projected_gradient_descent(
            images(dtype=torch.float32),
            lambda x: (x * 0).sqrt().sum(dim=(1, 2, 3)),
            budget=LINF,
            region=EVERYWHERE,
            steps=2,
            step_size=1 / 255,
            loss_scale=scale,
        )
    assert scale.value < FIRST


@pytest.mark.parametrize(
    ("attack", "at_once"),
    [
        (EncoderAttack(steps=1, random_start=False), 2),
        (DiffusionAttack(steps=1, denoising_steps=2), 2),
        (DiffusionAttack(steps=1, denoising_steps=2, repetitions=2), 2),
    ],
    ids=["encoder", "diffusion", "diffusion in parts"],
)
def test_a_model_in_float16_gives_the_gradient_of_float32(attack, at_once):
    data = AttackBatch(
        images=random_images(2),
        masks=half_masks(2),
        prompts=None,
        ids=("a", "b"),
        editor=InpaintEditor(),
        settings=EditSettings(num_inference_steps=4),
        at_once=at_once,
    )

    def gradient(dtype):
        model = tiny_model(dtype=dtype)
        values = data.images.clone().requires_grad_(True)
        objective = attack.objective(model, data, CaseGenerators.from_seeds([3, 4]))
        # So faint a loss would have no gradient left in half precision.
        _, (found,) = LossScale(dtype).differentiate(lambda: objective(values) * 1e-5, [values])
        return found * data.kept

    half, full = gradient(torch.float16), gradient(torch.float32)
    assert torch.cosine_similarity(half.flatten(), full.flatten(), dim=0) > 0.99
    assert bool((half == 0).float().mean() < (full == 0).float().mean() + 0.01)
