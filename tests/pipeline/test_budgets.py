"""The budget in the keys of immunized images: the run's, or the attack's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from photoguard_eval.attacks import Ball
from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.attacks import create_attack
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs
from photoguard_eval.pipeline.steps.keys import Editing, PictureFile, Placement

IMAGE = PictureFile(Path("fox.png"), "a" * 64)
SMALL = Ball("linf", 8 / 255)


@pytest.fixture(scope="module")
def inputs_of(make_request):
    model, preset = build_plan(make_request()).model, find_preset("smoke")
    editing = Editing(model, Placement("float32"), EDITORS.create("img2img"), preset.settings("img2img", model, {}))
    return lambda spec: ImmunizeInputs(create_attack(spec, preset), editing, "fox", IMAGE, None, "", 0)


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


def test_attacks_run_at_every_budget_and_one_that_has_its_own_at_that_alone(make_request):
    plan = build_plan(make_request(attacks=("noise", "encoder,budget=2/255"), budgets=("8/255", "l2:4/255", "8/255")))
    rows = [(row.label, str(row.id.budget)) for row in plan.attack_rows if row.editor == "inpaint"]
    assert rows == [("noise", "8/255"), ("encoder,budget=2/255", "2/255"), ("noise", "l2 4/255")]
    assert len({task.key for row in plan.attack_rows for task in row.immunize}) == 2 * len(plan.attack_rows)


def test_budgets_that_differ_by_rounding_are_refused(make_request):
    with pytest.raises(ConfigurationError, match="16/255"):
        build_plan(make_request(budgets=("16/255", "0.06275")))
