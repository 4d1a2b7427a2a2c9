"""Immunizing one's own images: one file, or a folder of them that is gone on with where it stopped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.attacks import Attack, AttackBatch
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter
from photoguard_eval.errors import StoreError
from photoguard_eval.files import remove_stale_temporaries, sha256_of_bytes, sha256_of_file, write_atomically
from photoguard_eval.images.arrays import require_multiple
from photoguard_eval.images.masks import require_latent_mask
from photoguard_eval.pipeline.inputs import Editing, ImmunizeInputs
from photoguard_eval.pipeline.photographs import Photograph
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.records import Facts, Records
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion

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
        return ImmunizeInputs(
            self.attack,
            self.editing,
            photograph.name,
            sha256_of_file(photograph.image),
            photograph.mask_sha256(),
            self.prompt or "",
            self.seed,
        )


def immunize_photographs(
    photographs: Sequence[Photograph],
    recipe: Recipe,
    model: LatentDiffusion,
    progress: Progress,
    folder: Path | None = None,
) -> list[Facts]:
    """Immunize images one by one.

    All images are read and checked before the first is worked on.

    Args:
        photographs: The images.
        recipe: How.
        model: The model of the recipe.
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
    for photograph in photographs:
        image, mask = photograph.read()
        require_multiple(image, model.size_multiple, str(photograph.image))
        if mask is not None:
            require_latent_mask(mask, model.downscale_factor, str(photograph.mask))
        sizes.add((image.shape[-2], image.shape[-1]))
    recipe.attack.instance.require_support(model, recipe.editing.editor.instance, sizes)
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
            with files_read() as read:
                facts = _immunize_one(photograph, inputs[photograph.name], model)
            for warning in recipe.attack.undeclared(read):
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


def _immunize_one(photograph: Photograph, inputs: ImmunizeInputs, model: LatentDiffusion) -> Facts:
    import torch

    image, mask = photograph.read()
    batch = AttackBatch(
        images=image.to(model.device),
        masks=(torch.zeros_like(image[:, :1]) if mask is None else mask).to(model.device),
        prompts=(inputs.prompt,),
        ids=(inputs.name,),
        editor=inputs.editing.editor.instance,
        settings=inputs.editing.settings,
        at_once=AT_ONCE_ON_PROCESSOR if model.device.type == "cpu" else 1,
        budget=inputs.budget,
    )
    meter = CostMeter(model)
    generators = CaseGenerators.from_seeds([inputs.seed])
    (immunized,) = immunize(inputs.attack.instance, model, batch, generators, meter, inputs.attack.declared)
    write_atomically(photograph.output, immunized.png)
    return {
        "output": str(photograph.output),
        "attack": inputs.attack.label,
        "sha256": sha256_of_bytes(immunized.png),
        "linf_levels": immunized.perturbation.linf_levels,
        "rms_levels": immunized.perturbation.rms_levels,
        **meter.cost(1),
    }
