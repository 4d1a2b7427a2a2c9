"""The report as Markdown: what the page has, with a few of its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from photoguard_eval.reports.cells import without_repeated_notes
from photoguard_eval.reports.naming import editor_text, reroll_notes
from photoguard_eval.reports.rendering import escape_markdown, render_markdown
from photoguard_eval.reports.tables import editor_tables
from photoguard_eval.reports.verdicts import (
    claims_summary,
    claims_table,
    failed_thresholds,
    gate_verdict,
    thresholds_table,
)
from photoguard_eval.results.facts import ModelInfo
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult

READING = (
    "Every image is edited twice with the same prompt and the same random seed: once as it is, once immunized. The "
    "less the two edits resemble each other, the better the image is protected. Random noise of the same size is the "
    "floor that an attack has to beat."
)

SHEET = (
    "Some cases, spread over the dataset whatever their scores: each image as it is published, and beside it the edit "
    "that is made of it."
)


def markdown_report(
    result: EvaluationResult,
    gate: GateReport,
    *,
    figure: str,
    tradeoffs: Mapping[str, str],
    sheets: Mapping[str, str],
    paper_rows: bool,
) -> str:
    """Render the report as Markdown.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        figure: File name of Figure 7, beside the report; "" if there is none.
        tradeoffs: File names of the figures of protection against visibility, by editor.
        sheets: File names of the contact sheets, by editor.
        paper_rows: Whether the paper's own rows stand beside the measured ones.
    """
    parts = [*_head(result, gate), READING, *reroll_notes(result.rerolls)]
    seen: set[str] = set()
    for editor in result.editors:
        text = editor_text(editor)
        parts += [f"## {escape_markdown(text.title)}", escape_markdown(text.explanation)]
        parts += [render_markdown(table) for table in editor_tables(result, editor, paper_rows=paper_rows)]
        claims = without_repeated_notes([claims_table(result, gate, editor)], seen)
        parts += [render_markdown(table) for table in claims if table.rows]
        if editor in sheets:
            title = f"Images and their edits, without and with immunization, {escape_markdown(text.title)}"
            parts += ["### Pictures", SHEET, f"![{title}]({quote(sheets[editor])})"]
    if figure:
        parts += [
            "## Figure 7: similarity of edit and prompt",
            "Bars are means, error bars the interquartile range over the cases.",
            f"![Mean CLIP similarity of edits and prompts]({quote(figure)})",
        ]
    for editor, name in tradeoffs.items():
        title = escape_markdown(editor_text(editor).title)
        parts += [f"## What protection costs the image: {title}"]
        parts += [f"![SSIM of the edits over the visibility of the perturbation, {title}]({quote(name)})"]
    parts += [render_markdown(claims_summary(gate), "##")] if gate.claims else []
    broken = failed_thresholds(gate)
    parts += [render_markdown(thresholds_table(result, broken), "##")] if broken else []
    parts += ["## Provenance", "\n".join(_provenance(result))]
    return "\n\n".join(parts) + "\n"


def _head(result: EvaluationResult, gate: GateReport) -> list[str]:
    verdict = gate_verdict(gate)
    names = [escape_markdown(name) for name in (result.model.name, result.dataset.name, result.preset)]
    head = [
        f"# Leaderboard: {names[0]}, {names[1]}, preset {names[2]}",
        f"{result.dataset.n} cases, {result.provenance.started}, photoguard-eval {result.provenance.package_version}.",
        f"**{escape_markdown(verdict.headline)}** {escape_markdown(' '.join(verdict.details))}",
    ]
    stopped = [f"Stopped: {failure.attack} ({failure.editor}): {failure.error}" for failure in gate.failures]
    return [*head, *map(escape_markdown, stopped)]


def _provenance(result: EvaluationResult) -> list[str]:
    model, dataset, provenance = result.model, result.dataset, result.provenance
    facts = {
        "Command": provenance.command,
        "Model": ", ".join([f"{model.name}, {model.kind}, {model.dtype} on {model.device}", *_model_options(model)]),
        "Changed settings": ", ".join(result.changed_settings),
        "Revision": model.revision,
        "Weights, SHA-256": model.weights_sha256,
        "Dataset, SHA-256": dataset.sha256,
        "Seeds": f"{dataset.seeds}; everything else from seed {provenance.seed}",
        **{f"Editor {name}": _settings(settings) for name, settings in result.editors.items()},
        **{
            f"Attack {method.attack.label}": f"{_settings(method.attack.arguments)}; {method.attack.source}"
            for method in result.methods
            if method.attack is not None
        },
        **{metric.label: f"{metric.source}; {metric.extractor}" for metric in result.metrics if metric.extractor},
        "Machine": f"{provenance.platform}, Python {provenance.python}, {provenance.threads} threads, "
        f"batches of {provenance.batch_size}, {provenance.seconds:.0f} s",
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(provenance.libraries.items())),
    }
    return [f"- {escape_markdown(name)}: {escape_markdown(text)}" for name, text in facts.items() if text]


def _model_options(model: ModelInfo) -> list[str]:
    options = {
        "autoencoder in tiles": model.vae_tiling,
        "text encoders on the processor": model.cpu_offload,
        "compiled": model.compiled,
    }
    return [name for name, used in options.items() if used]


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
