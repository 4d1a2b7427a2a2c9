"""Scores of an evaluation: which metrics, on which images, read from the store or computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.images.arrays import decode_png
from photoguard_eval.metrics import (
    METRICS,
    DistributionMetric,
    Metric,
    PairwiseMetric,
    PromptMetric,
    quality_scores,
)
from photoguard_eval.pipeline.artifacts import CaseScores, SetScore
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.pipeline.steps import score as step
from photoguard_eval.pipeline.steps.score import ScoredCase, ScoreInputs, Subject
from photoguard_eval.pipeline.store import Store, damaged_meanwhile
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.source_code import PACKAGE
from photoguard_eval.results.facts import MetricInfo

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Score:
    """A column of the result: a metric, applied to the edits or to the immunized images themselves.

    Attributes:
        name: Name of the column.
        plugin: The metric.
        subject: What is compared with its counterpart of the original image.
    """

    name: str
    plugin: Plugin[Metric]
    subject: Subject = "edit"

    @property
    def metric(self) -> Metric:
        """The metric itself."""
        return self.plugin.instance

    @property
    def label(self) -> str:
        """The metric's label, marked where it is about the immunized image."""
        return self.metric.label if self.subject == "edit" else f"{self.metric.label} of immunized"


def _applies(score: Score, row: Row) -> bool:
    """Tell whether a column has values for a row.

    The edits of the originals are what others are compared with, so only their similarity to the prompt is scored; so
    are their edits with another seed, but beside them. Neither has an immunized image.
    """
    if row.attack is not None:
        return True
    return isinstance(score.metric, PromptMetric) or (row.rerolled and score.subject == "edit")


class Scorer:
    """Computes the scores of rows, or reads them from the store.

    It holds the decoded images of one row at a time, beside the edits of the originals that they are compared with:
    the memory that it takes does not grow with the number of rows.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        """Take all registered metrics whose weights are there, and that there are enough cases for."""
        self._plan = plan
        self._store = store
        self._images: dict[str, torch.Tensor] = {}
        self._held: frozenset[str] = frozenset()
        self._features: dict[str, torch.Tensor] = {}
        classes = METRICS.classes().items()
        plugins = [
            METRICS.create(name)
            for name, metric in classes
            if not metric.missing() and not _needs_more(metric, len(plan.cases))
        ]
        self.scores = tuple(Score(plugin.name, plugin) for plugin in plugins) + tuple(
            Score(f"immunized_{plugin.name}", plugin, "immunized")
            for plugin in plugins
            if isinstance(plugin.instance, PairwiseMetric) and plugin.instance.compares_immunized
        )

    def metric_infos(self) -> tuple[MetricInfo, ...]:
        """Describe all columns."""
        return tuple(self._metric_info(score) for score in self.scores)

    def _metric_info(self, score: Score) -> MetricInfo:
        """Describe a column. What a metric says of edits it does not say of immunized images."""
        metric, of_edits = score.metric, score.subject == "edit"
        return MetricInfo(
            name=score.name,
            label=score.label,
            kind=metric.kind,
            subject=score.subject,
            higher_is_more_similar=metric.higher_is_more_similar,
            source=metric.source,
            extractor=self._identity(metric),
            table=metric.table if of_edits else "",
            optional=metric.weights is not None,
            scale=metric.scale,
            lower_bound=metric.lower_bound,
            upper_bound=metric.upper_bound,
            plugin="" if score.plugin.source == PACKAGE else score.plugin.source,
            settled_from=metric.settled_from if isinstance(metric, DistributionMetric) else 0,
            printed=of_edits and metric.printed,
            ranked=of_edits and metric.ranked,
            on_board=of_edits and metric.on_board,
            under_pictures=of_edits and metric.under_pictures,
            unbiased=isinstance(metric, DistributionMetric) and metric.unbiased,
        )

    def case_scores(self, row: Row, score: Score) -> list[float] | None:
        """Return a column's value for each case of a row; None where it is a set metric or does not apply."""
        if isinstance(score.metric, DistributionMetric) or not _applies(score, row):
            return None
        inputs = self.inputs(row, score)
        stored = self._store.values(inputs.key, CaseScores)
        if stored is not None and len(stored.values) != len(row.edits):
            self._store.damaged.append(inputs.key)
            stored = None
        if stored is None:
            self._hold(row)
            values = step.case_values(inputs, self._decoded, self._plan.clip, self._plan.request.batch_size)
            stored = CaseScores(values=values)
            self._store.put_values(inputs.key, stored.model_dump(mode="json"))
        return stored.values

    def set_score(self, row: Row, score: Score) -> float | None:
        """Return a set metric of a row; None where the column is no set metric or does not apply."""
        if not isinstance(score.metric, DistributionMetric) or not _applies(score, row):
            return None
        if _needs_more(type(score.metric), len(row.edits)):
            return None
        inputs = self.inputs(row, score)
        stored = self._store.values(inputs.key, SetScore)
        if stored is None:
            self._hold(row)
            stored = SetScore(value=step.set_value(inputs, self._features_of_edits))
            self._store.put_values(inputs.key, stored.model_dump(mode="json"))
        return stored.value

    def inputs(self, row: Row, score: Score) -> ScoreInputs:
        """Return what a column of a row depends on."""
        counterparts = self._plan.reference(row).edits
        reads_mask = self._plan.editors[row.editor].plugin.instance.reads_mask
        return ScoreInputs(
            column=score.name,
            metric=score.plugin,
            subject=score.subject,
            network=self._identity(score.metric),
            cases=tuple(
                ScoredCase(
                    name=task.case.id,
                    edit=task.key,
                    immunized=task.immunized,
                    counterpart=original.key,
                    original=task.inputs.original,
                    mask=task.inputs.mask if reads_mask else None,
                    prompt=task.case.prompt,
                )
                for task, original in zip(row.edits, counterparts, strict=True)
            ),
        )

    def _identity(self, metric: Metric) -> str:
        if isinstance(metric, DistributionMetric):
            return self._plan.extractor.identity
        return self._plan.clip.identity if isinstance(metric, PromptMetric) else metric.identity

    def edit_features(self, row: Row) -> torch.Tensor:
        """Return the features of a row's edits, (cases, features), that the distribution metrics compare.

        Those of an edit are computed once, whatever compares it.
        """
        self._hold(row)
        return self._features_of_edits([task.key for task in row.edits])

    def _features_of_edits(self, keys: Sequence[str]) -> torch.Tensor:
        import torch

        missing = [key for key in keys if key not in self._features]
        if missing:
            rows = self._features_of([self._decoded(key) for key in missing])
            self._features.update(zip(missing, rows, strict=True))
        return torch.stack([self._features[key] for key in keys])

    def qualities(self, row: Row) -> list[float]:
        """Return the quality of a row's edits by themselves, one per case."""
        import torch

        self._hold(row)
        edits = [self._decoded(task.key) for task in row.edits]
        scores: dict[int, float] = {}
        for batch in step.batches_of(edits, self._plan.request.batch_size):
            values = quality_scores(self._plan.clip, torch.cat([edits[index] for index in batch])).tolist()
            scores.update(zip(batch, values, strict=True))
        return [scores[index] for index in range(len(edits))]

    def original_features(self) -> torch.Tensor:
        """Return the features of the dataset's original images, one row per image."""
        return self._features_of(
            [case.image() for case in {case.image_id: case for case in self._plan.dataset.cases}.values()]
        )

    def _features_of(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        rows: dict[int, torch.Tensor] = {}
        for batch in step.batches_of(images, self._plan.request.batch_size):
            features = self._plan.extractor.features(torch.cat([images[index] for index in batch]))
            rows.update(zip(batch, features, strict=True))
        return torch.stack([rows[index] for index in range(len(images))])

    def _hold(self, row: Row) -> None:
        """Let go of all images but those that a row's scores are computed from."""
        tasks = (*row.edits, *self._plan.reference(row).edits)
        held = frozenset(key for task in tasks for key in (task.key, task.immunized))
        if held != self._held:
            self._held = held
            self._images = {key: image for key, image in self._images.items() if key in held}

    def _decoded(self, key: str) -> torch.Tensor:
        if key not in self._images:
            png = self._store.image(key)
            if png is None:
                raise damaged_meanwhile(self._store, key)
            self._images[key] = decode_png(png)
        return self._images[key]


def _needs_more(metric: type[Metric], images: int) -> bool:
    """Tell whether a metric compares larger sets of images than there are."""
    return issubclass(metric, DistributionMetric) and metric.needs_more(images)
