from __future__ import annotations

import pytest

from photoguard_eval.reports.naming import (
    attack_titles,
    budget_text,
    decimals_for,
    file_stem,
    number,
    row_titles,
    short_title,
)
from tests.reports.example import TITLES, attack_info, method_result


def test_titles_that_occur_twice_carry_the_label():
    first = method_result("encoder", "inpaint")
    second = first.model_copy(update={"attack": attack_info("encoder", "encoder,steps=7")})
    other = method_result("noise", "inpaint")
    assert row_titles([first, second, other]) == (
        f"{TITLES['encoder']} [encoder]",
        f"{TITLES['encoder']} [encoder,steps=7]",
        TITLES["noise"],
    )


def test_rows_of_one_title_at_several_budgets_carry_the_budget_and_attacks_the_norm():
    def at(levels, norm="linf"):
        row = method_result("encoder", "inpaint")
        threat_model = row.attack.threat_model.model_copy(update={"epsilon": levels / 255, "norm": norm})
        return row.model_copy(update={"attack": row.attack.model_copy(update={"threat_model": threat_model})})

    title = TITLES["encoder"]
    assert row_titles([at(16), at(8)]) == (f"{title} [16/255]", f"{title} [8/255]")
    assert attack_titles([at(16), at(8, "l2")]) == (f"{title} [ℓ∞]", f"{title} [ℓ2]")
    other = at(8)
    other = other.model_copy(update={"attack": other.attack.model_copy(update={"label": "encoder,steps=7"})})
    assert row_titles([at(16), other]) == (f"{title} [encoder, 16/255]", f"{title} [encoder,steps=7, 8/255]")
    assert attack_titles([at(16), method_result("noise", "inpaint")]) == (title, TITLES["noise"])


@pytest.mark.parametrize(
    ("title", "short"),
    [
        (TITLES["noise"], "Random noise"),
        (TITLES["diffusion"], "Diffusion attack"),
        (f"{TITLES['encoder']} [encoder,steps=7]", "Encoder attack [encoder,steps=7]"),
        ("mist", "mist"),
    ],
)
def test_short_titles(title, short):
    assert short_title(title) == short


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([130.6, 82.57], 1), ([19.2], 2), ([0.75], 3), ([-0.02], 4), ([0.001], 5), ([0.0], 3), ([], 3)],
)
def test_decimals_follow_the_largest_value(values, decimals):
    assert decimals_for(values) == decimals


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.5, False, "0.500"),
        (-0.25, False, "−0.250"),
        (0.25, True, "+0.250"),
        (-0.0001, True, "0.000"),
        (0, True, "0.000"),
    ],
)
def test_numbers(value, signed, text):
    assert number(value, 3, signed) == text


@pytest.mark.parametrize(
    ("norm", "epsilon", "text"),
    [
        ("linf", 16 / 255, "ℓ∞ 16/255"),
        ("linf", 0.06274509803921569, "ℓ∞ 16/255"),
        ("linf", 0.06275, "ℓ∞ 16.001/255"),
        ("linf", 0.06, "ℓ∞ 15.3/255"),
        ("linf", 1.0, "ℓ∞ 255/255"),
        ("l2", 8 / 255, "ℓ2 8/255"),
        ("l2", 0.0314, "ℓ2 8.007/255"),
    ],
)
def test_budgets_are_levels_with_as_many_decimals_as_they_have(norm, epsilon, text):
    threat_model = attack_info("noise").threat_model.model_copy(update={"norm": norm, "epsilon": epsilon})
    assert budget_text(threat_model) == text


@pytest.mark.parametrize(
    ("model", "stem"),
    [
        ("maker/model", "maker--model-scenes-ci"),
        ("/models/sd 1.5", "models--sd_1.5-scenes-ci"),
        ("../up", "up-scenes-ci"),
        ("C:\\model", "C__model-scenes-ci"),
    ],
)
def test_file_names_are_one_safe_part(result, model, stem):
    named = result.model_copy(update={"model": result.model.model_copy(update={"name": model})})
    assert file_stem(named) == stem
