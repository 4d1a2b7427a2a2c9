"""Statistics over cases."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

SET_METRIC_SHARE = 0.1
"""How far a set metric may move between processors, as a share of its value."""

SET_METRIC_FLOOR = 0.02
"""How far at least."""


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str]
) -> tuple[float, float | None]:
    """Return the mean of first − second over the cases and its standard error.

    The prompts of an image share its perturbation, so that only images are independent: the error is that of a sample
    of clusters (Liang and Zeger 1986, with the correction G / (G − 1) for few of them). With as many prompts for every
    image it is the standard error of the images' means.

    Args:
        first: One value per case.
        second: Values of the same cases in the same order.
        groups: The image of each case.

    Returns:
        Mean and standard error; the latter is None where there is a single image: nothing is known of other images.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = statistics.fmean(differences)
    totals: dict[str, float] = {}
    for group, difference in zip(groups, differences, strict=True):
        totals[group] = totals.get(group, 0.0) + difference - mean
    if len(totals) < 2:
        return mean, None
    variance = len(totals) / (len(totals) - 1) * math.fsum(total**2 for total in totals.values())
    return mean, math.sqrt(variance) / len(differences)


def paired_p_value(first: Sequence[float], second: Sequence[float], groups: Sequence[str]) -> float:
    """Test whether `first` lies above `second`: the one-sided Wilcoxon signed-rank test over the images.

    As in `paired_difference` only images are independent: each counts once, with the mean over its prompts.

    Args:
        first: One value per case.
        second: Values of the same cases in the same order.
        groups: The image of each case.

    Returns:
        The p-value, not corrected for other tests; no smaller than 2⁻ⁿ for n images, and 1 where nothing differs.
    """
    from scipy.stats import wilcoxon

    by_image: dict[str, list[float]] = {}
    for group, a, b in zip(groups, first, second, strict=True):
        by_image.setdefault(group, []).append(a - b)
    differences = [statistics.fmean(own) for own in by_image.values()]
    if not any(differences):
        return 1.0
    return float(wilcoxon(differences, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number: of all findings, one is false no likelier than each claims (Holm 1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        corrected[index] = largest
    return corrected


def set_metric_uncertainty(value: float) -> float:
    """Return how far a value over so few images, which has no standard error, may move between processors."""
    return max(SET_METRIC_SHARE * abs(value), SET_METRIC_FLOOR)


def ranks(values: Sequence[float]) -> list[float]:
    """Rank values from the smallest, 1; equal ones share the mean of their ranks."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def concordance(rankings: Sequence[Sequence[float]]) -> float:
    """Return Kendall's coefficient of concordance W, corrected for ties, in [0, 1] (Kendall and Smith 1939).

    Args:
        rankings: At least two rankings of the same items, as `ranks` gives them, none of which has all items equal.
    """
    judges, items = len(rankings), len(rankings[0])
    totals = [sum(own) for own in zip(*rankings, strict=True)]
    spread: float = sum((total - judges * (items + 1) / 2) ** 2 for total in totals)
    ties = sum(own.count(rank) ** 2 - 1 for own in map(list, rankings) for rank in own)
    return 12 * spread / (judges**2 * (items**3 - items) - judges * ties)
