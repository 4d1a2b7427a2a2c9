"""The result of an evaluation, as a versioned schema.

A result holds every number that tables, figures and the gate need, and the provenance of each; images stay in the
store and are named by their keys. Models are frozen and refuse unknown fields. When the schema changes, its version
goes up and a migration from each earlier version is added, so that old files keep loading.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from photoguard_eval.results.facts import CaseInfo, DatasetInfo, FailedAttack, MetricInfo, ModelInfo, Provenance
from photoguard_eval.results.fields import Facts, Frozen, Text
from photoguard_eval.results.rows import OWN_SEEDS, REROLL, Purification, ResultRow, require_once

SCHEMA_VERSION = 2


class EvaluationResult(Frozen):
    """Everything that one evaluation found.

    Attributes:
        schema_version: See `SCHEMA_VERSION`.
        id: Hash of the plan: the same id means the same rows.
        preset: Name of the preset.
        model: The model.
        dataset: The dataset.
        editors: Settings of each editor by its name.
        changed_settings: Names of those that are not the preset's for the model.
        metrics: All metrics in the order of the paper's tables.
        cases: The cases in the dataset's order.
        rows: All rows: those of unprotected images first, and for each editor in its order.
        failures: Attacks that were stopped.
        provenance: Under what it ran.
    """

    schema_version: Literal[2] = 2
    id: Text
    preset: Text
    model: ModelInfo
    dataset: DatasetInfo
    editors: dict[Text, Facts]
    changed_settings: tuple[Text, ...] = ()
    metrics: tuple[MetricInfo, ...]
    cases: tuple[CaseInfo, ...]
    rows: tuple[ResultRow, ...]
    failures: tuple[FailedAttack, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        """Check that every row is of this evaluation's editors, cases and metrics, and is there once."""
        ids = [case.id for case in self.cases]
        require_once("case", ids)
        require_once("metric", [metric.name for metric in self.metrics])
        require_once("row", [str(row.id) for row in self.rows])
        if self.dataset.n != len(ids):
            raise ValueError(f"the dataset's n is {self.dataset.n}, and there are {len(ids)} cases")
        if [row.editor for row in self.originals if row.purification is None] != list(self.editors):
            raise ValueError("expected one row of the originals for each editor, in their order")
        names = {row.id for row in self.rows}
        for row in self.rows:
            if row.id.reference not in names:
                raise ValueError(f"the row {row.id} has no row of unprotected images to be compared with")
            if [case.case_id for case in row.cases] != ids:
                raise ValueError(f"the cases of {row.id} are not those of the evaluation, in their order")
            self._require_known_metrics(row)
        for row in self.attack_rows[1:]:
            others = set(row.metrics) ^ set(self.attack_rows[0].metrics)
            if others:
                raise ValueError(f"some rows of attacks have values of {min(others)}, others have none")
        return self

    def _require_known_metrics(self, row: ResultRow) -> None:
        per_case = {metric.name: metric.kind != "distribution" for metric in self.metrics}
        for metric, summary in row.metrics.items():
            if metric not in per_case:
                raise ValueError(f"{row.id} has values of {metric}, which is not among the metrics")
            if per_case[metric] != (summary.median is not None):
                raise ValueError(f"the summary of {metric} of {row.id} is not such as its kind of metric has")

    def select(self, **axes: Any) -> tuple[ResultRow, ...]:
        """Return the rows that have given values on some axes, in their order.

        Args:
            **axes: Values by the names of `RowId`'s fields.
        """
        return tuple(row for row in self.rows if all(getattr(row.id, axis) == value for axis, value in axes.items()))

    @property
    def parts(self) -> tuple[EvaluationResult, ...]:
        """The result taken apart by what was done to the images before they were edited; first nothing.

        Rows are compared, ranked and drawn within a part.
        """
        purifications = dict.fromkeys(row.purification for row in self.rows)
        if len(purifications) < 2:
            return (self,)
        return tuple(self.replaced(rows=self.select(purification=each)) for each in purifications)

    @property
    def purification(self) -> Purification | None:
        """What was done to the images of a part; None for nothing."""
        return self.rows[0].purification if self.rows else None

    @property
    def originals(self) -> tuple[ResultRow, ...]:
        """The rows of unprotected images, edited with the seeds that the attacks are measured with."""
        return self.select(attack=None, seeds=OWN_SEEDS)

    @property
    def rerolls(self) -> tuple[ResultRow, ...]:
        """The rows of unprotected images that were edited with other seeds; none in results of the first schema."""
        return self.select(attack=None, seeds=REROLL)

    @property
    def attack_rows(self) -> tuple[ResultRow, ...]:
        """The rows of attacks."""
        return tuple(row for row in self.rows if row.attack is not None)

    def row(self, attack_label: str, editor: str) -> ResultRow | None:
        """Return the first row of an attack under an editor, or None."""
        return next(iter(self.select(attack=attack_label, editor=editor)), None)

    def original(self, editor: str) -> ResultRow | None:
        """Return the row of the unprotected images under an editor, the first part's of several, or None."""
        return next((row for row in self.originals if row.editor == editor), None)

    def reroll(self, editor: str) -> ResultRow | None:
        """Return the row of the unprotected images that were edited with another seed, or None."""
        return next((row for row in self.rerolls if row.editor == editor), None)

    def replaced(self, **changes: Any) -> EvaluationResult:
        """Return a result with other rows or fields; nothing of it is checked again.

        Args:
            **changes: Fields by name; besides `originals`, `rerolls` and `attack_rows`, which replace these rows.
        """
        groups = ("originals", "rerolls", "attack_rows")
        if any(group in changes for group in groups):
            rows = [row for group in groups for row in changes.pop(group, getattr(self, group))]
            changes["rows"] = tuple(rows)
        return self.model_copy(update=changes)

    def metric(self, name: str) -> MetricInfo | None:
        """Return what is known of a metric, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def without_pictures(result: EvaluationResult) -> EvaluationResult:
    """Leave out the keys of images, for a result that is read where the store is not."""
    return result.model_copy(update={"rows": _without_keys(result.rows)})


def _without_keys(rows: tuple[ResultRow, ...]) -> tuple[ResultRow, ...]:
    return tuple(
        row.model_copy(
            update={
                "cases": tuple(
                    case.model_copy(update={"immunized": "", "edit": "", "purified": ""}) for case in row.cases
                )
            }
        )
        for row in rows
    )
