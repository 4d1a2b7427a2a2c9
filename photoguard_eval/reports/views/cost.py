"""What it costs to immunize an image."""

from __future__ import annotations

from collections.abc import Iterator

from photoguard_eval.analysis.rows import attack_rows, is_of_the_preset, rows_of_attack
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.naming import MISSING, number, row_titles
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.rows import ResultRow

UNIT = "encoder"
"""The attack, with the arguments that the preset gives it, in whose seconds those of others are shown."""


def cost_table(subject: Subject, editor: str) -> Iterator[Table]:
    """Make a table of what each attack cost."""
    result = subject.result
    rows = attack_rows(result, editor)
    header = (
        Column("Method", numeric=False),
        Column("Seconds"),
        Column(f"× {UNIT}"),
        Column("Gradient evaluations"),
        Column("UNet calls"),
        Column("Encoder calls"),
        Column("Peak memory, MiB"),
        Column("Batch size"),
    )
    unit = _seconds_of_the_unit(subject, editor)
    shown = tuple(
        Row((Cell(title), *_cost_cells(row, unit))) for title, row in zip(row_titles(rows), rows, strict=True)
    )
    notes = (
        f"Mean over the images, on {result.model.device} in {result.model.dtype}. Peak memory is a whole batch's. "
        f"Seconds were measured by the run that made the images; × {UNIT} divides them by those of the attack "
        f"{UNIT}, which says more than seconds where the same run made both.",
    )
    yield Table("Cost of immunizing one image", header, shown, notes)


def _seconds_of_the_unit(subject: Subject, editor: str) -> float | None:
    of_the_preset = filter(is_of_the_preset, rows_of_attack(subject.result, editor, UNIT))
    return next((row.cost.seconds for row in of_the_preset if row.cost is not None), None)


def _cost_cells(row: ResultRow, unit: float | None) -> tuple[Cell, ...]:
    cost = row.cost
    if cost is None:
        return (Cell(MISSING),) * 7
    calls = (cost.gradient_evaluations, cost.unet_calls, cost.encoder_calls)
    return (
        Cell(number(cost.seconds, 3 if cost.seconds < 1 else 1)),
        Cell(number(cost.seconds / unit, 2) if unit else MISSING),
        *(Cell(f"{value:.0f}") for value in calls),
        Cell(f"{cost.peak_memory_mib:.0f}"),
        Cell(str(cost.batch_size)),
    )
