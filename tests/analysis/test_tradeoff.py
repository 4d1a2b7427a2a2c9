"""What protection costs, by attack and budget."""

from photoguard_eval.analysis.tradeoff import Point, tradeoff
from tests.reports.example import make_result, with_rerolls
from tests.reports.test_tradeoff import at_budget


def budgets_of_the_encoder():
    plain = make_result()
    noise, encoder = (plain.row(name, "inpaint") for name in ("noise", "encoder"))
    rows = (noise, at_budget(encoder, 8, 0.5, 0.7), at_budget(encoder, 4, 0.9, 0.95), encoder)
    return plain.replaced(attack_rows=rows, editors=("inpaint",))


def test_rows_that_differ_in_the_budget_alone_are_one_family():
    found = tradeoff(budgets_of_the_encoder(), "inpaint")
    noise, encoder = found.families
    assert (noise.is_floor, len(noise.points)) == (True, 1)
    assert not encoder.is_floor
    assert [point.levels for point in encoder.points] == [4, 8, 16]
    assert encoder.points[0] == Point(
        id=budgets_of_the_encoder().attack_rows[2].id, levels=4, protection=0.9, imperceptibility=0.95
    )
    assert found.reroll is None


def test_a_re_roll_is_no_family():
    found = tradeoff(with_rerolls(make_result()), "inpaint")
    assert found.reroll == 0.5
    assert len(found.families) == 3


def test_rows_without_the_measures_are_left_out():
    result = make_result()
    bare = tuple(row.model_copy(update={"metrics": {}}) for row in result.attack_rows)
    assert tradeoff(result.replaced(attack_rows=bare), "inpaint").families == ()
