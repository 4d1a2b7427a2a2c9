"""The paper's effect on an embedded checkpoint: how far edits move, with bootstrap intervals over images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from scipy.stats import bootstrap
from tabulate import tabulate

from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

METRICS = ("ssim", "psnr", "vifp", "fsim", "region_ssim", "region_psnr", "clip_similarity")

RESAMPLES = 5000


def describe_effect(result: EvaluationResult) -> str:
    """Return a table: a row for each attack and editor, each metric's mean with its 95 % interval."""
    image_of = {case.id: case.image_id for case in result.cases}
    rows = []
    for row in result.rows:
        cells = [_cell(row, metric, image_of) for metric in METRICS]
        rows.append([row.editor, row.label, *cells])
    header = f"{result.model.name}, {result.dataset.name}, {result.preset}, n = {len(result.cases)}"
    return f"{header}\n{tabulate(rows, headers=['editor', 'row', *METRICS])}"


def _cell(row: ResultRow, metric: str, image_of: dict[str, str]) -> str:
    if any(metric not in case.scores for case in row.cases):
        return ""
    by_image = defaultdict(list)
    for case in row.cases:
        by_image[image_of[case.case_id]].append(case.scores[metric])
    mean, low, high = mean_and_interval([fmean(scores) for scores in by_image.values()])
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by the percentile bootstrap, which is defined for constant values too.

    Args:
        values: One for each image; the prompts of an image are no independent cases.
    """
    mean = fmean(values)
    if len(values) < 2:
        return mean, mean, mean
    found = bootstrap(
        (np.asarray(values),), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)
