"""Rows are told apart by their axes; labels are never taken apart."""

import pytest

from photoguard_eval.analysis.rows import by_attack, by_budget, is_floor, is_of_the_preset, with_largest_budgets
from tests.reports.example import method_result, original_result


def row(label="encoder", *, levels=16.0, norm="linf"):
    """An encoder attack's row at another budget."""
    plain = method_result("encoder", "inpaint")
    threat_model = plain.attack.threat_model.model_copy(update={"epsilon": levels / 255, "norm": norm})
    return plain.model_copy(
        update={"attack": plain.attack.model_copy(update={"label": label, "threat_model": threat_model})}
    )


def levels(groups):
    return [[found.id.budget.levels for found in group] for group in groups]


def test_rows_of_other_budgets_are_of_one_attack():
    assert levels(by_attack([row(), row(levels=4), row(levels=8)])) == [[4, 8, 16]]


@pytest.mark.parametrize("other", [{"label": "encoder,steps=9"}, {"norm": "l2"}])
def test_rows_of_other_arguments_or_another_norm_are_not(other):
    assert levels(by_attack([row(), row(levels=8, **other)])) == [[16], [8]]


def test_the_largest_budget_of_each_attack_stays():
    rows = [original_result("inpaint"), row(levels=4), row(levels=16), row("encoder,steps=9", levels=8)]
    assert with_largest_budgets(rows) == (rows[0], rows[2], rows[3])


def test_budgets_that_differ_by_rounding_are_one():
    rows = [row(), row(norm="l2"), row(levels=16.0000001), original_result("inpaint")]
    assert [[rows.index(found) for found in own] for own in by_budget(rows).values()] == [[0, 2], [1]]


def test_random_noise_is_the_floor():
    assert is_floor(method_result("noise", "inpaint"))
    assert not is_floor(row())
    assert not is_floor(original_result("inpaint"))
    of_others = row().attack.model_copy(update={"name": "not-installed"})
    assert not is_floor(row().model_copy(update={"attack": of_others}))


def test_a_row_of_the_preset_has_no_arguments_and_the_papers_budget():
    assert is_of_the_preset(row())
    assert not is_of_the_preset(row("encoder,steps=9"))
    assert not is_of_the_preset(row(levels=8))
