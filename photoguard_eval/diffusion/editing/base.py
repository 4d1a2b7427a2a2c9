"""What an editor is: a class with a name, what it reads, and how it begins and runs an edit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from photoguard_eval.diffusion.editing.inputs import EditInputs, require_batch
from photoguard_eval.diffusion.editing.settings import EditSettings
from photoguard_eval.diffusion.kinds import Kind
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.sampling import Start, sample
from photoguard_eval.diffusion.text import PromptEmbeddings
from photoguard_eval.errors import ConfigurationError, ModelError
from photoguard_eval.images.arrays import not_finite, require_multiple
from photoguard_eval.plugins.registry import Registry
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


class Editor(ABC):
    """A way to edit an image with a model.

    A plug-in derives from this class, gives it a `name`, says what it reads, and implements `prepare` and `start`.
    Every preset edits with it on the kinds of checkpoints that it names.

    Attributes:
        name: Identifier in results, without commas, colons, slashes and spaces.
        title: Heading in reports; by default the name.
        explanation: What it does to an image, one sentence; reports print it below the heading.
        position: Its place among the package's own editors, the lowest first; those of others follow by name.
        reads_mask: Whether the editor repaints a masked region and reads the rest; else it reads the whole image.
        reads_settings: Names of the settings that its edits depend on; it is given the others at their defaults, and
            what was computed with one value of these counts for all.
        kinds: What kinds of checkpoints it runs on.
        inputs: Files that it reads, see `photoguard_eval.attacks.Attack`: a changed file is a changed editor.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    explanation: ClassVar[str] = ""
    position: ClassVar[int] = 100
    reads_mask: ClassVar[bool]
    reads_settings: ClassVar[frozenset[str]] = frozenset(EditSettings.model_fields)
    kinds: ClassVar[tuple[Kind, ...]] = ("inpainting", "text-to-image")
    inputs: Mapping[str, str | Path] = MappingProxyType({})

    def require_kind(self, kind: Kind) -> None:
        """Check that the editor runs on a kind of checkpoint.

        Raises:
            ConfigurationError: If it does not.
        """
        if kind not in self.kinds:
            others = [editor.name for editor in editors_for(kind)]
            raise ConfigurationError(
                f"The editor {self.name!r} runs on checkpoints for {' and '.join(self.kinds)}, and this one is for "
                f"{kind}. Use {' or '.join(others)}."
            )

    @abstractmethod
    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """Encode what the edit is conditioned on; draws no random numbers.

        Args:
            model: The model.
            images: Shape (N, 3, H, W) in [0, 1].
            masks: Shape (N, 1, H, W), 1 = region to edit; not read by an editor without masks.
            settings: Hyper-parameters.
        """

    def schedule_length(self, executed: int, settings: EditSettings) -> int:
        """Return how many steps a schedule must have for so many to be run, for an attack on a short edit.

        Args:
            executed: Steps to run.
            settings: Hyper-parameters.
        """
        del settings
        return executed

    def executed_steps(self, settings: EditSettings) -> int:
        """Return how many denoising steps an edit runs.

        Args:
            settings: Hyper-parameters.
        """
        return settings.num_inference_steps

    @abstractmethod
    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """Draw the noise that the sampler begins with.

        Args:
            model: The model.
            inputs: From `prepare`.
            generators: One per edit.
            settings: Hyper-parameters.
        """

    def denoise(
        self,
        model: LatentDiffusion,
        inputs: EditInputs,
        prompt_embeddings: PromptEmbeddings,
        unconditional_embeddings: PromptEmbeddings | None,
        generators: CaseGenerators,
        settings: EditSettings,
    ) -> torch.Tensor:
        """Sample an edit; differentiable with respect to the images where gradients are enabled.

        Args:
            model: The model.
            inputs: From `prepare`.
            prompt_embeddings: Of the prompts of the edits.
            unconditional_embeddings: What guidance leads away from; None for no guidance.
            generators: One per edit.
            settings: Hyper-parameters.

        Returns:
            Shape (N, 3, H, W), around [0, 1] but not clipped, not composited.
        """
        return sample(
            model,
            self.start(model, inputs, generators, settings),
            prompt_embeddings,
            unconditional_embeddings,
            generators,
            steps=settings.num_inference_steps,
            eta=settings.eta,
            scales=settings.scales,
        )

    def edit(
        self,
        model: LatentDiffusion,
        images: torch.Tensor,
        masks: torch.Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: EditSettings,
        originals: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Edit images.

        Args:
            model: The model.
            images: Shape (N, 3, H, W) in [0, 1], on the model's device as the masks and originals are.
            masks: Shape (N, 1, H, W), 0.5 and more = region to edit; not read by an editor without masks.
            prompts: What to edit each image to.
            seeds: One seed per image.
            settings: Hyper-parameters.
            originals: The images before immunization, whose kept pixels an inpainted edit shows; by default `images`.

        Returns:
            Shape (N, 3, H, W), float32 in [0, 1].

        Raises:
            InvalidImageError: If the sides do not fit the model, masks or originals do not fit the images, or the
                channels are not RGB and one for the mask.
            ConfigurationError: If there is not one mask, prompt, seed and original per image, no image, or the model is
                of a kind that the editor does not run on.

        Example:
            >>> import torch
            >>> from photoguard_eval.diffusion import EDITORS, EditSettings, load_model
            >>> model = load_model("inpaint-a")
            >>> image, mask = torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 1, 64, 64)
            >>> mask[..., 32:] = 1
            >>> settings = EditSettings(num_inference_steps=2)
            >>> edited = EDITORS.create("inpaint").instance.edit(model, image, mask, ["a red fox"], [0], settings)
            >>> edited.shape, torch.equal(edited[..., :32], image[..., :32])
            (torch.Size([1, 3, 64, 64]), True)
        """
        import torch

        self.require_kind(model.kind)
        require_batch(images, masks, prompts, seeds, originals)
        require_multiple(images, model.size_multiple, "The image to edit")
        # One rule for what is repainted, what is encoded and what is pasted, also for a mask with soft edges.
        masks = (masks >= 0.5).to(images)
        guided = model.guidance.leads_away(settings.scales)
        with torch.no_grad():
            edited = self.denoise(
                model,
                self.prepare(model, images, masks, settings),
                model.embed_prompts(prompts),
                model.unconditional(len(prompts)) if guided else None,
                CaseGenerators.from_seeds(seeds),
                settings,
            ).clamp(0, 1)
        if not self.reads_mask:
            return edited
        kept = images if originals is None or settings.composite == "immunized" else originals
        return torch.where(masks.bool(), edited, kept.to(edited))

    def require_finite(self, edits: torch.Tensor, names: Sequence[str], dtype: str) -> None:
        """Check that edits hold numbers.

        Args:
            edits: Shape (N, 3, H, W).
            names: Of the N images.
            dtype: What the model computed in.

        Raises:
            ModelError: If one does not.
        """
        broken = not_finite(edits, names)
        if broken:
            raise ModelError(
                f"The edit of {broken[0]} by {self.name} is not finite in {dtype}. The autoencoders of some "
                "checkpoints overflow in float16: use --dtype bfloat16 or float32, or one whose autoencoder was mended "
                "for it."
            )


EDITORS: Registry[Editor] = Registry("editor", Editor, "photoguard_eval.editors")  # type: ignore[type-abstract]

register_editor = EDITORS.register


def editors_for(kind: Kind) -> tuple[type[Editor], ...]:
    """Return the editors that run on a kind of checkpoint: the package's own first, then the others by name.

    Args:
        kind: Of the checkpoint.

    Example:
        >>> from photoguard_eval.diffusion import editors_for
        >>> [editor.name for editor in editors_for("inpainting")]
        ['inpaint', 'img2img']
    """
    suitable = [editor for editor in EDITORS.classes().values() if kind in editor.kinds]
    own = [editor for editor in suitable if editor.__module__.startswith(f"{__package__}.")]
    others = [editor for editor in suitable if editor not in own]
    return (*sorted(own, key=lambda editor: editor.position), *sorted(others, key=lambda editor: editor.name))


def default_editor(kind: Kind, *, has_mask: bool) -> str:
    """Return the editor that an adversary uses on a kind of checkpoint: the first that reads the mask, or reads none.

    Args:
        kind: Of the checkpoint.
        has_mask: Whether a region to edit is marked.

    Raises:
        ConfigurationError: If a region is marked and no editor reads it, or none is marked and each editor needs one.
    """
    suitable = [editor.name for editor in editors_for(kind) if editor.reads_mask == has_mask]
    if suitable:
        return suitable[0]
    if has_mask:
        raise ConfigurationError(f"A checkpoint of the kind {kind!r} reads no mask. Leave the mask out.")
    raise ConfigurationError(f"Every editor of a checkpoint of the kind {kind!r} reads a mask. Give one.")
