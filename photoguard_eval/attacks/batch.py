"""The images that an attack perturbs at once, and what it sees of how they will be edited."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from photoguard_eval.attacks.ball import DEFAULT_BUDGET, Ball

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, EditSettings, LatentDiffusion


class Viewer(Protocol):
    """An attack, or what it declared."""

    @property
    def sees_mask(self) -> bool:
        """Whether it knows which region will be edited."""

    @property
    def sees_prompt(self) -> bool:
        """Whether it knows the prompt of the edit."""


@dataclass(frozen=True)
class AttackBatch:
    """The images that an attack perturbs at once.

    Attributes:
        images: Shape (N, 3, H, W), float32 in [0, 1], on the model's device.
        masks: Shape (N, 1, H, W): 1 where the editor discards the image and repaints it, 0 where it reads it. All
            zeros for an editor that reads the whole image, and for an attack that does not see the mask.
        prompts: The prompt of each edit, only for an attack with `sees_prompt = True`; else None.
        ids: A name for each image, the same from run to run.
        editor: How the images will be edited.
        settings: The editor's settings.
        at_once: How many edits may run at once where an attack repeats them; changes nothing but time and memory.
        budget: How far each image may be changed; by default the board's.
    """

    images: torch.Tensor
    masks: torch.Tensor
    prompts: tuple[str, ...] | None
    ids: tuple[str, ...]
    editor: Editor
    settings: EditSettings
    at_once: int = 1
    budget: Ball = DEFAULT_BUDGET

    def __len__(self) -> int:
        return len(self.ids)

    def repetitions_at_once(self, repetitions: int) -> int:
        """Return how many repetitions of all images run at once: at least one.

        Args:
            repetitions: How many there are.
        """
        return min(repetitions, max(1, self.at_once // len(self)))

    @property
    def kept(self) -> torch.Tensor:
        """The region that a perturbation can act through, (N, 1, H, W): 1 − masks."""
        return 1 - self.masks

    def seen_by(self, viewer: Viewer) -> AttackBatch:
        """Return the batch without what an attack does not see, and without settings that no attack depends on.

        An immunized image is known by what its attack was given: see `ImmunizeInputs` of the evaluation.

        Args:
            viewer: An attack, or what it declared.
        """
        import torch

        sees_mask = viewer.sees_mask and self.editor.reads_mask
        return replace(
            self,
            masks=self.masks if sees_mask else torch.zeros_like(self.masks),
            prompts=self.prompts if viewer.sees_prompt else None,
            settings=self.settings.only(self.editor.reads_settings).before_compositing(),
        )

    def copied(self) -> AttackBatch:
        """Return a batch of the same values, nothing of which changes this one: tensors and the like are copies."""
        return replace(
            self,
            images=self.images.clone(),
            masks=self.masks.clone(),
            editor=copy.deepcopy(self.editor),
            budget=replace(self.budget),
        )

    def visible(self, images: torch.Tensor, model: LatentDiffusion) -> torch.Tensor:
        """Return what the model's encoder is given of the images.

        An inpainting checkpoint encodes the image with the region to edit painted gray; a text-to-image checkpoint
        encodes all of it and freezes the kept part of the latents.

        Args:
            images: Shape (N, 3, H, W) in [0, 1], perturbed images of this batch.
            model: The model that edits.

        Returns:
            Shape (N, 3, H, W) in [0, 1].
        """
        return images * self.kept + 0.5 * self.masks if model.is_inpainting else images
