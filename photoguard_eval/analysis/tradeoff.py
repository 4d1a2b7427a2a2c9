"""Protection against what it costs the image: over the budget, and over how much of the perturbation can be seen."""

from __future__ import annotations

from photoguard_eval.analysis.floor import PROTECTION
from photoguard_eval.analysis.rows import attack_rows, by_attack, is_floor, levels_of
from photoguard_eval.analysis.values import Value
from photoguard_eval.results.rows import ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult

IMPERCEPTIBILITY = f"immunized_{PROTECTION}"
"""The metric by which the visibility of a perturbation is said."""


class Point(Value):
    """A row as a point.

    Attributes:
        id: The row.
        levels: Its budget in levels of 255.
        protection: Mean similarity of the edits; a lower one is a better protection.
        imperceptibility: Mean similarity of the immunized image to the original; a higher one is less visible.
    """

    id: RowId
    levels: float
    protection: float
    imperceptibility: float


class Family(Value):
    """An attack with the same arguments but for the size of its budget.

    Attributes:
        is_floor: Whether it is random noise.
        points: From the smallest budget to the largest; at least one.
    """

    is_floor: bool
    points: tuple[Point, ...]


class Tradeoff(Value):
    """What protection costs under one editor.

    Attributes:
        editor: The editor.
        families: Those whose images and edits were both measured.
        reroll: How similar another seed leaves the edit of the unprotected image; None where that was not measured.
    """

    editor: str
    families: tuple[Family, ...]
    reroll: float | None = None


def tradeoff(result: EvaluationResult, editor: str) -> Tradeoff:
    """Collect what protection costs the image under one editor, by attack and budget, in the first part of a result.

    Args:
        result: The result of an evaluation.
        editor: Name of the editor.
    """
    result = result.parts[0]
    measured = [row for row in attack_rows(result, editor) if {PROTECTION, IMPERCEPTIBILITY} <= set(row.metrics)]
    reroll = result.reroll(editor)
    summary = None if reroll is None else reroll.metrics.get(PROTECTION)
    return Tradeoff(
        editor=editor,
        families=tuple(
            Family(is_floor=is_floor(rows[0]), points=tuple(map(_point, rows))) for rows in by_attack(measured)
        ),
        reroll=None if summary is None else summary.mean,
    )


def _point(row: ResultRow) -> Point:
    return Point(
        id=row.id,
        levels=levels_of(row),
        protection=row.metrics[PROTECTION].mean,
        imperceptibility=row.metrics[IMPERCEPTIBILITY].mean,
    )
