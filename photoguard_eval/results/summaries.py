"""A metric over the cases, as the paper's tables and figures sum it up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from photoguard_eval.results.rows import Summary


def summarize(values: Sequence[float]) -> Summary:
    """Summarise a metric over cases: mean and standard deviation as in Tables 6 and 10, quartiles as in Figure 7.

    A single case has no standard deviation.
    """
    ordered = sorted(values)
    return Summary(
        mean=statistics.fmean(ordered),
        std=statistics.stdev(ordered) if len(ordered) > 1 else None,
        first_quartile=quantile(ordered, 0.25),
        median=quantile(ordered, 0.5),
        third_quartile=quantile(ordered, 0.75),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Interpolate a quantile linearly between the neighbouring order statistics.

    Args:
        ordered: Values in ascending order, at least one.
        share: In [0, 1]; 0.5 is the median.
    """
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
