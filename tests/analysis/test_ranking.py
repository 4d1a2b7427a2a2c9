"""Ranks and the standing against noise as values; how they are printed is tested with the reports."""

import pytest

from photoguard_eval.analysis.ranking import Rank, Ranking, rank
from photoguard_eval.results.rows import Budget
from tests.reports.example import make_result, with_rerolls
from tests.reports.test_ranking import on_images, with_budgets


@pytest.fixture(scope="module")
def result():
    return with_rerolls(make_result())


def test_a_ranking_holds_every_number(result):
    (ranking,) = rank(result, "inpaint")
    assert (ranking.editor, ranking.budget) == ("inpaint", Budget(norm="linf", levels=16))
    assert [(row.id.attack, row.mean_rank) for row in ranking.rows] == [("diffusion", 1), ("encoder", 2), ("noise", 3)]
    assert ranking.rows[1].ranks["ssim"] == Rank(rank=2, clear=True)
    assert set(ranking.rows[0].ranks) == set(ranking.metrics)
    assert ranking.concordance == pytest.approx(1)
    assert ranking.rows[0].against_noise.share_of_reroll == pytest.approx(1.25)
    assert ranking.rows[-1].against_noise is None
    assert ranking.reroll.difference == pytest.approx(-0.4)
    assert Ranking.model_validate_json(ranking.model_dump_json()) == ranking


def test_ranked_are_the_metrics_that_say_so_and_tell_rows_apart(result):
    (ranking,) = rank(result, "inpaint")
    says_so = {metric.name for metric in result.metrics if metric.ranked}
    assert set(ranking.metrics) == says_so - {"recall"}
    mine = result.metrics[-2].model_copy(update={"ranked": True})
    (with_mine,) = rank(result.replaced(metrics=(*result.metrics[:-2], mine)), "inpaint")
    assert set(with_mine.metrics) - set(ranking.metrics) == {"region_ssim"}


def test_every_budget_has_a_ranking_also_that_of_a_single_row(result):
    rankings = rank(with_budgets(result, [16 / 255, 8 / 255, 8 / 255]), "inpaint")
    assert [[row.id.attack for row in ranking.rows] for ranking in rankings] == [
        ["noise"],
        ["diffusion", "encoder"],
    ]
    assert rankings[0].concordance is None
    assert rankings[0].reroll is not None


def test_how_many_metrics_beat_the_noise_is_counted(result):
    (ranking,) = rank(on_images(make_result(), 8), "img2img")
    assert [(row.id.attack, row.against_noise and row.against_noise.beaten) for row in ranking.rows] == [
        ("diffusion", 9),
        ("encoder", 9),
        ("noise", None),
    ]
