"""The budget as a value: what it is written as, what it refuses, and its geometry."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from photoguard_eval.attacks.ball import DEFAULT_BUDGET, Ball, distinct_balls
from photoguard_eval.attacks.budget import Perturbation
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.randomness import CaseGenerators

RADII = st.floats(1 / 255, 1.0)
NORMS = st.sampled_from(["linf", "l2"])


@pytest.mark.parametrize(
    ("text", "norm", "levels", "printed"),
    [
        ("16/255", "linf", 16, "16/255"),
        ("0.0627451", "linf", 16, "16/255"),
        ("0.06275", "linf", 16.0012, "16.0012/255"),
        ("0.06", "linf", 15.3, "15.3/255"),
        ("7.65/255", "linf", 7.65, "7.65/255"),
        (" linf:4/255 ", "linf", 4, "4/255"),
        ("l2:8/255", "l2", 8, "l2 8/255"),
        ("l2: 0.05", "l2", 12.75, "l2 12.75/255"),
        ("l2:0.1/255", "l2", 0.1, "l2 0.1/255"),
        ("255/255", "linf", 255, "255/255"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, norm, levels, printed):
    ball = Ball.parse(text)
    assert (ball.norm, ball.levels, str(ball)) == (norm, levels, printed)


@settings(max_examples=200, deadline=None)
@given(norm=NORMS, radius=RADII)
def test_its_text_says_all_of_a_budget(norm, radius):
    ball = Ball(norm, radius)
    assert Ball.parse(str(ball)) == ball


@pytest.mark.parametrize("levels", range(1, 256))
def test_whole_levels_are_exact(levels):
    assert Ball("linf", levels / 255).radius == levels / 255 == Ball.parse(f"{levels}/255").radius


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "more than 0"),
        ("300/255", r"\(300/255\); expected more than 0 and at most 1"),
        ("16", "Did you mean 16/255"),
        ("1", "Did you mean 1/255"),
        ("l2:8", "Did you mean 8/255"),
        ("300", "at most 1"),
        ("-8/255", "more than 0"),
        ("nan", "expected a fraction"),
        ("1/0", "expected a fraction"),
        ("", "expected a fraction"),
        ("16 / 255", "expected a fraction"),
        ("sixteen", "expected a fraction"),
        ("0.003", "less than one level"),
        ("l2:1/1000000000", "less than one level"),
        ("l1:8/255", "norm of the budget is 'l1'; expected 'linf' or 'l2'"),
    ],
)
def test_what_is_no_budget_is_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        Ball.parse(text)


@pytest.mark.parametrize("radius", [0, -0.1, 1.0001, float("nan"), float("inf")])
def test_a_radius_out_of_range_is_refused(radius):
    with pytest.raises(ConfigurationError, match="expected more than 0 and at most 1"):
        Ball("linf", radius)


def test_a_budget_is_given_as_a_value_a_text_or_a_radius():
    assert Ball.of(DEFAULT_BUDGET) == Ball.of("16/255") == Ball.of(16 / 255) == Ball("linf", 16 / 255)


def test_budgets_of_a_run_are_each_there_once():
    assert distinct_balls(["16/255", "l2:16/255", "0.0627451", "8/255", "l2:0.06"]) == (
        Ball("linf", 16 / 255),
        Ball("l2", 16 / 255),
        Ball("linf", 8 / 255),
        Ball("l2", 0.06),
    )


@pytest.mark.parametrize(
    ("texts", "apart"),
    [
        (("0.06275", "16/255"), "0.0012"),
        (("16/255", "8/255", "0.06275"), "0.0012"),
        (("0.06", "16/255"), "0.7000"),
        (("l2:0.06275", "l2:16/255"), "0.0012"),
    ],
)
def test_budgets_that_nobody_means_to_compare_are_refused(texts, apart):
    with pytest.raises(ConfigurationError, match=rf"{apart} levels apart.*16/255 was probably meant"):
        distinct_balls(texts)


def test_a_perturbation_is_measured_in_the_norm():
    measured = Perturbation(linf_levels=12.0, rms_levels=3.0)
    assert (Ball("linf", 0.1).size(measured), Ball("l2", 0.1).size(measured)) == (12, 3)


def norms(norm, change):
    return change.abs().amax(dim=(1, 2, 3)) if norm == "linf" else change.square().mean(dim=(1, 2, 3)).sqrt()


@settings(max_examples=50, deadline=None)
@given(norm=NORMS, radius=RADII, scale=st.floats(0.01, 3), seed=st.integers(0, 1000))
def test_a_projection_lies_in_the_ball_and_moves_nothing_that_lies_there(norm, radius, scale, seed):
    ball, generator = Ball(norm, radius), torch.Generator().manual_seed(seed)
    images = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    perturbation = scale * torch.randn(images.shape, generator=generator, dtype=torch.float64)
    projected = ball.project(images, perturbation)
    assert (norms(norm, projected - images) <= ball.radius + 1e-12).all()
    inside = ball.project(images, projected - images)
    assert torch.allclose(inside, projected, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_steepest_direction_is_the_best_of_its_length(norm):
    gradient = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    steepest = Ball(norm, 0.1).steepest(gradient)
    assert norms(norm, steepest) == pytest.approx(torch.ones(2), rel=1e-5)
    others = torch.randn(20, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    gains = [(gradient * other / norms(norm, other).view(-1, 1, 1, 1)).sum() for other in others]
    assert (gradient * steepest).sum() > max(gains)


def test_a_draw_fills_the_ball():
    images = torch.full((2, 3, 64, 64), 0.5)
    generators = CaseGenerators.from_seeds([1, 2])
    largest = Ball("linf", 16 / 255).draw(images, generators).abs().amax(dim=(1, 2, 3))
    assert (largest <= 16 / 255).all()
    assert largest == pytest.approx(torch.full((2,), 16 / 255), rel=0.01)
    assert norms("l2", Ball("l2", 3 / 255).draw(images, generators)) == pytest.approx(
        torch.full((2,), 3 / 255), rel=0.02
    )
