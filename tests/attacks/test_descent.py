from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from photoguard_eval.attacks import Ball
from photoguard_eval.attacks.descent import projected_gradient_descent
from photoguard_eval.errors import AttackError
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images

LINF = Ball("linf", 16 / 255)
L2 = Ball("l2", 3 / 255)
EVERYWHERE = torch.ones(2, 1, 8, 8)


def images(count=2, side=8, dtype=torch.float64):
    return random_images(count, side=side).to(dtype)


def rms(change):
    return change.square().mean(dim=(1, 2, 3)).sqrt()


@settings(max_examples=40, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    radius=st.floats(1 / 255, 1.0),
    step_size=st.floats(0.0001, 2.0),
    seed=st.integers(0, 1000),
    random_start=st.booleans(),
)
def test_the_result_is_always_in_the_ball_and_in_range(norm, radius, step_size, seed, random_start):
    budget = Ball(norm, radius)
    original = images()
    weights = torch.randn(original.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = None
    if random_start:
        start = budget.draw(original, CaseGenerators.from_seeds([seed, seed + 1]))
    result = projected_gradient_descent(
        original,
        lambda x: (x * weights).sum(dim=(1, 2, 3)),
        budget=budget,
        region=EVERYWHERE.double(),
        steps=4,
        step_size=step_size,
        start=start,
    )
    change = result - original
    assert result.min() >= 0
    assert result.max() <= 1
    size = change.abs().amax(dim=(1, 2, 3)) if norm == "linf" else rms(change)
    assert (size <= budget.radius + 1e-9).all()


def test_one_step_of_linf_is_the_sign_of_the_gradient():
    original = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    weights = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    result = projected_gradient_descent(
        original,
        lambda x: (x * weights).sum(dim=(1, 2, 3)),
        budget=LINF,
        region=torch.ones(1, 1, 2, 2, dtype=torch.float64),
        steps=1,
        step_size=2 / 255,
    )
    expected = 0.5 + torch.tensor([-2 / 255, 2 / 255, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    assert torch.allclose(result, expected.expand_as(result), atol=1e-12)


def test_one_step_of_l2_has_the_step_s_length_against_the_gradient():
    original = torch.full((2, 3, 8, 8), 0.5, dtype=torch.float64)
    weights = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change = (
        projected_gradient_descent(
            original,
            lambda x: (x * weights).sum(dim=(1, 2, 3)),
            budget=L2,
            region=EVERYWHERE.double(),
            steps=1,
            step_size=1 / 255,
        )
        - original
    )
    assert torch.allclose(rms(change), torch.full((2,), 1 / 255, dtype=torch.float64))
    assert torch.allclose(change / rms(change).view(-1, 1, 1, 1), -weights / rms(weights).view(-1, 1, 1, 1))


def test_the_step_decays_to_a_hundredth():
    original = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    visited = []

    def loss(x):
        visited.append(float(x[0, 0, 0, 0].detach()))
        return x.sum(dim=(1, 2, 3))

    projected_gradient_descent(
        original,
        loss,
        budget=Ball("linf", 1.0),
        region=torch.ones(1, 1, 2, 2, dtype=torch.float64),
        steps=5,
        step_size=0.01,
        decay=True,
    )
    moves = [before - after for before, after in pairwise(visited)]
    assert moves == pytest.approx([0.01 * (1 - 0.99 * step / 5) for step in range(4)])


def test_pixels_outside_of_the_region_do_not_change():
    original, region = images(2, 32), 1 - half_masks(2)
    start = torch.full_like(original, 0.05)
    result = projected_gradient_descent(
        original,
        lambda x: x.square().sum(dim=(1, 2, 3)),
        budget=LINF,
        region=region.double(),
        steps=3,
        step_size=2 / 255,
        start=start,
    )
    outside = (region == 0).expand_as(original)
    assert torch.equal(result[outside], original[outside])
    assert not torch.equal(result[~outside], original[~outside])


def test_the_loss_falls():
    original = images()
    target = torch.zeros_like(original)
    losses = []

    def loss(x):
        values = (x - target).square().sum(dim=(1, 2, 3))
        losses.append(float(values.sum().detach()))
        return values

    projected_gradient_descent(original, loss, budget=LINF, region=EVERYWHERE.double(), steps=10, step_size=1 / 255)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_attack(bad):
    with pytest.raises(AttackError, match="not finite at step 1 of 3"):
        projected_gradient_descent(
            images(),
            lambda x: x.sum(dim=(1, 2, 3)) * bad,
            budget=LINF,
            region=EVERYWHERE.double(),
            steps=3,
            step_size=1 / 255,
        )
