"""A gate report summed up."""

from photoguard_eval.analysis.verdict import summarize_gate
from photoguard_eval.results.facts import FailedAttack
from tests.reports.example import make_gate, threshold


def test_claims_thresholds_and_stopped_attacks_are_counted():
    failure = FailedAttack(attack="mine", editor="inpaint", error="returned NaN")
    gate = make_gate(thresholds=(threshold(passed=False), threshold(passed=True)), baseline="b.json")
    summary = summarize_gate(gate.model_copy(update={"failures": (failure,)}))
    assert not summary.passed
    assert summary.claims == {"holds": 3, "not reproduced": 1}
    assert [(claim.editor, claim.counts) for claim in summary.by_claim] == [
        ("inpaint", {"holds": 2}),
        ("img2img", {"not reproduced": 1}),
        ("inpaint", {"holds": 1}),
    ]
    assert (summary.thresholds, len(summary.broken), summary.stopped) == (2, 1, (failure,))
    assert not summary.can_be_refuted
