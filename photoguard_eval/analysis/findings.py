"""Everything that is computed from one result before any of it is shown."""

from __future__ import annotations

from photoguard_eval.analysis.ranking import Ranking, rank
from photoguard_eval.analysis.tradeoff import Tradeoff, tradeoff
from photoguard_eval.analysis.values import Value
from photoguard_eval.analysis.verdict import GateSummary, summarize_gate
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


class Findings(Value):
    """The analysis of one result.

    Attributes:
        rankings: The attacks' ranks at each budget, by editor.
        tradeoffs: What protection costs the image, by editor.
        gate: What the gate comes to.
    """

    rankings: dict[str, tuple[Ranking, ...]]
    tradeoffs: dict[str, Tradeoff]
    gate: GateSummary


def analyse(result: EvaluationResult, gate: GateReport) -> Findings:
    """Analyse a result.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
    """
    return Findings(
        rankings={editor: rank(result, editor) for editor in result.editors},
        tradeoffs={editor: tradeoff(result, editor) for editor in result.editors},
        gate=summarize_gate(gate),
    )
