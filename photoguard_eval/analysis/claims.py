"""The paper's claims, each with the margin by which a result supports it.

From Section 4.2 and Appendix C.1: edits of immunized images are less similar to the edits of the originals than
edits of images with random noise are; the diffusion attack leaves them less similar than the encoder attack; and it
lowers the similarity of the edit to the prompt. Attacks are compared at equal budgets, as the paper's are.

The seeds of the edits were chosen so that the originals' edits follow the prompt well. The mean of these edits is
therefore too high, and any other edit falls behind it by regression to the mean. So the last claim compares with edits
of the originals whose seeds no search has chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from photoguard_eval.analysis.rows import is_of_the_preset, rows_of_attack
from photoguard_eval.analysis.statistics import paired_difference, set_metric_uncertainty
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.outcomes import ClaimOutcome
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

SIMILARITY_TABLES = ("6", "10")

PAPER_MODELS = (
    "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
)
"""Checkpoints of the model that the paper's figures are of."""

PAPER_PRESET = "paper"

PAPER_EDITOR = "inpaint"
"""The editor that the paper's tables are about."""

PAPER_EXTRACTOR = "inception"
"""What the paper's set metrics are computed from."""


@dataclass(frozen=True)
class Comparison:
    """One of the paper's orderings: the edits under `stronger` are less similar than those under `weaker`."""

    id: str
    statement: str
    stronger: str
    weaker: str


COMPARISONS = (
    Comparison(
        "encoder-beats-noise",
        "The encoder attack leaves the edit less similar to the original's edit than random noise does",
        "encoder",
        "noise",
    ),
    Comparison(
        "diffusion-beats-noise",
        "The diffusion attack leaves the edit less similar to the original's edit than random noise does",
        "diffusion",
        "noise",
    ),
    Comparison(
        "diffusion-beats-encoder",
        "The diffusion attack leaves the edit less similar to the original's edit than the encoder attack does",
        "diffusion",
        "encoder",
    ),
)

PROMPT_CLAIM = "diffusion-lowers-unselected-prompt-similarity"
PROMPT_STATEMENT = (
    "The diffusion attack lowers the similarity of the edit to the prompt, measured against edits of the unprotected "
    "image with another seed"
)


def evaluate_claims(
    result: EvaluationResult, held_in_baseline: Mapping[str, bool] | None = None
) -> tuple[ClaimOutcome, ...]:
    """Measure every claim that a result has the rows for.

    Args:
        result: The result of an evaluation.
        held_in_baseline: Which claims held when the baseline was blessed, by id; None without a baseline.

    Returns:
        One outcome per claim, metric and editor, in the order of the report.
    """
    held = held_in_baseline or {}
    # They are about images that nobody purified.
    bare = result.parts[0]
    outcomes = [*_similarity_claims(bare), *_prompt_claims(bare)]
    printed = _metrics_of_the_paper(result) if is_paper_setting(result) else ()
    return tuple(
        outcome.model_copy(
            update={
                "held_in_baseline": held.get(outcome.id),
                "required": outcome.editor == PAPER_EDITOR and outcome.metric in printed,
            }
        )
        if outcome.of_the_preset
        else outcome
        for outcome in outcomes
    )


def _metrics_of_the_paper(result: EvaluationResult) -> tuple[str, ...]:
    """Return the metrics that a result has as the paper printed them."""
    return tuple(
        metric.name
        for metric in result.metrics
        if metric.printed and (metric.kind != "distribution" or PAPER_EXTRACTOR in metric.extractor)
    )


def is_paper_setting(result: EvaluationResult) -> bool:
    """Tell whether a result is of the paper's model and settings, so that its orderings must come out.

    The images differ: the paper's were not released. So its values are no thresholds, only their order is.
    """
    return result.preset == PAPER_PRESET and result.model.name in PAPER_MODELS and not result.changed_settings


def claim_id(claim: str, metric: str, editor: str) -> str:
    """Return the stable name of a claim about a metric under an editor."""
    return f"{claim}/{metric}/{editor}"


def _similarity_claims(result: EvaluationResult) -> Iterator[ClaimOutcome]:
    for editor in result.editors:
        for comparison in COMPARISONS:
            rows = _rows_at_one_budget(result, editor, comparison)
            if rows is None:
                continue
            for metric in result.metrics:
                if metric.table in SIMILARITY_TABLES:
                    yield _outcome(result, comparison.id, comparison.statement, metric, *rows)


def _prompt_claims(result: EvaluationResult) -> Iterator[ClaimOutcome]:
    for editor in result.editors:
        diffusion, reroll = rows_of_attack(result, editor, "diffusion"), result.reroll(editor)
        if not diffusion or reroll is None:
            continue
        for metric in result.metrics:
            if metric.table == "figure 7":
                yield _outcome(result, PROMPT_CLAIM, PROMPT_STATEMENT, metric, diffusion[0], reroll)


def _rows_at_one_budget(
    result: EvaluationResult, editor: str, comparison: Comparison
) -> tuple[ResultRow, ResultRow] | None:
    """Return the rows that a comparison is about, the stronger first; None where no two have the same budget."""
    weaker = rows_of_attack(result, editor, comparison.weaker)
    pairs = ((own, other) for own in rows_of_attack(result, editor, comparison.stronger) for other in weaker)
    return next((pair for pair in pairs if pair[0].id.budget == pair[1].id.budget), None)


def _outcome(
    result: EvaluationResult,
    claim: str,
    statement: str,
    metric: MetricInfo,
    stronger: ResultRow,
    weaker: ResultRow,
) -> ClaimOutcome:
    """Measure by how much `stronger` is less similar than `weaker`, and how much of that may be chance.

    The edits of a single image say nothing of other images, whatever the metric: then the chance is not known.
    """
    sign = 1.0 if metric.higher_is_more_similar else -1.0
    images = [case.image_id for case in result.cases]
    error: float | None = None
    uncertainty: float | None = None
    if metric.kind == "distribution":
        values = [row.metrics[metric.name].mean for row in (weaker, stronger)]
        difference = values[0] - values[1]
        if len(set(images)) > 1:
            uncertainty = sum(set_metric_uncertainty(value) for value in values)
    else:
        difference, error = paired_difference(
            [case.scores[metric.name] for case in weaker.cases],
            [case.scores[metric.name] for case in stronger.cases],
            images,
        )
        uncertainty = error
    return ClaimOutcome(
        id=claim_id(claim, metric.name, stronger.editor),
        statement=statement,
        editor=stronger.editor,
        metric=metric.name,
        margin=sign * difference,
        standard_error=error,
        uncertainty=uncertainty,
        holds=sign * difference > 0,
        held_in_baseline=None,
        of_the_preset=is_of_the_preset(stronger) and is_of_the_preset(weaker),
    )
