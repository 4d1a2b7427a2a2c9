"""The paper's claims with the margins by which they were measured to hold."""

from __future__ import annotations

from collections.abc import Iterator

from photoguard_eval.reports.cells import Cell, Column, Row, Table, without_repeated_notes
from photoguard_eval.reports.document import Block, Heading, Section, Text
from photoguard_eval.reports.naming import MISSING, decimals_for, editor_text, metric_label, number
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.reports.views.verdict import claims_summary
from photoguard_eval.results.outcomes import ClaimOutcome

NOTE_CLAIMS = (
    "Each cell is the margin ± its standard error over the images in the metric's unit, positive where the measurement "
    "supports the claim. ✓ holds (gained: it did not clearly hold in the baseline); ✗ not reproduced; or lost: it "
    "clearly held in the baseline; or refuted: this is the paper's own setting, and the margin is below zero by more "
    "than may be chance. The last two fail the gate. Set metrics have one value and no error; nor has a single image."
)


def claims_section(subject: Subject) -> Iterator[Section]:
    """Show how the claims stand, and under each editor by how much."""
    blocks: list[Block] = [*claims_summary(subject.findings.gate)]
    for editor, table in claims_tables(subject).items():
        blocks += [Heading(editor_text(editor).title), table]
    if not blocks:
        blocks = [
            Text(
                (
                    "The paper's claims are about noise, the encoder attack and the diffusion attack; this run has no "
                    "two of them.",
                )
            )
        ]
    yield Section("The paper's claims, as measured here", "claims", tuple(blocks), entry="Claims")


def claims_tables(subject: Subject) -> dict[str, Table]:
    """Return the claims by editor, for those that there are any of: a row per metric, a column per claim."""
    editors = [editor for editor in subject.result.editors if _claims_under(subject, editor)]
    tables = without_repeated_notes([_claims_table(subject, editor) for editor in editors], set())
    return dict(zip(editors, tables, strict=True))


def _claims_under(subject: Subject, editor: str) -> list[ClaimOutcome]:
    return [claim for claim in subject.gate.claims if claim.editor == editor]


def _claims_table(subject: Subject, editor: str) -> Table:
    claims = _claims_under(subject, editor)
    names = list(dict.fromkeys(_short_name(claim) for claim in claims))
    metrics = list(dict.fromkeys(claim.metric for claim in claims))
    found = {(claim.metric, _short_name(claim)): claim for claim in claims}
    rows = tuple(
        Row((Cell(metric_label(subject.result, metric)), *(_claim_cell(found.get((metric, name))) for name in names)))
        for metric in metrics
    )
    statements = {_short_name(claim): claim.statement for claim in claims}
    notes = (NOTE_CLAIMS, *(f"{name}: {statement}." for name, statement in statements.items()))
    header = (Column("Metric", numeric=False), *(Column(name) for name in names))
    return Table("Claims of the paper with their margins", header, rows, notes)


def _short_name(claim: ClaimOutcome) -> str:
    return claim.id.partition("/")[0].replace("-", " ")


def _claim_cell(claim: ClaimOutcome | None) -> Cell:
    if claim is None:
        return Cell(MISSING)
    decimals = decimals_for([claim.margin])
    margin = number(claim.margin, decimals, signed=True)
    if claim.standard_error is not None:
        margin += f" ± {number(claim.standard_error, decimals)}"
    return Cell(f"{'✓' if claim.holds else '✗'} {margin}", verdict=claim.verdict)
