"""The budget in the keys of immunized images: the run's, or the attack's own."""

from dataclasses import replace

import pytest

from photoguard_eval.attacks import Ball
from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.inputs import Editing, ImmunizeInputs, Placement
from photoguard_eval.pipeline.plan import build_plan, create_attack
from photoguard_eval.pipeline.presets import find_preset

SMALL = Ball("linf", 8 / 255)


@pytest.fixture(scope="module")
def inputs_of(make_request):
    model, preset = build_plan(make_request()).model, find_preset("smoke")
    editing = Editing(model, Placement("float32"), EDITORS.create("img2img"), preset.settings("img2img", model, {}))
    return lambda spec: ImmunizeInputs(create_attack(spec, preset), editing, "fox", "a" * 64, "", "", 0)


def test_the_runs_budget_is_part_of_the_key_and_not_of_the_seed(inputs_of):
    inputs = inputs_of("encoder")
    others = [replace(inputs, budget=budget) for budget in (SMALL, Ball("l2", 16 / 255))]
    assert len({inputs.key, *(other.key for other in others)}) == 3
    assert {inputs.seed} == {other.seed for other in others}
    assert inputs.key == replace(inputs, budget=Ball.parse("0.0627451")).key


def test_an_attacks_own_budget_goes_before_the_runs(inputs_of):
    inputs = inputs_of("encoder,budget=8/255")
    assert inputs.threat_model.budget == SMALL
    assert inputs.key == replace(inputs, budget=Ball("linf", 4 / 255)).key


def test_a_budget_that_an_attack_cannot_keep_is_refused_before_any_work(inputs_of):
    with pytest.raises(ConfigurationError, match="'amortised' works in ℓ∞, and its budget is l2 8/255"):
        _ = replace(inputs_of("amortised"), budget=Ball("l2", 8 / 255)).key
