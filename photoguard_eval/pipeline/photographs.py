"""The images that a user wants immunized: found in files and folders, and paired with masks and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.errors import ConfigurationError, InvalidImageError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images.arrays import read_image, require_output, require_same_size
from photoguard_eval.images.folders import IMAGE_SUFFIXES, LeftOut, by_name, composed, look_into, mask_of
from photoguard_eval.images.masks import MaskSource, read_mask, require_partial_mask
from photoguard_eval.pipeline.steps.keys import PictureFile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Photograph:
    """An image to immunize.

    Attributes:
        image: Its file.
        mask: The file of its mask, white = will be edited; None for an image that is varied as a whole.
        output: Where the immunized image goes.
        mask_source: What of the mask's file marks the region to edit, see `masks.MaskSource`.
    """

    image: Path
    mask: Path | None
    output: Path
    mask_source: MaskSource = "colour"

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return composed(self.image.stem)

    def files(self) -> tuple[PictureFile, PictureFile | None]:
        """Return image and mask as files that are known by their content."""
        image = PictureFile(self.image, sha256_of_file(self.image))
        if self.mask is None:
            return image, None
        return image, PictureFile(self.mask, sha256_of_file(self.mask), self.mask_source)

    def read(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read image, (1, 3, H, W), and mask, (1, 1, H, W).

        Raises:
            InvalidImageError: If a file cannot be read, or the mask does not fit the image or edits all or none of it.
        """
        image = read_image(self.image)
        if self.mask is None:
            return image, None
        mask = read_mask(self.mask, self.mask_source)
        require_same_size(image, mask, str(self.mask))
        require_partial_mask(mask, str(self.mask))
        return image, mask


@dataclass(frozen=True)
class Found:
    """What there is to immunize.

    Attributes:
        photographs: The images.
        left_out: What may be a picture and is not taken: its owner must not believe it protected.
        masks: Masks that lie beside their images and are not asked for.
    """

    photographs: tuple[Photograph, ...]
    left_out: tuple[LeftOut, ...] = ()
    masks: tuple[Path, ...] = ()


def find_photographs(image: Path, mask: Path | None, output: Path, mask_source: MaskSource = "colour") -> Found:
    """Pair images with masks and outputs.

    Args:
        image: An image, or a folder of images, see `folders.look_into`.
        mask: A mask for an image, a folder of masks of the same names for a folder, see `folders.mask_of`; or None. The
            folder of the images itself stands for the masks that lie beside them.
        output: A PNG file for an image, a folder for a folder, which is made.
        mask_source: See `masks.MaskSource`.

    Raises:
        InvalidImageError: If there is no image, or two have the same name but for the ending.
        ConfigurationError: If one of the three is a folder and another a file, an image has no mask, or an output would
            overwrite what it is made from or has no folder to go to.
    """
    if not image.is_dir():
        if mask is not None and mask.is_dir():
            raise ConfigurationError(f"{mask} is a folder, but {image} is one image. Give the file of its mask.")
        require_output(output, [image] if mask is None else [image, mask])
        return Found((Photograph(image, mask, output, mask_source),))
    if output.is_file() or (mask is not None and not mask.is_dir()):
        raise ConfigurationError(f"{image} is a folder, so the masks and the output must be folders too.")
    if output.is_dir() and any(output.samefile(folder) for folder in (image, mask) if folder is not None):
        raise ConfigurationError(f"{output} holds what is to be immunized. Give another folder for the output.")
    contents = look_into(image, apart=(mask, output))
    if not contents.images:
        reasons = "".join(f" {left.reason}" for left in contents.left_out)
        raise InvalidImageError(
            f"{image} holds no images. Expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}.{reasons}"
        )
    masks = contents if mask is None or mask.samefile(image) else look_into(mask)
    photographs = []
    for name, path in by_name(contents.images, "would both become {}.png").items():
        its_mask = None
        if mask is not None:
            its_mask = masks.masks.get(name) if masks is contents else mask_of(name, masks)
            if its_mask is None:
                raise ConfigurationError(f"{path} has no mask {mask / name}.png. Add it, or leave --mask out.")
        photographs.append(Photograph(path, its_mask, output / f"{name}.png", mask_source))
    return Found(tuple(photographs), contents.left_out, () if mask else tuple(contents.masks.values()))
