"""What a view is given: a result, what was found in it, and where its pictures come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from photoguard_eval.analysis.findings import Findings, analyse
from photoguard_eval.reports.document import Block, Figures, Section
from photoguard_eval.reports.naming import purified_text
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

    @cached_property
    def parts(self) -> tuple[Subject, ...]:
        """What each part of the result is about, see `EvaluationResult.parts`; analysed once for all views."""
        parts = self.result.parts
        return (self,) if len(parts) == 1 else tuple(map(self._part, parts))

    def _part(self, part: EvaluationResult) -> Subject:
        # The claims are about images that nobody purified.
        gate = self.gate if part.purification is None else self.gate.model_copy(update={"claims": ()})
        return replace(self, result=part, gate=gate, findings=analyse(part, gate))


View = Callable[[Subject], Iterable[Section]]
"""Makes sections of a subject: none where there is nothing to show."""


def by_purification(view: View) -> View:
    """Return a view that shows each part of a result: first what was not purified, then each purifier for itself.

    Args:
        view: Shows a single part.
    """

    def shown(subject: Subject) -> Iterator[Section]:
        for part in subject.parts:
            purification = part.result.purification
            for section in view(part):
                yield section if purification is None else _named(section, purified_text(purification))

    return shown


def _named(section: Section, text: str) -> Section:
    """Say in a section's names what was done to the images that it is about."""
    # A minus stays: the purifiers of two parts may differ in it alone.
    slug = re.sub(r"[^\w.-]+", "-", text)

    def named(block: Block) -> Block:
        if not isinstance(block, Figures):
            return block
        return Figures(
            tuple(
                replace(figure, name=f"{figure.name}-{slug}", description=f"{figure.description}, {text}")
                for figure in block.figures
            )
        )

    return replace(
        section,
        title=f"{section.title}, {text}",
        anchor=f"{section.anchor}-{slug}" if section.anchor else "",
        blocks=tuple(map(named, section.blocks)),
        entry=f"{section.entry}, {text}" if section.entry else "",
    )


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
