"""A result as a table with one line for each case of each row, for pandas or polars."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

FrameLibrary = Literal["pandas", "polars"]


def records_of(result: EvaluationResult) -> list[dict[str, Any]]:
    """Return one record for each case of each row, references included.

    Each has the row's axes (`attack`, `budget`, `purification`, `editor`, `model`, `seeds`), the `case`, its `image`,
    `prompt` and `seed`, the size of the perturbation (`linf_levels`, `rms_levels`) and the score by each metric that
    has one for every case; a row without one has None there.

    Args:
        result: The result of an evaluation.
    """
    scored = [metric.name for metric in result.metrics if metric.kind != "distribution"]
    return [record for row in result.rows for record in _records(result, row, scored)]


def frame_of(result: EvaluationResult, library: FrameLibrary = "pandas") -> Any:
    """Return the records of a result as a data frame.

    Args:
        result: The result of an evaluation.
        library: Whose data frame.

    Raises:
        ConfigurationError: If the library is not installed.
    """
    if library not in ("pandas", "polars"):
        raise ConfigurationError(f"There are data frames of pandas and of polars, and not of {library!r}.")
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        raise ConfigurationError(
            f"A data frame needs {library}, which is not installed ({error}). Install it: pip install "
            f"'photoguard-eval[{library}]'."
        ) from error
    return module.DataFrame(records_of(result))


def _records(result: EvaluationResult, row: ResultRow, scored: list[str]) -> list[dict[str, Any]]:
    axes = {
        "attack": row.label,
        "budget": None if row.id.budget is None else str(row.id.budget),
        "purification": None if row.id.purification is None else str(row.id.purification),
        "editor": row.editor,
        "model": row.id.model,
        "seeds": row.id.seeds,
    }
    return [
        {
            **axes,
            "case": info.id,
            "image": info.image_id,
            "prompt": info.prompt,
            "seed": (info.reroll_seed if row.rerolled else info.seed)[row.editor],
            "linf_levels": case.linf_levels,
            "rms_levels": case.rms_levels,
            **{name: case.scores.get(name) for name in scored},
        }
        for info, case in zip(result.cases, row.cases, strict=True)
    ]
