import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from photoguard_eval.attacks import Ball
from photoguard_eval.attacks.budget import (
    measure_perturbation,
    require_within_budget,
    round_within_budget,
)
from photoguard_eval.errors import BudgetExceededError
from photoguard_eval.images.arrays import from_8bit
from tests.tiny import random_images


def change_of(original, levels):
    return (original + levels / 255).clamp(0, 1)


def test_measures_in_levels():
    original = torch.zeros(3, 2, 2)
    immunized = original.clone()
    immunized[0, 0, 0] = 6 / 255
    perturbation = measure_perturbation(original, immunized)
    assert perturbation.linf_levels == pytest.approx(6)
    assert perturbation.rms_levels == pytest.approx(6 / 12**0.5, abs=1e-4)


def test_an_excess_is_refused_with_name_and_amount():
    original = torch.full((3, 4, 4), 0.5)
    with pytest.raises(BudgetExceededError, match=r"fox-1: .*18\.000 levels.*2\.000 over the budget of 16\.000"):
        require_within_budget(original, original + 18 / 255, Ball("linf", 16 / 255), "fox-1")


def test_float_arithmetic_is_tolerated_but_no_more():
    original = torch.full((3, 4, 4), 0.5)
    budget = Ball("linf", 16 / 255)
    require_within_budget(original, original + (16 + 5e-4) / 255, budget, "fox-1")
    with pytest.raises(BudgetExceededError):
        require_within_budget(original, original + (16 + 5e-3) / 255, budget, "fox-1")


def test_an_l2_excess_is_refused():
    original = torch.full((3, 4, 4), 0.5)
    with pytest.raises(BudgetExceededError, match="root mean square change"):
        require_within_budget(original, original + 3 / 255, Ball("l2", 2 / 255), "fox-1")


@settings(max_examples=80, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    radius=st.floats(1 / 255, 40 / 255),
    seed=st.integers(0, 10_000),
)
def test_rounding_never_leaves_the_budget_and_moves_less_than_a_level(norm, radius, seed):
    budget = Ball(norm, radius)
    original = random_images(1, seed=seed, side=8)[0]
    noise = torch.rand(original.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    if norm == "l2":
        noise = noise / noise.square().mean().sqrt()
    immunized = (original.double() + noise * budget.radius).clamp(0, 1)
    rounded = round_within_budget(original, immunized, budget)
    saved = from_8bit(rounded)
    assert budget.size(require_within_budget(original, saved, budget, "case")) <= budget.levels + 1e-3
    assert ((saved - immunized).abs() * 255).max() <= 1 + 1e-6


def test_a_fractional_budget_keeps_whole_levels():
    original = torch.full((3, 4, 4), 100 / 255)
    rounded = round_within_budget(original, change_of(original, 15.3), Ball("linf", 15.3 / 255))
    assert rounded.unique().tolist() == [115]
