"""Attacks on the denoising loss: AdvDM, Mist, score distillation (SDS) and ACE.

All of them noise the latents of the image to a random timestep, as training does, and look at the noise that the UNet
finds there. They were published for text-to-image checkpoints; on an inpainting checkpoint the UNet is conditioned on
the mask and the masked image as the editor conditions it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from photoguard_eval.attacks.base import register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import NonNegativeFloat, parameters
from photoguard_eval.attacks.gradient import GradientAttack, Noised, TargetedAttack, noised
from photoguard_eval.attacks.targets import encode_target

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion, PromptEmbeddings
    from photoguard_eval.randomness import CaseGenerators

REFERENCE_LATENTS = 4 * 64 * 64
"""Numbers in the latents of an image of 512 × 512 of Stable Diffusion, over which Mist sums its squares."""


@parameters
class DenoisingAttack(GradientAttack):
    """An attack whose loss is made of what the UNet predicts for the noised latents of the image.

    Attributes:
        prompt: What the UNet is told the image shows.
    """

    gradient_through = "encoder, UNet"

    prompt: str = ""

    def _embedded_prompt(self, model: LatentDiffusion, batch: AttackBatch) -> PromptEmbeddings:
        return model.embed_prompts([self.prompt] * len(batch))


def denoising_error(model: LatentDiffusion, sample: Noised, prompt: PromptEmbeddings) -> torch.Tensor:
    """Return the training loss of each image, ‖ε_θ(z_t, t, c) − ε‖² as a mean over the latents, (N,)."""
    errors: torch.Tensor = (sample.predicted_noise(model, prompt) - sample.noise).square().flatten(1).mean(dim=1)
    return errors


@register_attack
@parameters
class AdvDmAttack(DenoisingAttack):
    """Maximise the training loss of the diffusion model: E ‖ε_θ(z_t, t, c) − ε‖² over timesteps and noise."""

    name = "advdm"
    title = "AdvDM"
    paper = "Liang et al. 2023, Adversarial Example Does Good: Preventing Painting Imitation"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"step_size": 1 / 255, "steps": 100}}

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        prompt = self._embedded_prompt(model, batch)
        return lambda images: -denoising_error(model, noised(model, batch, images, generator), prompt)


@register_attack
@parameters
class MistAttack(DenoisingAttack, TargetedAttack):
    """Drive the latents to a target's (textural), raise the training loss (semantic), or both (fused).

    The fused loss is Σ(E(x) − E(x_targ))² − λ · ‖ε_θ(z_t, t, c) − ε‖², with latents in the UNet's scale. The sum is
    taken as a mean over as many numbers as an image of 512 × 512 has latents, so that λ weighs the same at every size.

    Attributes:
        mode: Which of the losses is taken.
        weight: λ, of the semantic loss in the fused one.
    """

    name = "mist"
    title = "Mist"
    paper = "Liang and Wu 2023, Mist: Towards Improved Adversarial Examples for Diffusion Models"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"step_size": 1 / 255, "steps": 100}}

    prompt: str = "a painting"
    mode: Literal["textural", "semantic", "fused"] = "fused"
    weight: NonNegativeFloat = 1e4

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`."""
        super().__post_init__()
        self.gradient_through = "encoder" if self.mode == "textural" else "encoder, UNet"

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        prompt = self._embedded_prompt(model, batch)
        squared_distance = self._squared_distance_to_target(model, batch)

        def textural(images: torch.Tensor) -> torch.Tensor:
            return squared_distance(images).mean(dim=1) * REFERENCE_LATENTS

        def semantic(images: torch.Tensor) -> torch.Tensor:
            return -denoising_error(model, noised(model, batch, images, generator), prompt)

        def fused(images: torch.Tensor) -> torch.Tensor:
            return textural(images) + self.weight * semantic(images)

        return {"textural": textural, "semantic": semantic, "fused": fused}[self.mode]


@register_attack
@parameters
class SdsAttack(DenoisingAttack, TargetedAttack):
    """Follow the score distillation gradient ε_θ(z_t, t, c) − ε through the encoder, without the UNet's Jacobian.

    Descending it ("minus", the default) makes the image one that the model finds likely, so that edits blur; ascending
    it ("plus") works against the model as AdvDM does, at the cost of the encoder's gradient alone. With a weight for
    the targeted loss the latents are driven to a target besides (SDST).

    Attributes:
        direction: "minus" descends the score distillation loss, "plus" ascends it.
        target_weight: Weight of the squared distance of the latents, in the UNet's scale, to the target's: a fifth
            for SDST, which weighs the score by five, 0 for none.
    """

    name = "sds"
    title = "SDS"
    paper = "Xue et al. 2024, Toward Effective Protection Against Diffusion-Based Mimicry Through Score Distillation"
    gradient_through = "encoder"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"step_size": 1 / 255, "steps": 100},
        "targeted": {"target_weight": 1 / 5},
    }

    direction: Literal["minus", "plus"] = "minus"
    target_weight: NonNegativeFloat = 0.0

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        prompt = self._embedded_prompt(model, batch)
        squared_distance = self._squared_distance_to_target(model, batch) if self.target_weight else None
        sign = 1 if self.direction == "minus" else -1

        def loss(images: torch.Tensor) -> torch.Tensor:
            sample = noised(model, batch, images, generator)
            with torch.no_grad():
                score = sample.predicted_noise(model, prompt) - sample.noise
            # Its gradient with respect to the latents is the score, which is all that the method passes back.
            losses: torch.Tensor = sign * (score * sample.clean).flatten(1).sum(dim=1)
            if squared_distance is not None:
                losses = losses + self.target_weight * squared_distance(images).sum(dim=1)
            return losses

        return loss


@register_attack
@parameters
class AceAttack(DenoisingAttack, TargetedAttack):
    """Drive the UNet's output to one fixed target, whatever timestep and noise: ‖ε_θ(z_t, t, c) − E(x_targ)‖².

    The errors that the model makes on the immunized image then all point the same way and add up. As in the released
    code it is the raw output that is compared, noise or v as the checkpoint was trained to predict, and timesteps are
    drawn from the noisier part of the schedule.

    Attributes:
        timesteps_from: Where the part of the noise schedule begins that timesteps are drawn from, as a share of it:
            0 for all of it, to less than 1.
    """

    name = "ace"
    title = "ACE"
    paper = "Zheng et al. 2023, Understanding and Improving Adversarial Attacks on Latent Diffusion Model"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"budget": "4/255"}}

    timesteps_from: Annotated[float, Field(ge=0, lt=1)] = 0.6

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        prompt = self._embedded_prompt(model, batch)
        target = encode_target(self.target, model, batch.images) * model.latent_scale
        timesteps = torch.arange(int(self.timesteps_from * model.trained_timesteps), model.trained_timesteps)

        def distance(images: torch.Tensor) -> torch.Tensor:
            predicted = noised(model, batch, images, generator, timesteps).prediction(model, prompt)
            losses: torch.Tensor = (predicted - target).square().flatten(1).mean(dim=1)
            return losses

        return distance
