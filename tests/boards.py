"""What a result must be to stand on the shared board, and what keeps one from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from photoguard_eval.attacks import ATTACKS
from photoguard_eval.attacks.budget import TOLERANCE_LEVELS
from photoguard_eval.attacks.folder import FolderAttack
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import identify_model
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.seeds import choose_seeds
from photoguard_eval.plugins.source_code import PACKAGE
from photoguard_eval.resources import embedded_checkpoints
from photoguard_eval.results.facts import AttackInfo
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult


def problems(path: Path, result: EvaluationResult) -> list[str]:
    """Say what keeps a result from the board; nothing if it may stand there.

    Args:
        path: Its file; the card of attacks that the package does not carry lies beside it.
        result: What the file holds.
    """
    return [*_not_whole(result), *_not_comparable(result), *_over_budget(result), *_unknown_attacks(path, result)]


def _not_whole(result: EvaluationResult) -> Iterator[str]:
    yield from (f"{failure.attack} was stopped" for failure in result.failures)
    yield from (f"{name} is not the preset's" for name in result.changed_settings)
    if result.provenance.trusted:
        yield "attacks of others ran in the main process (--trusted)"
    labels = {method.label for method in result.attack_rows}
    if not labels:
        yield "it has no attack"
    ids = [case.id for case in result.cases]
    metrics = {metric.name for metric in result.metrics}
    for editor in result.editors:
        yield from (f"{label} has no row under {editor}" for label in labels if result.row(label, editor) is None)
    for row in result.attack_rows:
        if [case.case_id for case in row.cases] != ids:
            yield f"{row.label} under {row.editor} has not every case"
        if set(row.metrics) != metrics:
            yield f"{row.label} under {row.editor} has not every metric"
        by_case = {metric.name for metric in result.metrics if metric.kind != "distribution"}
        if any(set(case.scores) != by_case for case in row.cases):
            yield f"{row.label} under {row.editor} has not the scores of every case"


def _not_comparable(result: EvaluationResult) -> Iterator[str]:
    """Compare with what the package would measure on; checkpoints of the hub are compared by who has them."""
    preset, dataset = find_preset(result.preset), load_dataset(result.dataset.name)
    cases = dataset.select(preset.cases)
    if result.dataset.sha256 != dataset.sha256:
        yield "the dataset has other content"
    if [case.id for case in result.cases] != [case.id for case in cases]:
        yield "the cases are not the preset's"
    if result.model.name not in embedded_checkpoints():
        return
    model = identify_model(result.model.name)
    if result.model.weights_sha256 != model.weights_sha256:
        yield "the model has other weights"
    for editor, recorded in result.editors.items():
        settings = preset.settings(editor, model, {})
        if recorded != settings.model_dump(mode="json"):
            yield f"the settings of {editor} are not the preset's"
        seeds = choose_seeds(dataset, model, preset.name, editor, settings)
        expected = {case.id: seeds.seed(case) for case in cases}
        if {case.id: case.seed[editor] for case in result.cases} != expected:
            yield f"the seeds of {editor} are not the dataset's"


def _over_budget(result: EvaluationResult) -> Iterator[str]:
    for row in result.attack_rows:
        sizes = [_size(row, case) for case in range(len(row.cases))]
        assert row.attack is not None
        levels = row.attack.threat_model.epsilon * 255
        if not sizes or not 0 < max(sizes) <= levels + TOLERANCE_LEVELS:
            yield f"{row.label} under {row.editor} changes images by {max(sizes, default=0):.3f} of {levels:.3f} levels"


def _size(row: ResultRow, case: int) -> float:
    assert row.attack is not None
    found = row.cases[case]
    return found.linf_levels if row.attack.threat_model.norm == "linf" else found.rms_levels


def _unknown_attacks(path: Path, result: EvaluationResult) -> Iterator[str]:
    """Name the attacks that are neither the package's nor described by a card with the address of their code."""
    card = path.with_suffix(".md")
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    for attack in {row.attack.label: row.attack for row in result.attack_rows if row.attack is not None}.values():
        if not _is_carried(attack) and not (attack.name in text and "https://" in text):
            yield f"{attack.label} is not of this package, and {card.name} does not say where its code is"


def _is_carried(attack: AttackInfo) -> bool:
    return attack.source == PACKAGE and attack.name in set(ATTACKS.names()) - {FolderAttack.name}
