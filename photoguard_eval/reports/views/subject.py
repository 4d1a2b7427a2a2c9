"""What a view is given: a result, what was found in it, and where its pictures come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from photoguard_eval.analysis.findings import Findings, analyse
from photoguard_eval.reports.document import Section
from photoguard_eval.reports.pictures import ReportImages
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        result: The result of an evaluation.
        gate: What the gate found.
        findings: The analysis of both.
        images: Where pictures come from; None where a report shows none.
        paper_rows: Whether the paper's own rows stand beside the measured ones; for Stable Diffusion models only, and
            only under the editor that the paper's tables are about.
    """

    result: EvaluationResult
    gate: GateReport
    findings: Findings
    images: ReportImages | None = None
    paper_rows: bool = False


View = Callable[[Subject], Iterable[Section]]
"""Makes sections of a subject: none where there is nothing to show."""


def subject_of(
    result: EvaluationResult, gate: GateReport, images: ReportImages | None = None, *, paper_rows: bool = False
) -> Subject:
    """Analyse a result for its report.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        images: Where pictures come from; None for a report without them.
        paper_rows: See `Subject`.
    """
    return Subject(result, gate, analyse(result, gate), images, paper_rows)
