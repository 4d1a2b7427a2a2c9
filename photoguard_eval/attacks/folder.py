"""Finished images: a folder of immunized PNG files stands for an attack that ran elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import Attack, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import parameters
from photoguard_eval.errors import AttackError, ConfigurationError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images.arrays import read_image
from photoguard_eval.images.folders import RESOURCE_FORK, by_name

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
@parameters
class FolderAttack(Attack):
    """Read each immunized image from `<folder>/<image id>.png`, the ending in upper or lower case.

    The images are what is submitted: the harness measures the files as they are and neither rounds nor projects.

    Attributes:
        path: A folder of PNG files named after the dataset's images.
    """

    name = "folder"
    is_finished = True

    path: Path

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`.

        Raises:
            ConfigurationError: If there is no such folder or it holds no PNG files.
            InvalidImageError: If two of them have the same name.
        """
        super().__post_init__()
        pngs = (file for file in self.path.glob("*") if file.suffix.lower() == ".png")
        files = sorted(file for file in pngs if not file.name.startswith(RESOURCE_FORK))
        if not files:
            raise ConfigurationError(
                f"{self.path} is no folder of PNG images. Give one with an <image id>.png for each image of the "
                "dataset."
            )
        self._files = by_name(files, "would both be the image {}")
        self.inputs = {file.name: sha256_of_file(file) for file in files}

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        import torch

        del model, generator
        images = []
        for name, original in zip(batch.ids, batch.images, strict=True):
            file = self._files.get(name)
            if file is None:
                raise AttackError(f"{self.path} holds no image {name}.png. Add it: every image of the run needs one.")
            image = read_image(file)
            if image.shape[1:] != original.shape:
                raise AttackError(
                    f"{file} is {image.shape[-1]} × {image.shape[-2]}, the original {original.shape[-1]} × "
                    f"{original.shape[-2]} (width × height). Immunize the dataset's own images."
                )
            images.append(image)
        return torch.cat(images).to(batch.images)
