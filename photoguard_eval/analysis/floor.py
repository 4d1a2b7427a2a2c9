"""How far attacks lie from random noise of their budget: by how many metrics, and by how much."""

from __future__ import annotations

from collections.abc import Sequence

from photoguard_eval.analysis.rows import is_floor
from photoguard_eval.analysis.statistics import holm, paired_difference, paired_p_value
from photoguard_eval.analysis.values import Value
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult

PROTECTION = "ssim"
"""The metric by which a size of protection is said where one must do."""

CLEARLY = 2
"""How many standard errors a difference must have to be called clear."""

LEVEL = 0.05
"""By each metric, the chance that any attack that is no better than noise is called better."""


class AgainstNoise(Value):
    """A row beside random noise of the same budget.

    Attributes:
        metric: The metric of the difference.
        difference: Mean over the cases of the row's value less the noise's; below zero the edits are less similar.
        standard_error: Its standard error over the images; None for a single image.
        share_of_reroll: The difference as a share of the re-roll's: at 1 the row changes an edit as much as another
            seed does. None without a re-roll, or where that is not clearly less similar than the noise itself.
        beaten: By how many metrics the row is clearly less similar than the noise; None where that cannot be known, and
            for the re-roll.
        tested: Of how many.
    """

    metric: str = PROTECTION
    difference: float
    standard_error: float | None
    share_of_reroll: float | None
    beaten: int | None = None
    tested: int = 0


def against_noise(
    result: EvaluationResult,
    metrics: Sequence[MetricInfo],
    rows: Sequence[ResultRow],
    reroll: ResultRow | None = None,
) -> dict[RowId, AgainstNoise]:
    """Compare rows with random noise.

    Args:
        result: Names the images of the cases.
        metrics: Those that are counted; metrics of sets are left out.
        rows: Rows of one editor and one budget.
        reroll: The editor's row of unprotected images that were edited with another seed.

    Returns:
        By the rows' ids, the re-roll's included; without the noise itself, and empty where that is missing.
    """
    floor = next(filter(is_floor, rows), None)
    if floor is None:
        return {}
    others = [row for row in rows if row is not floor]
    reference = None if reroll is None else _difference(result, reroll, floor)
    counts = _beaten(result, metrics, floor, others)
    found = {}
    for row in (*others, *([reroll] if reroll is not None else [])):
        measured = _difference(result, row, floor)
        if measured is not None:
            beaten, tested = counts.get(row.id, (None, 0))
            found[row.id] = AgainstNoise(
                difference=measured[0],
                standard_error=measured[1],
                share_of_reroll=_share(measured, reference),
                beaten=beaten,
                tested=tested,
            )
    return found


def _difference(result: EvaluationResult, row: ResultRow, floor: ResultRow) -> tuple[float, float | None] | None:
    """Return the mean paired difference of a row's protection to the noise's and its standard error."""
    if any(PROTECTION not in case.scores for shown in (row, floor) for case in shown.cases):
        return None
    own, noise = ([case.scores[PROTECTION] for case in shown.cases] for shown in (row, floor))
    return paired_difference(own, noise, [case.image_id for case in result.cases])


def _share(measured: tuple[float, float | None], reference: tuple[float, float | None] | None) -> float | None:
    if reference is None or reference[1] is None or reference[0] > -CLEARLY * reference[1] or not reference[0]:
        return None
    return measured[0] / reference[0]


def _beaten(
    result: EvaluationResult, metrics: Sequence[MetricInfo], floor: ResultRow, others: Sequence[ResultRow]
) -> dict[RowId, tuple[int, int]]:
    """Count for each row by how many of how many metrics it beats the noise; nothing where that cannot be known."""
    images = [case.image_id for case in result.cases]
    tested = [metric for metric in metrics if metric.kind != "distribution"]
    # With so few images even the smallest p-value there is would be too large after the correction.
    if not tested or not others or len(others) * 2.0 ** -len(set(images)) > LEVEL:
        return {}
    findings = []
    for metric in tested:
        sign = 1.0 if metric.higher_is_more_similar else -1.0
        noise, *scores = [[sign * case.scores[metric.name] for case in row.cases] for row in (floor, *others)]
        findings.append([p <= LEVEL for p in holm([paired_p_value(noise, own, images) for own in scores])])
    counts = [sum(own) for own in zip(*findings, strict=True)]
    return {row.id: (count, len(tested)) for row, count in zip(others, counts, strict=True)}
