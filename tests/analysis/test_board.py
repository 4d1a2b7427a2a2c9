"""Rows of several results are compared where the conditions of their editor are those of the latest."""

import pytest

from photoguard_eval.analysis.board import make_board
from photoguard_eval.analysis.board_rows import leaderboard_rows
from tests.reports.example import make_result, metric
from tests.reports.test_ranking import with_budgets

LATER = "2030-02-01T00:00:00+00:00"


def of_mine(result, **changes):
    """A later run of one attack of another name, under the editor inpaint."""
    row = result.row("diffusion", "inpaint")
    attack = row.attack.model_copy(update={"name": "mine", "label": "mine", "title": "Mine"})
    provenance = result.provenance.model_copy(update={"started": LATER})
    mine = row.model_copy(update={"attack": attack})
    return result.replaced(**{"attack_rows": (mine,), "provenance": provenance, **changes})


def differs(result, other):
    """Return what keeps the rows of a result from being compared with the later one, by metric."""
    group = next(group for group in make_board([result, other]) if group.place.editor == "inpaint")
    return next(entry.differs for entry in group.rows if entry.row.label == "encoder")


def model(result, **changes):
    return {"model": result.model.model_copy(update=changes)}


def seeds(result):
    return {"cases": tuple(case.model_copy(update={"seed": {"inpaint": 9, "img2img": 9}}) for case in result.cases)}


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        (lambda result: model(result, weights_sha256="c" * 64), "weights"),
        (lambda result: {"dataset": result.dataset.model_copy(update={"sha256": "c" * 64})}, "dataset's content"),
        (seeds, "seed of the edits"),
        (lambda result: {"editors": {**result.editors, "inpaint": {"guidance_scale": 1}}}, "setting of the edits"),
        (
            lambda result: {"provenance": result.provenance.model_copy(update={"started": LATER, "seed": 7})},
            "seed of the attacks",
        ),
    ],
)
def test_another_condition_makes_every_metric_incomparable(result, change, condition):
    found = differs(result, of_mine(result, **change(result)))
    assert set(found) == {metric.name for metric in result.metrics}
    assert all(text.startswith(condition) for text in found.values())


@pytest.fixture(scope="module")
def result():
    return make_result()


def test_under_the_same_conditions_nothing_differs(result):
    assert differs(result, of_mine(result)) == {}


def test_an_extractor_concerns_its_metrics_alone(result):
    fid = metric("fid", "FID", "6", higher=False, kind="distribution").model_copy(update={"extractor": "Inception-v3"})
    found = differs(result, of_mine(result, metrics=(fid, *result.metrics[1:])))
    assert set(found) == {"fid"}
    assert found["fid"].startswith("feature extractor")


def test_what_a_result_does_not_measure_cannot_be_compared(result):
    mine = metric("mine", "MINE")
    assert differs(result, of_mine(result, metrics=(*result.metrics, mine))) == {"mine": "not measured"}


def test_conditions_are_those_of_the_rows_editor(result):
    """Who ran another editor as well, or changed its settings, did not measure this one otherwise."""
    alone = of_mine(result, editors={"inpaint": result.editors["inpaint"]}, originals=result.originals[:1])
    changed = of_mine(result, editors={**result.editors, "img2img": {"guidance_scale": 1, "strength": 0.1}})
    assert differs(result, alone) == differs(result, changed) == {}


def test_rows_for_machines_have_ranks_budget_and_what_differs(result):
    rows = {row["attack"]: row for row in leaderboard_rows([result]) if row["editor"] == "inpaint"}
    assert rows["encoder"]["budget"] == {"norm": "linf", "levels": 16.0}
    assert rows["encoder"]["mean_rank"] == 2
    assert rows["encoder"]["ranks"]["gmsd"] == {"rank": 2.0, "clear": True}
    assert rows["encoder"]["differs"] == {}
    assert (rows["original"]["budget"], rows["original"]["mean_rank"], rows["original"]["ranks"]) == (None, None, {})


def test_rows_of_one_attack_at_two_budgets_are_ranked_each_among_its_own(result):
    rows = leaderboard_rows([result, with_budgets(result, [8 / 255])])
    found = [
        (row["budget"]["levels"], row["mean_rank"])
        for row in rows
        if (row["attack"], row["editor"]) == ("encoder", "inpaint")
    ]
    assert sorted(found) == [(8, 2), (16, 2)]


def test_a_row_of_other_conditions_has_no_rank(result):
    rows = leaderboard_rows([result, of_mine(result, **model(result, weights_sha256="c" * 64))])
    (encoder,) = (row for row in rows if (row["attack"], row["editor"]) == ("encoder", "inpaint"))
    assert (encoder["mean_rank"], encoder["ranks"], encoder["against_noise"]) == (None, {}, None)
    assert encoder["differs"]["ssim"].startswith("weights")
