"""Under what a result was measured, so that it can be measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from photoguard_eval.analysis.rows import attacks_of
from photoguard_eval.reports.document import Code, Facts, Section
from photoguard_eval.reports.naming import budget_text
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.facts import AttackInfo, MetricInfo, ModelInfo
from photoguard_eval.results.rows import Budget
from photoguard_eval.results.schema import EvaluationResult


def provenance_in_short(subject: Subject) -> Iterator[Section]:
    """Say what a reader needs to run the evaluation again."""
    result = subject.result
    model, dataset, provenance = result.model, result.dataset, result.provenance
    facts = {
        "Command": provenance.command,
        "Model": ", ".join([f"{model.name}, {model.kind}, {model.dtype} on {model.device}", *_model_options(model)]),
        "Changed settings": ", ".join(result.changed_settings),
        "Revision": model.revision,
        "Weights, SHA-256": model.weights_sha256,
        "Dataset, SHA-256": dataset.sha256,
        "Seeds": f"{dataset.seeds}; everything else from seed {provenance.seed}",
        **{f"Editor {name}": _as_json(settings) for name, settings in result.editors.items()},
        **{
            f"Attack {attack.label}": f"{_with_budgets(_as_json(attack.arguments), budgets)}; {attack.source}"
            for attack, budgets in attacks_of(result)
        },
        **{metric.label: f"{metric.source}; {metric.extractor}" for metric in result.metrics if metric.extractor},
        **_machine(result),
    }
    yield Section("Provenance", "provenance", (Facts(tuple((name, text) for name, text in facts.items() if text)),))


def provenance(subject: Subject) -> Iterator[Section]:
    """Say everything that the result knows of how it came about."""
    result = subject.result
    model, dataset = result.model, result.dataset
    revision = f", revision {model.revision}" if model.revision else ""
    facts = (
        ("Command", Code(result.provenance.command)),
        ("Evaluation", result.id),
        ("Model", f"{model.name}{revision}; SHA-256 of the weights {model.weights_sha256}"),
        ("Dataset", f"{dataset.name}; SHA-256 {dataset.sha256}"),
        ("Seeds of the edits", dataset.seeds),
        ("Other randomness", f"seed {result.provenance.seed}"),
        *((f"Editor {name}", _as_text(settings)) for name, settings in result.editors.items()),
        *((f"Attack {attack.label}", _attack(attack, budgets)) for attack, budgets in attacks_of(result)),
        *((metric.label, _metric(metric)) for metric in result.metrics if metric.subject == "edit"),
        *_machine(result).items(),
    )
    yield Section("Provenance", "provenance", (Facts(facts),), entry="Provenance")


def _attack(attack: AttackInfo, budgets: Sequence[Budget]) -> str:
    paper = f"; {attack.paper}" if attack.paper else ""
    arguments = _with_budgets(_as_text(attack.arguments), budgets)
    return f"{arguments}; from {attack.source}{paper}; SHA-256 of the code {attack.fingerprint}"


def _with_budgets(arguments: str, budgets: Sequence[Budget]) -> str:
    return f"budget {' and '.join(map(budget_text, budgets))}{', ' if arguments else ''}{arguments}"


def _metric(metric: MetricInfo) -> str:
    return f"{metric.source}; measured with {metric.extractor}" if metric.extractor else metric.source


def _machine(result: EvaluationResult) -> dict[str, str]:
    provenance = result.provenance
    return {
        "Machine": f"{provenance.platform}, Python {provenance.python}, {provenance.threads} threads, "
        f"batches of {provenance.batch_size}, {provenance.seconds:.0f} s",
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(provenance.libraries.items())),
    }


def _model_options(model: ModelInfo) -> list[str]:
    options = {
        "autoencoder in tiles": model.vae_tiling,
        "text encoders on the processor": model.cpu_offload,
        "compiled": model.compiled,
    }
    return [name for name, used in options.items() if used]


def _as_json(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())


def _as_text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())
