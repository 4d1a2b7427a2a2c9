"""How an image is edited: inpainting and prompt-guided variations, seeded.

Random numbers are drawn from each case's own generator in the order of diffusers' pipelines, so that an edit agrees
with `StableDiffusionInpaintPipeline` and `StableDiffusionImg2ImgPipeline` on the same weights, seed and steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photoguard_eval.diffusion.latent_diffusion import Kind, LatentDiffusion, Posterior
from photoguard_eval.diffusion.text import PromptEmbeddings
from photoguard_eval.errors import ConfigurationError, InvalidImageError, ModelError
from photoguard_eval.images.arrays import not_finite, require_multiple, require_same_size
from photoguard_eval.plugins.registry import Registry
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


class EditSettings(BaseModel):
    """Hyper-parameters of an edit; the defaults are the paper's (Table 8).

    Attributes:
        guidance_scale: Weight of the prompt in classifier-free guidance; 1 is no guidance.
        image_guidance_scale: Weight of the image, for an instruction-following checkpoint; 1 is no guidance. 1.5 is the
            default of its authors.
        num_inference_steps: Steps of the sampler.
        eta: Noise of the sampler: 0 is deterministic DDIM, 1 as much noise as DDPM. A consistency model has its own.
        strength: How far a variation moves away from the image, in (0, 1]: the share of the steps that are run. The
            paper gives none.
        composite: Whose pixels the kept region of an inpainted edit shows: the original's, for edits of originals
            and of immunized images alike, as the released code does, so that the perturbation itself is not counted
            as a difference; or the immunized image's.
        sample_latents: Whether images are encoded to a sample of their latent distribution, as the pipelines do, or
            to its mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    guidance_scale: float = Field(7.5, ge=0, allow_inf_nan=False)
    image_guidance_scale: float = Field(1.5, ge=0, allow_inf_nan=False)
    num_inference_steps: int = Field(100, ge=1, le=1000)
    eta: float = Field(1.0, ge=0, le=1)
    strength: float = Field(0.6, gt=0, le=1)
    composite: Literal["original", "immunized"] = "original"
    sample_latents: bool = True

    def changed(self, **values: Any) -> EditSettings:
        """Return a copy with other values.

        Raises:
            ConfigurationError: If a name is unknown or a value out of range.
        """
        try:
            return EditSettings.model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"{name}={first['input']!r} is no setting of an edit: {first['msg']}.") from error

    def only(self, names: Collection[str]) -> EditSettings:
        """Return a copy in which every other setting is at its default.

        Args:
            names: Settings to keep.
        """
        return EditSettings(**{name: getattr(self, name) for name in names})

    def before_compositing(self) -> EditSettings:
        """Return a copy with the default `composite`, for what does not depend on it.

        It decides which pixels are pasted over an edit that is finished: it changes no attack, and no edit of an
        original, whose own pixels are pasted either way.
        """
        return self.only(EditSettings.model_fields.keys() - {"composite"})


@dataclass(frozen=True)
class EditInputs:
    """What an edit is conditioned on besides the prompt, differentiable with respect to the images.

    Attributes:
        image: Latent distribution of the image, where the sampler starts from it or freezes it.
        masked_image: Latent distribution of the image with the region to edit painted gray; for an inpainting
            checkpoint.
        mask: The mask at the latents' size, (N, 1, h, w).
        instructed: Mean latents of the image before scaling, (N, C, h, w); for an instruction-following checkpoint.
    """

    image: Posterior | None
    masked_image: Posterior | None
    mask: torch.Tensor
    instructed: torch.Tensor | None = None

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> EditInputs:
        """Return the inputs with every tensor changed.

        Args:
            change: What is done to each.
        """
        return EditInputs(
            self.image and self.image.changed(change),
            self.masked_image and self.masked_image.changed(change),
            change(self.mask),
            None if self.instructed is None else change(self.instructed),
        )

    def repeat(self, count: int) -> EditInputs:
        """Repeat the batch `count` times, repetition by repetition, so that one encoding serves many edits."""
        return self.changed(lambda tensor: tensor.repeat(count, 1, 1, 1))

    def conditioning(self, generators: CaseGenerators | None = None) -> torch.Tensor | None:
        """Return what the UNet is given beside the latents, or None for a text-to-image checkpoint.

        Mask and latents of the masked image for an inpainting checkpoint, (N, C + 1, h, w); latents of the image for an
        instruction-following one, (N, C, h, w).

        Args:
            generators: If given, the latents of the masked image are a sample drawn from them; else the mean.
        """
        import torch

        if self.instructed is not None:
            return self.instructed
        if self.masked_image is None:
            return None
        masked = self.masked_image.draw(generators)
        return torch.cat([self.mask.to(masked), masked], dim=1)


@dataclass(frozen=True)
class Start:
    """Where the sampler of an edit begins, after all random numbers but those of its steps are drawn.

    Attributes:
        latents: What the first step denoises, (N, C, h, w).
        timesteps: The timesteps to run.
        conditioning: Mask and latents of the masked image for an inpainting checkpoint, (N, C + 1, h, w), or None.
        frozen: The part of the latents that a text-to-image checkpoint must not change, or None.
    """

    latents: torch.Tensor
    timesteps: torch.Tensor
    conditioning: torch.Tensor | None
    frozen: Frozen | None


class Editor(ABC):
    """A way to edit an image with a model.

    Attributes:
        name: Identifier in presets and results.
        reads_mask: Whether the editor repaints a masked region and reads the rest; else it reads the whole image.
        reads_settings: Names of the settings that its edits depend on; it is given the others at their defaults, and
            what was computed with one value of these counts for all.
        kinds: What kinds of checkpoints it runs on.
        inputs: Files that it reads, see `photoguard_eval.attacks.Attack`: a changed file is a changed editor.
    """

    name: ClassVar[str]
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
            others = [name for name, editor in EDITORS.classes().items() if kind in editor.kinds]
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
        gradient_steps: int | None = None,
    ) -> torch.Tensor:
        """Sample an edit; differentiable with respect to the images where gradients are enabled.

        Args:
            model: The model.
            inputs: From `prepare`.
            prompt_embeddings: Of the prompts of the edits.
            unconditional_embeddings: What guidance leads away from; None for no guidance.
            generators: One per edit.
            settings: Hyper-parameters.
            gradient_steps: Keep only so many last steps on the graph; None for all.

        Returns:
            Shape (N, 3, H, W), around [0, 1] but not clipped, not composited.

        Raises:
            ConfigurationError: If no gradient could reach the images through so few steps.
        """
        return _denoise(
            model,
            self.start(model, inputs, generators, settings),
            prompt_embeddings,
            unconditional_embeddings,
            generators,
            settings,
            gradient_steps,
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
        """
        import torch

        self.require_kind(model.kind)
        _require_batch(images, masks, prompts, seeds, originals)
        require_multiple(images, model.size_multiple, "The image to edit")
        # One rule for what is repainted, what is encoded and what is pasted, also for a mask with soft edges.
        masks = (masks >= 0.5).to(images)
        guided = not model.is_consistency_model and (settings.guidance_scale != 1 or model.kind == "instruction")
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

SAMPLING = frozenset({"guidance_scale", "num_inference_steps", "eta"})
"""The settings that every sampler of this module reads."""


@register_editor
class InpaintEditor(Editor):
    """Repaint the masked region so that it fits the prompt and what is kept.

    An inpainting checkpoint is given the mask and the latents of the masked image at every step. A text-to-image
    checkpoint has the unedited part frozen: after every step it is set to the original latents, noised to the step's
    level (paper, Section 2.1).
    """

    name = "inpaint"
    reads_mask = True
    reads_settings = SAMPLING | {"sample_latents", "composite"}

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        del settings
        mask = _latent_mask(model, masks)
        if model.is_inpainting:
            return EditInputs(None, model.posterior(_painted_gray(images, masks)), mask)
        return EditInputs(model.posterior(images), None, mask)

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        sampled_from = generators if settings.sample_latents else None
        frozen = None if inputs.image is None else inputs.image.draw(sampled_from)
        noise = _initial_noise(model, inputs, generators)
        conditioning = inputs.conditioning(sampled_from)
        if frozen is not None and settings.sample_latents:
            # Here the pipeline draws latents of the masked image, which a text-to-image UNet does not take.
            generators.normal(noise.shape[1:], noise)
        return Start(
            noise,
            model.scheduler(settings.num_inference_steps).timesteps,
            conditioning,
            None if frozen is None else Frozen(frozen, noise, inputs.mask),
        )


@register_editor
class Img2ImgEditor(Editor):
    """Vary the whole image: noise its latents part of the way and denoise them under the prompt (SDEdit).

    On an inpainting checkpoint the mask is all ones, so that the masked image is all gray and the image acts through
    the latents that the sampler starts from.
    """

    name = "img2img"
    reads_mask = False
    reads_settings = SAMPLING | {"sample_latents", "strength"}

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        import torch

        del masks, settings
        masked = model.posterior_of_gray(*images.shape[-2:]).repeat(len(images)) if model.is_inpainting else None
        mask = _latent_mask(model, torch.ones_like(images[:, :1]))
        return EditInputs(model.posterior(images), masked, mask)

    def schedule_length(self, executed: int, settings: EditSettings) -> int:
        """See `Editor.schedule_length`."""
        length = executed
        while self.executed_steps(settings.changed(num_inference_steps=length)) < executed:
            length += 1
        return length

    def executed_steps(self, settings: EditSettings) -> int:
        """See `Editor.executed_steps`: at least one, so that every strength edits something."""
        return max(1, int(settings.num_inference_steps * settings.strength))

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        assert inputs.image is not None
        steps = settings.num_inference_steps
        timesteps = model.scheduler(steps).timesteps[steps - self.executed_steps(settings) :]
        sampled_from = generators if settings.sample_latents else None
        clean = inputs.image.draw(sampled_from)
        noise = _initial_noise(model, inputs, generators)
        conditioning = inputs.conditioning(sampled_from)
        noised = model.scheduler(steps).add_noise(clean, noise, timesteps[:1])
        return Start(noised, timesteps, conditioning, None)

    def denoise(
        self,
        model: LatentDiffusion,
        inputs: EditInputs,
        prompt_embeddings: PromptEmbeddings,
        unconditional_embeddings: PromptEmbeddings | None,
        generators: CaseGenerators,
        settings: EditSettings,
        gradient_steps: int | None = None,
    ) -> torch.Tensor:
        """See `Editor.denoise`."""
        import torch

        executed = self.executed_steps(settings)
        if torch.is_grad_enabled() and gradient_steps is not None and gradient_steps < executed:
            raise ConfigurationError(
                f"gradient_steps is {gradient_steps} of {executed}, but a variation depends on the image only through "
                "the latents that its first step starts from. Keep all steps on the graph (gradient_steps=None), and "
                "run fewer of them to save memory."
            )
        return super().denoise(
            model, inputs, prompt_embeddings, unconditional_embeddings, generators, settings, gradient_steps
        )


@register_editor
class InstructEditor(Editor):
    """Edit the whole image after an instruction, with a checkpoint that is trained to follow them (InstructPix2Pix).

    The image acts through its latents, which are given to the UNet at every step; the sampler starts from noise.
    """

    name = "instruct"
    reads_mask = False
    reads_settings = SAMPLING | {"image_guidance_scale"}
    kinds = ("instruction",)

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        import torch

        del masks, settings
        return EditInputs(None, None, _latent_mask(model, torch.ones_like(images[:, :1])), model.encode(images))

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        timesteps = model.scheduler(settings.num_inference_steps).timesteps
        return Start(_initial_noise(model, inputs, generators), timesteps, inputs.conditioning(), None)


def default_editor(kind: Kind, *, has_mask: bool) -> str:
    """Return the editor that an adversary uses on a kind of checkpoint.

    Args:
        kind: Of the checkpoint.
        has_mask: Whether a region to edit is marked.

    Raises:
        ConfigurationError: If one is marked and the checkpoint reads none.
    """
    if kind == "instruction":
        if has_mask:
            raise ConfigurationError("A checkpoint that follows instructions reads no mask. Leave the mask out.")
        return InstructEditor.name
    return InpaintEditor.name if has_mask else Img2ImgEditor.name


@dataclass(frozen=True)
class Frozen:
    """The part of the latents that a text-to-image checkpoint must not change.

    Attributes:
        latents: Latents of the image, (N, C, h, w).
        noise: The noise that the sampler started from; it noises the frozen part to each step's level.
        mask: Shape (N, 1, h, w), 1 = free.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor

    def restore(self, sampled: torch.Tensor, scheduler: Any, timestep: torch.Tensor | None) -> torch.Tensor:
        """Put the frozen part back, noised to a timestep's level, or clean after the last step."""
        known = self.latents if timestep is None else scheduler.add_noise(self.latents, self.noise, timestep[None])
        return (1 - self.mask) * known + self.mask * sampled


def _denoise(
    model: LatentDiffusion,
    start: Start,
    prompt_embeddings: PromptEmbeddings,
    unconditional_embeddings: PromptEmbeddings | None,
    generators: CaseGenerators,
    settings: EditSettings,
    gradient_steps: int | None,
) -> torch.Tensor:
    """Run the sampler over the timesteps and decode.

    DDIM (Song et al. 2021, Eq. 12 and 16), or the multistep sampling of a consistency model (Song et al. 2023,
    Algorithm 1), whose noise is not the settings' to choose.
    """
    import torch

    if gradient_steps is not None and gradient_steps < 1:
        raise ConfigurationError(f"gradient_steps is {gradient_steps}; expected at least 1, or None for all steps.")
    scheduler = model.scheduler(settings.num_inference_steps)
    latents, timesteps = start.latents, start.timesteps
    first_with_gradient = 0 if gradient_steps is None else max(0, len(timesteps) - gradient_steps)
    for index, timestep in enumerate(timesteps):
        with torch.set_grad_enabled(torch.is_grad_enabled() and index >= first_with_gradient):
            prediction = model.predict_noise(
                latents,
                timestep,
                prompt_embeddings,
                unconditional_embeddings=unconditional_embeddings,
                guidance_scale=settings.guidance_scale,
                conditioning=start.conditioning,
                image_guidance_scale=settings.image_guidance_scale,
            )
            if model.is_consistency_model:
                options: dict[str, Any] = {"generator": list(generators.generators)}
            else:
                noise = generators.normal(latents.shape[1:], latents) if settings.eta > 0 else None
                options = {"eta": settings.eta, "variance_noise": noise}
            latents = scheduler.step(prediction, timestep, latents, **options, return_dict=False)[0]
            if start.frozen is not None:
                following = timesteps[index + 1] if index + 1 < len(timesteps) else None
                latents = start.frozen.restore(latents, scheduler, following)
    return model.decode(latents)


def _initial_noise(model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators) -> torch.Tensor:
    shape = (model.latent_channels, *inputs.mask.shape[-2:])
    latents = inputs.image or inputs.masked_image
    like = inputs.instructed if latents is None else latents.mean
    assert like is not None
    return generators.normal(shape, like)


def _painted_gray(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Paint the region to edit in the gray that is 0 in the model's [-1, 1]."""
    return images * (1 - masks) + 0.5 * masks


def _latent_mask(model: LatentDiffusion, masks: torch.Tensor) -> torch.Tensor:
    """Take every f-th pixel of the masks, as the pipelines do."""
    from torch.nn.functional import interpolate

    size = [side // model.downscale_factor for side in masks.shape[-2:]]
    return interpolate(masks, size=size)


def _require_batch(
    images: torch.Tensor,
    masks: torch.Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    originals: torch.Tensor | None,
) -> None:
    counts = {"images": len(images), "masks": len(masks), "prompts": len(prompts), "seeds": len(seeds)}
    if originals is not None:
        counts["originals"] = len(originals)
    if len(images) == 0 or len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise ConfigurationError(f"Got {listed}; expected at least one image, and one of each per image.")
    _require_channels(images, 3, "The images to edit")
    _require_channels(masks, 1, "The masks")
    require_same_size(images, masks, "The image to edit")
    if originals is not None:
        _require_channels(originals, 3, "The originals of the images to edit")
        require_same_size(images, originals, "The original of the image to edit")


def _require_channels(images: torch.Tensor, channels: int, name: str) -> None:
    if images.ndim != 4 or images.shape[1] != channels:
        raise InvalidImageError(
            f"{name} have shape {tuple(images.shape)}; expected (N, {channels}, height, width). Read files with "
            "read_image of photoguard_eval.images.arrays and read_mask of photoguard_eval.images.masks, which give it."
        )
