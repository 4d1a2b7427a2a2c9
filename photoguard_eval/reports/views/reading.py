"""What has to be known before a report is read."""

from __future__ import annotations

from collections.abc import Iterator

from photoguard_eval.reports.document import Block, Facts, Section, Strong, Text
from photoguard_eval.reports.naming import reroll_notes, trusted_notes
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.reports.views.verdict import broken_thresholds, verdict_of

COMPARED = (
    "Every image is edited twice with the same prompt and the same random seed: once as it is, once immunized. The "
    "less the two edits resemble each other, the better the image is protected. "
)
FLOOR = "Random noise of the same size is the floor that an attack has to beat."


def terminal_title(subject: Subject) -> str:
    """Name what was evaluated on what."""
    result = subject.result
    return f"{result.model.name} · {result.dataset.name} · preset {result.preset} · n = {result.dataset.n}"


def markdown_title(subject: Subject) -> str:
    """Name what was evaluated on what."""
    result = subject.result
    return f"Leaderboard: {result.model.name}, {result.dataset.name}, preset {result.preset}"


def page_title(subject: Subject) -> str:
    """Name what was evaluated on what."""
    result = subject.result
    return f"Leaderboard: {result.model.name}, {result.dataset.name}, {result.preset}"


def markdown_head(subject: Subject) -> tuple[Block, ...]:
    """Say when it was measured, how the gate ends and how to read the rest."""
    result = subject.result
    measured = (
        f"{result.dataset.n} cases, {result.provenance.started}, photoguard-eval {result.provenance.package_version}."
    )
    return (
        Text((measured,)),
        *(Text((note,)) for note in trusted_notes(result)),
        verdict_of(subject.findings.gate),
        Text((COMPARED + FLOOR,)),
        *(Text((note,)) for note in reroll_notes(result.rerolls)),
    )


def page_head(subject: Subject) -> tuple[Block, ...]:
    """Say what was measured on what, and how the gate ends."""
    result = subject.result
    facts = Facts(
        (
            ("Model", f"{result.model.name}, {result.model.kind}, {result.model.dtype} on {result.model.device}"),
            ("Dataset", f"{result.dataset.name}, n = {result.dataset.n} cases"),
            ("Preset", result.preset),
            ("Measured", f"{result.provenance.started} with photoguard-eval {result.provenance.package_version}"),
        )
    )
    return facts, *(Text((note,)) for note in trusted_notes(result)), verdict_of(subject.findings.gate)


def reading(subject: Subject) -> Iterator[Section]:
    """Say what "better" means, and which thresholds were not kept."""
    text = Text(
        (
            f"{COMPARED}So ",
            Strong("better means less similar"),
            f": lower where a heading shows ↑, higher where it shows ↓. {FLOOR} An edit that differs has not yet "
            "failed; whether it still follows its prompt is measured apart (Figure 7, lower is better), and the "
            "pictures below show it.",
            *(f" {note}" for note in reroll_notes(subject.result.rerolls)),
        )
    )
    broken = broken_thresholds(subject.result, subject.findings.gate)
    yield Section("What “better” means", "reading", (text, *broken))
