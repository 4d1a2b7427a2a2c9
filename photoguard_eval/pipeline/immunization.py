"""Immunizing one's own images: one file, or a folder of them; an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.attacks import Attack, AttackChoice
from photoguard_eval.diffusion import EDITORS, default_editor, identify_model
from photoguard_eval.diffusion.native_size import require_workable_size
from photoguard_eval.errors import ConfigurationError, ModelError, StoreError
from photoguard_eval.files import remove_stale_temporaries, sha256_of_bytes, sha256_of_file, write_atomically
from photoguard_eval.images.arrays import require_multiple
from photoguard_eval.images.files import read_size
from photoguard_eval.images.masks import require_latent_mask
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.attacks import plan_attack
from photoguard_eval.pipeline.photographs import Photograph
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.processor_memory import Workload, require_memory
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.records import Facts, Records
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs, gather
from photoguard_eval.pipeline.steps.keys import Editing
from photoguard_eval.pipeline.work import Failed
from photoguard_eval.pipeline.worker import Worker
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.randomness import require_seed

AT_ONCE_ON_PROCESSOR = 12
"""Edits of an image that run at once there, for attacks that repeat them; on a GPU one edit of an image fills it."""


@dataclass(frozen=True)
class Recipe:
    """How images are immunized: as the rows of a board with the same attack, editor and seed are.

    Attributes:
        attack: The attack.
        editing: How the images will be edited.
        prompt: The prompt of the edit, for an attack that sees it.
        seed: Of everything random.
    """

    attack: Plugin[Attack]
    editing: Editing
    prompt: str | None
    seed: int

    def inputs(self, photograph: Photograph) -> ImmunizeInputs:
        """Return what the immunized image depends on."""
        image, mask = photograph.files()
        return ImmunizeInputs(
            attack=self.attack,
            editing=self.editing,
            name=photograph.name,
            image=image,
            mask=mask,
            prompt=self.prompt or "",
            run_seed=self.seed,
        )

    def require_feasible(self, request: EvaluationRequest, images: Sequence[Path]) -> None:
        """Refuse images that the memory of this machine does not hold, or that are far from the model's own size.

        Args:
            request: Says how the model is loaded.
            images: Their files.

        Raises:
            PhotoguardError: If the work cannot be done.
        """
        sizes = {str(image): read_size(image) for image in images}
        at_once = AT_ONCE_ON_PROCESSOR if request.device == "cpu" else 1
        attack = self.attack.instance
        require_memory(Workload(self.editing, attack, request.checkpointing, at_once), sizes)
        if attack.gradient_evaluations:
            require_workable_size(self.editing.model, sizes)


def recipe_of(
    request: EvaluationRequest, attack: AttackChoice, prompt: str | None, seed: int, *, has_mask: bool
) -> tuple[Recipe, Session]:
    """Build an attack for a model's own editor of images with or without a mask.

    Args:
        request: Names the model and how it is loaded, the preset, and settings that differ from it.
        attack: What was asked for.
        prompt: The prompt of the edit, for an attack that sees it.
        seed: Of everything random.
        has_mask: Whether a region is edited, and not the whole image.

    Returns:
        The recipe, and what a worker must know of it.

    Raises:
        PhotoguardError: If a name is unknown, the attack cannot be built, or it sees the prompt and there is none.
    """
    require_seed(seed)
    preset = find_preset(request.preset)
    planned = plan_attack(attack, preset, trusted=request.trusted)
    plugin = planned.plugin
    if plugin.declared.sees_prompt and not (prompt or "").strip():
        raise ConfigurationError(f"The attack {plugin.label!r} sees the prompt of the edit. Give it with --prompt.")
    identity = identify_model(request.model, request.revision)
    editor = default_editor(identity.kind, has_mask=has_mask)
    settings = preset.settings(editor, identity, request.settings)
    editing = Editing(identity, request.placement, EDITORS.create(editor), settings)
    recipe = Recipe(plugin, editing, prompt, seed)
    return recipe, Session(request.model_choice, preset.name, {plugin.label: planned.source}, request.limits)


def immunize_photographs(
    photographs: Sequence[Photograph],
    recipe: Recipe,
    worker: Worker,
    progress: Progress,
    folder: Path | None = None,
) -> list[Facts]:
    """Immunize images one by one.

    All images are read and checked before the first is worked on.

    Args:
        photographs: The images.
        recipe: How.
        worker: Has the model and the attack of the recipe.
        progress: Where to report.
        folder: The folder of the outputs, in which a record is kept: images that are finished already by the same
            recipe are left as they are. None for an image of its own, which replaces what is there.

    Returns:
        What was measured of each: output, attack, change in levels and cost.

    Raises:
        PhotoguardError: If an image or mask does not fit, an output exists that was made otherwise, or the attack
            fails. What was finished before stays, and the same call goes on.
    """
    sizes = set()
    prepared = worker.prepare([], [])
    for photograph in photographs:
        image, mask = photograph.read()
        require_multiple(image, prepared.size_multiple, str(photograph.image))
        if mask is not None:
            require_latent_mask(mask, prepared.downscale_factor, str(photograph.mask))
        sizes.add((image.shape[-2], image.shape[-1]))
    worker.prepare([(recipe.attack.label, recipe.editing.editor.name)], sizes)
    records = None if folder is None else Records(folder)
    inputs = {photograph.name: recipe.inputs(photograph) for photograph in photographs}
    keys = {name: its.key for name, its in inputs.items()}
    finished: dict[str, Facts] = {}
    if folder is not None and records is not None:
        finished = {
            photograph.name: records.finished[photograph.name]
            for photograph in photographs
            if _is_finished(photograph, records.finished.get(photograph.name), keys[photograph.name])
        }
        _require_free_outputs(photographs, records.claimed)
        remove_stale_temporaries(folder, {photograph.output.name for photograph in photographs})
    todo = [photograph for photograph in photographs if photograph.name not in finished]
    if records is not None:
        records.claim(photograph.name for photograph in todo)
    warned: list[str] = []
    with progress.stage(f"{recipe.attack.label}: immunize", len(todo)) as stage:
        for photograph in todo:
            facts, warnings = _immunize_one(photograph, inputs[photograph.name], worker)
            for warning in warnings:
                if warning not in warned:
                    warned.append(warning)
                    progress.say(warning)
            finished[photograph.name] = {**facts, "key": keys[photograph.name]}
            if records is not None:
                records.add(photograph.name, finished[photograph.name])
            stage.advance(1)
    return [finished[photograph.name] for photograph in photographs]


def _is_finished(photograph: Photograph, record: Facts | None, key: str) -> bool:
    if record is None or record["key"] != key or not photograph.output.is_file():
        return False
    return bool(record["sha256"] == sha256_of_file(photograph.output))


def _require_free_outputs(photographs: Sequence[Photograph], claimed: Collection[str]) -> None:
    """Check that nothing is overwritten but what an interrupted or changed run of this command left."""
    for photograph in photographs:
        if photograph.output.exists() and photograph.name not in claimed:
            raise StoreError(
                f"{photograph.output} exists and was not written by this command. Give another folder, or remove it."
            )


def _immunize_one(photograph: Photograph, inputs: ImmunizeInputs, worker: Worker) -> tuple[Facts, tuple[str, ...]]:
    at_once = AT_ONCE_ON_PROCESSOR if inputs.editing.placement.device == "cpu" else 1
    outcome = worker.perform(gather([inputs], at_once))
    if isinstance(outcome, Failed):
        raise outcome.as_error(ModelError)
    (artifact,) = outcome.artifacts
    write_atomically(photograph.output, artifact.png)
    measured = ImmunizedFacts.model_validate(artifact.facts)
    return {
        "output": str(photograph.output),
        "attack": inputs.attack.label,
        "sha256": sha256_of_bytes(artifact.png),
        "linf_levels": measured.linf_levels,
        "rms_levels": measured.rms_levels,
        **measured.cost.model_dump(exclude={"batch_size"}),
    }, outcome.warnings
