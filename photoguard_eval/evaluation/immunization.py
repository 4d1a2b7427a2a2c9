"""Immunizing one's own images: one file, or a folder of them that is gone on with where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import Attack, AttackBatch
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter
from photoguard_eval.errors import ConfigurationError, InvalidImageError, StoreError
from photoguard_eval.evaluation.inputs import Editing, ImmunizeInputs
from photoguard_eval.evaluation.progress import Progress
from photoguard_eval.files import sha256_of_bytes, sha256_of_file, write_atomically
from photoguard_eval.images import (
    IMAGE_SUFFIXES,
    image_files,
    read_image,
    read_mask,
    require_multiple,
    require_partial_mask,
    require_png,
    require_same_size,
)
from photoguard_eval.randomness import CaseGenerators
from photoguard_eval.registry import Plugin

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion

RECORDS = "immunized.jsonl"
"""In the folder of the immunized images: a line for each, with what it was made from and what was measured."""

AT_ONCE_ON_PROCESSOR = 12
"""Edits of an image that run at once there, for attacks that repeat them; on a GPU one edit of an image fills it."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Photograph:
    """An image to immunize.

    Attributes:
        image: Its file.
        mask: The file of its mask, white = will be edited; None for an image that is varied as a whole.
        output: Where the immunized image goes.
    """

    image: Path
    mask: Path | None
    output: Path

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.image.stem

    def read(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read image, (1, 3, H, W), and mask, (1, 1, H, W).

        Raises:
            InvalidImageError: If a file cannot be read, or the mask does not fit the image or edits all or none of it.
        """
        image = read_image(self.image)
        if self.mask is None:
            return image, None
        mask = read_mask(self.mask)
        require_same_size(image, mask, str(self.mask))
        require_partial_mask(mask, str(self.mask))
        return image, mask


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
        mask = photograph.mask
        return ImmunizeInputs(
            self.attack,
            self.editing,
            photograph.name,
            sha256_of_file(photograph.image),
            "" if mask is None else sha256_of_file(mask),
            self.prompt or "",
            self.seed,
        )


def find_photographs(image: Path, mask: Path | None, output: Path) -> list[Photograph]:
    """Pair images with masks and outputs.

    Args:
        image: An image, or a folder of images.
        mask: A mask for an image, a folder of masks of the same names for a folder; or None.
        output: A PNG file for an image, a folder for a folder.

    Raises:
        InvalidImageError: If there is no image, or two have the same name but for the ending.
        ConfigurationError: If one of the three is a folder and another a file, or an image has no mask.
    """
    if not image.is_dir():
        require_png(output)
        if mask is not None and mask.is_dir():
            raise ConfigurationError(f"{mask} is a folder, but {image} is one image. Give the file of its mask.")
        return [Photograph(image, mask, output)]
    if output.is_file() or (mask is not None and not mask.is_dir()):
        raise ConfigurationError(f"{image} is a folder, so the masks and the output must be folders too.")
    files = image_files(image)
    if not files:
        raise InvalidImageError(
            f"{image} holds no images. Expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    photographs: dict[str, Photograph] = {}
    for path in files:
        if path.stem in photographs:
            raise InvalidImageError(
                f"{photographs[path.stem].image} and {path} would both become {path.stem}.png. Rename one of them."
            )
        its_mask = None if mask is None else mask / f"{path.stem}.png"
        if its_mask is not None and not its_mask.is_file():
            raise ConfigurationError(f"{path} has no mask {its_mask}. Add it, or leave --mask out.")
        photographs[path.stem] = Photograph(path, its_mask, output / f"{path.stem}.png")
    return list(photographs.values())


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
        image, _ = photograph.read()
        require_multiple(image, model.size_multiple, str(photograph.image))
        sizes.add((image.shape[-2], image.shape[-1]))
    recipe.attack.instance.require_support(model, recipe.editing.editor.instance, sizes)
    records = read_records(folder) if folder else {}
    inputs = {photograph.name: recipe.inputs(photograph) for photograph in photographs}
    keys = {name: its.key for name, its in inputs.items()}
    finished = {
        photograph.name: records[photograph.name]
        for photograph in photographs
        if _is_finished(photograph, records.get(photograph.name), keys[photograph.name])
    }
    if folder:
        _require_free_outputs(photographs, records)
    todo = [photograph for photograph in photographs if photograph.name not in finished]
    with progress.stage(f"{recipe.attack.label}: immunize", len(todo)) as stage:
        for photograph in todo:
            facts = _immunize_one(photograph, inputs[photograph.name], model)
            finished[photograph.name] = {**facts, "key": keys[photograph.name]}
            if folder:
                _append_record(folder, photograph.name, finished[photograph.name])
            stage.advance(1)
    return [finished[photograph.name] for photograph in photographs]


def read_records(folder: Path) -> dict[str, Facts]:
    """Read what has been immunized into a folder, by name; a line that was cut off is left out."""
    path = folder / RECORDS
    records: dict[str, Facts] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                records[record.pop("name")] = record
            except (ValueError, KeyError, AttributeError):
                continue
    return records


def _is_finished(photograph: Photograph, record: Facts | None, key: str) -> bool:
    if record is None or record.get("key") != key or not photograph.output.is_file():
        return False
    return bool(record.get("sha256") == sha256_of_file(photograph.output))


def _require_free_outputs(photographs: Sequence[Photograph], records: dict[str, Facts]) -> None:
    """Check that nothing is overwritten but what an interrupted or changed run of this command left."""
    for photograph in photographs:
        if photograph.output.exists() and photograph.name not in records:
            raise StoreError(
                f"{photograph.output} exists and was not written by this command. Give another folder, or remove it."
            )


def _immunize_one(photograph: Photograph, inputs: ImmunizeInputs, model: LatentDiffusion) -> Facts:
    import torch

    image, mask = photograph.read()
    attack = inputs.attack.instance
    batch = AttackBatch(
        images=image.to(model.device),
        masks=(torch.zeros_like(image[:, :1]) if mask is None else mask).to(model.device),
        prompts=(inputs.prompt,),
        ids=(inputs.name,),
        editor=inputs.editing.editor.instance,
        settings=inputs.editing.settings,
        at_once=AT_ONCE_ON_PROCESSOR if model.device.type == "cpu" else 1,
    ).seen_by(attack)
    meter = CostMeter(model)
    (immunized,) = immunize(attack, model, batch, CaseGenerators.from_seeds([inputs.seed]), meter)
    write_atomically(photograph.output, immunized.png)
    return {
        "output": str(photograph.output),
        "attack": inputs.attack.label,
        "sha256": sha256_of_bytes(immunized.png),
        "linf_levels": immunized.perturbation.linf_levels,
        "rms_levels": immunized.perturbation.rms_levels,
        **meter.cost(1),
    }


def _append_record(folder: Path, name: str, facts: Facts) -> None:
    line = json.dumps({"name": name, **facts}, ensure_ascii=False)
    with (folder / RECORDS).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
