"""What the suite asserts: the paper's claims, and the thresholds of a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from photoguard_eval.analysis.claims import claim_id
from photoguard_eval.app.bench_run import BenchRun
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.outcomes import ClaimOutcome, ThresholdOutcome
from photoguard_eval.results.rows import REFERENCES


@dataclass(frozen=True)
class Claims:
    """Asserts the paper's claims."""

    outcomes: dict[str, ClaimOutcome]

    def require(self, claim: str, metric: str, editor: str) -> None:
        """Assert a claim about a metric under an editor.

        A claim that held in the baseline and no longer does fails, and so does one that the paper's own setting
        contradicts. Another that never held is expected to fail, so it is counted neither as passed nor hidden.
        """
        outcome = self.outcomes.get(claim_id(claim, metric, editor))
        if outcome is None:
            pytest.skip("the run lacks the attacks that this claim compares, at one budget")
        error = "" if outcome.standard_error is None else f" ± {outcome.standard_error:.4f} (standard error)"
        measured = f"{outcome.statement}: {metric} under {editor}: margin {outcome.margin:+.4f}{error}"
        if outcome.verdict == "not reproduced":
            pytest.xfail(f"not reproduced: {measured}")
        if outcome.verdict == "lost":
            pytest.fail(f"It held in the baseline and no longer does. {measured}", pytrace=False)
        if outcome.verdict == "refuted":
            pytest.fail(f"This is the paper's own setting, and it does not hold. {measured}", pytrace=False)


def compares_edits(metric: MetricInfo) -> bool:
    """Tell whether a metric compares edits of immunized images with those of the originals."""
    return metric.subject == "edit" and metric.kind != "prompt"


def follows_prompt(metric: MetricInfo) -> bool:
    """Tell whether a metric compares edits with their prompts."""
    return metric.kind == "prompt"


def is_of_immunized_images(metric: MetricInfo) -> bool:
    """Tell whether a metric compares the immunized images themselves with the originals."""
    return metric.subject == "immunized"


@dataclass(frozen=True)
class Thresholds:
    """Asserts that measured means stay within the baseline's tolerance."""

    run: BenchRun

    def require(self, attack: str, editor: str, concerns: Callable[[MetricInfo], bool]) -> None:
        """Assert the thresholds of an attack's row.

        Args:
            attack: What the row is called, see `row_name`.
            editor: The editor.
            concerns: Tells which metrics to check.
        """
        gate, metrics = self.run.gate, {metric.name: metric for metric in self.run.result.metrics}
        stopped = None if attack in REFERENCES else self.run.why_stopped(attack, editor)
        if stopped is not None:
            pytest.fail(f"{attack} was stopped: {stopped}", pytrace=False)
        outcomes = [
            outcome
            for outcome in gate.thresholds
            if (outcome.attack, outcome.editor) == (attack, editor) and concerns(metrics[outcome.metric])
        ]
        if not outcomes:
            pytest.skip(f"no baseline for {attack} under {editor}; record one with --bless")
        failed = [_describe(outcome) for outcome in outcomes if not outcome.passed]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)


def _describe(outcome: ThresholdOutcome) -> str:
    worse = {"above": "rose", "below": "fell", "either": "moved"}[outcome.side]
    return (
        f"{outcome.metric} of {outcome.attack} under {outcome.editor} {worse}: baseline {outcome.baseline:.4f}, "
        f"measured {outcome.measured:.4f}, tolerance {outcome.tolerance:.4f} ({outcome.reason})"
        f"{'; ' if outcome.cases else ''}{outcome.cases_text}"
    )
