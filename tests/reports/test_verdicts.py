from __future__ import annotations

import pytest

from photoguard_eval.analysis.verdict import summarize_gate
from photoguard_eval.reports.views import verdict as views
from photoguard_eval.reports.views.claims import claims_tables
from photoguard_eval.reports.views.subject import subject_of
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.outcomes import GateReport
from tests.reports.example import claim, make_gate, threshold


def claims_table(result, gate, editor):
    return claims_tables(subject_of(result, gate))[editor]


def claims_summary(gate):
    (table,) = views.claims_summary(summarize_gate(gate))
    return table


def thresholds_table(result, gate):
    (table,) = views.broken_thresholds(result, summarize_gate(gate))
    return table


def verdict_of(gate):
    return views.verdict_of(summarize_gate(gate))


def gate_of(*claims, **options):
    return GateReport(**{"baseline": "b.json", "claims": claims, "thresholds": (), **options})


@pytest.mark.parametrize(
    ("margin", "held", "mark", "verdict"),
    [
        (0.2, None, "✓", "holds"),
        (0.2, True, "✓", "holds"),
        (0.2, False, "✓", "gained"),
        (-0.2, None, "✗", "not reproduced"),
        (-0.2, False, "✗", "not reproduced"),
        (-0.2, True, "✗", "lost"),
        (0.0, None, "✗", "not reproduced"),
    ],
)
def test_each_claim_has_its_mark_and_verdict(result, margin, held, mark, verdict):
    table = claims_table(result, gate_of(claim("a-beats-b", "ssim", "inpaint", margin, held=held)), "inpaint")
    cell = table.rows[0].cells[1]
    assert cell.text.startswith(mark)
    assert cell.verdict == verdict


def test_a_claim_that_must_hold_and_does_not_is_refuted(result):
    required = claim("a-beats-b", "ssim", "inpaint", -0.2).model_copy(update={"required": True})
    gate = gate_of(required)
    assert claims_table(result, gate, "inpaint").rows[0].cells[1].verdict == "refuted"
    assert not gate.passed
    assert verdict_of(gate).headline == "The gate fails: 1 claim refuted in the paper's own setting."
    summary = claims_summary(gate)
    assert [column.label for column in summary.header][-1] == "refuted"
    assert summary.rows[0].cells[-1].text == "1"
    assert gate_of(required.model_copy(update={"margin": 0.2, "holds": True})).passed


def test_margins_have_their_standard_error_and_set_metrics_none(result, gate):
    table = claims_table(result, gate, "inpaint")
    rows = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in table.rows}
    assert rows == {
        "SSIM": ["✓ +0.300 ± 0.010", "–"],
        "FID": ["✓ +88.75", "–"],
        "CLIP similarity": ["–", "✓ +0.120 ± 0.010"],
    }
    assert [column.label for column in table.header[1:]] == [
        "encoder beats noise",
        "diffusion lowers unselected prompt similarity",
    ]
    assert "encoder beats noise: Statement of encoder-beats-noise." in table.notes


def test_the_summary_counts_every_claim(gate):
    counts = {
        (row.cells[0].text, row.cells[1].text): [c.text for c in row.cells[2:]] for row in claims_summary(gate).rows
    }
    assert counts == {
        ("Statement of encoder-beats-noise", "inpaint"): ["2", "0", "0", "0"],
        ("Statement of encoder-beats-noise", "img2img"): ["0", "0", "1", "0"],
        ("Statement of diffusion-lowers-unselected-prompt-similarity", "inpaint"): ["1", "0", "0", "0"],
    }


def test_the_verdict_says_what_was_kept():
    verdict = verdict_of(make_gate(thresholds=(threshold(passed=True),), baseline="b.json"))
    assert verdict.passed
    assert verdict.headline == "The gate passes: 1 threshold kept (b.json), no claim lost."
    assert verdict.details == (
        "Claims of the paper, measured here: 3 of 4 hold, 1 not reproduced, 0 lost since the baseline.",
    )


def test_the_verdict_says_what_failed():
    failure = FailedAttack(attack="mine", editor="inpaint", error="NaN")
    gate = gate_of(
        claim("a-beats-b", "ssim", "inpaint", -0.1, held=True),
        thresholds=(threshold(passed=False), threshold(passed=True)),
        failures=(failure,),
    )
    verdict = verdict_of(gate)
    assert not verdict.passed
    assert verdict.headline == "The gate fails: 1 threshold not kept, 1 claim lost, 1 attack stopped."


def test_without_a_baseline_nothing_is_said_to_pass(gate):
    headline = verdict_of(gate).headline
    assert "no baseline is recorded" in headline
    assert "passes" not in headline


def test_a_broken_threshold_shows_metric_baseline_measured_and_tolerance(result):
    gate = make_gate(thresholds=(threshold(passed=False), threshold(passed=True)), baseline="b.json")
    table = thresholds_table(result, gate)
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["diffusion", "inpaint", "SSIM", "0.3000", "0.4000", "+0.1000", "may not rise by more than", "0.0500", "–"]
    ]
    assert table.notes == ("Tolerance: a reason.",)


def test_a_broken_threshold_shows_how_many_cases_moved(result):
    moved = {"cases": 12, "cases_beyond": 7, "worst_case": "cat-1", "worst_change": 0.25}
    table = thresholds_table(result, make_gate(thresholds=(threshold(passed=False).model_copy(update=moved),)))
    assert table.rows[0].cells[-1].text == "7 of 12 cases by more, most cat-1 (+0.250)"


def test_what_the_baseline_does_not_hold_is_named():
    gate = gate_of(ungated_metrics=("A", "B"), ungated_attacks=("mine",))
    assert verdict_of(gate).details[1:] == (
        "Not in the baseline, so shown and not gated: the metrics A, B; the attack mine.",
    )
