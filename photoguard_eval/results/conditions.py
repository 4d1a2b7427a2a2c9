"""Under which conditions a result was measured: two are compared only where all of them are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.schema import EvaluationResult


class Conditions(BaseModel):
    """What a baseline and a result that is compared with it must share.

    Attributes:
        model: Name of the model.
        weights_sha256: Hash of its weights.
        dataset: Name of the dataset.
        dataset_sha256: Hash of the dataset.
        preset: Name of the preset.
        n: Number of cases.
        cases: Their ids; None where an earlier version recorded the baseline.
        attack_seed: The seed of everything random but the edits; None likewise.
        edit_seeds: For each editor the seed of every case; None likewise.
        editors: Settings of each editor.
        extractors: Feature extractor or text model of each metric that uses one.
        plugins: Where each metric comes from that is not of this package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    weights_sha256: str
    dataset: str
    dataset_sha256: str
    preset: str
    n: int
    cases: tuple[str, ...] | None
    attack_seed: int | None
    edit_seeds: dict[str, tuple[int, ...]] | None
    editors: dict[str, dict[str, Any]]
    extractors: dict[str, str]
    plugins: dict[str, str] = {}


def conditions_of(
    result: EvaluationResult, metrics: Iterable[MetricInfo], editors: Iterable[str] | None = None
) -> Conditions:
    """Return the conditions of a result.

    Args:
        result: The result of an evaluation.
        metrics: Those of its metrics that are compared.
        editors: Those of its editors whose rows are compared; by default all.
    """
    metrics = tuple(metrics)
    editors = tuple(result.editors if editors is None else editors)
    return Conditions(
        model=result.model.name,
        weights_sha256=result.model.weights_sha256,
        dataset=result.dataset.name,
        dataset_sha256=result.dataset.sha256,
        preset=result.preset,
        n=result.dataset.n,
        cases=tuple(case.id for case in result.cases),
        attack_seed=result.provenance.seed,
        edit_seeds={editor: tuple(case.seed[editor] for case in result.cases) for editor in editors},
        editors={editor: dict(result.editors[editor]) for editor in editors},
        extractors={metric.name: metric.extractor for metric in metrics if metric.extractor},
        plugins={metric.name: metric.plugin for metric in metrics if metric.plugin},
    )


def differing_condition(recorded: Conditions, measured: Conditions) -> str:
    """Say which condition differs, and how; "" where none does.

    What an earlier version did not record counts as the same. Of editors those count that were recorded: another one,
    such as that of an installed package, has rows of its own, which are not compared. Of extractors and plug-ins those
    count whose metric both sides have: a metric that one side lacks is not compared, or is missed elsewhere.
    """
    edits = {name: settings for name, settings in measured.editors.items() if name in recorded.editors}
    plain = {
        "model": (recorded.model, measured.model),
        "weights": (recorded.weights_sha256, measured.weights_sha256),
        "dataset": (recorded.dataset, measured.dataset),
        "dataset's content": (recorded.dataset_sha256, measured.dataset_sha256),
        "preset": (recorded.preset, measured.preset),
        "number of cases": (recorded.n, measured.n),
        "choice of cases": (recorded.cases, measured.cases),
        "seed of the attacks": (recorded.attack_seed, measured.attack_seed),
        "setting of the edits": (recorded.editors, edits),
        "feature extractor": _of_shared_metrics(recorded.extractors, measured.extractors),
        "version of a metric": _of_shared_metrics(recorded.plugins, measured.plugins),
    }
    for name, (was, now) in plain.items():
        if was is not None and was != now:
            return f"{name}: {was}, this run has {now}"
    return _differing_edit_seed(recorded.edit_seeds or {}, measured.edit_seeds or {}, measured.cases or ())


def _of_shared_metrics(recorded: Mapping[str, str], measured: Mapping[str, str]) -> tuple[object, object]:
    shared = [name for name in recorded if name in measured and recorded[name] != measured[name]]
    return {name: recorded[name] for name in shared}, {name: measured[name] for name in shared}


def _differing_edit_seed(
    recorded: Mapping[str, Sequence[int]], measured: Mapping[str, Sequence[int]], cases: Sequence[str]
) -> str:
    for editor, seeds in recorded.items():
        triples = zip(cases, seeds, measured.get(editor, ()), strict=True)
        others = [(case, was, now) for case, was, now in triples if was != now]
        if others:
            case, was, now = others[0]
            return (
                f"seed of the edits under {editor}, in {len(others)} of {len(cases)} cases: {was} for {case}, this run "
                f"has {now}"
            )
    return ""
