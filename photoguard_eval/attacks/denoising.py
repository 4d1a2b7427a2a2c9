"""Attacks on the denoising loss: AdvDM, Mist, score distillation (SDS) and ACE.

All of them noise the latents of the image to a random timestep, as training does, and look at the noise that the UNet
finds there. They were published for text-to-image checkpoints; on an inpainting checkpoint the UNet is conditioned on
the mask and the masked image as the editor conditions it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from photoguard_eval.attacks.base import (
    DEFAULT_EPSILON,
    AttackBatch,
    Norm,
    register_attack,
    require_choice,
    require_not_negative,
)
from photoguard_eval.attacks.gradient import (
    DEFAULT_STEP_SIZE,
    DEFAULT_STEPS,
    GradientAttack,
    Noised,
    TargetedAttack,
    noised,
)
from photoguard_eval.attacks.targets import encode_target
from photoguard_eval.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion, PromptEmbeddings
    from photoguard_eval.randomness import CaseGenerators

REFERENCE_LATENTS = 4 * 64 * 64
"""Numbers in the latents of an image of 512 × 512 of Stable Diffusion, over which Mist sums its squares."""


class DenoisingAttack(GradientAttack):
    """An attack whose loss is made of what the UNet predicts for the noised latents of the image."""

    gradient_through = "encoder, UNet"

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
        prompt: str = "",
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: See `GradientAttack`, as for the other parameters of the descent.
            norm: See `GradientAttack`.
            step_size: See `GradientAttack`.
            steps: See `GradientAttack`.
            prompt: What the UNet is told the image shows.

        Raises:
            ConfigurationError: If a value is out of range.
        """
        super().__init__(epsilon=epsilon, norm=norm, step_size=step_size, steps=steps)
        self.prompt = prompt

    def _embedded_prompt(self, model: LatentDiffusion, batch: AttackBatch) -> PromptEmbeddings:
        return model.embed_prompts([self.prompt] * len(batch))


def denoising_error(model: LatentDiffusion, sample: Noised, prompt: PromptEmbeddings) -> torch.Tensor:
    """Return the training loss of each image, ‖ε_θ(z_t, t, c) − ε‖² as a mean over the latents, (N,)."""
    errors: torch.Tensor = (sample.predicted_noise(model, prompt) - sample.noise).square().flatten(1).mean(dim=1)
    return errors


@register_attack
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
class MistAttack(DenoisingAttack, TargetedAttack):
    """Drive the latents to a target's (textural), raise the training loss (semantic), or both (fused).

    The fused loss is Σ(E(x) − E(x_targ))² − λ · ‖ε_θ(z_t, t, c) − ε‖², with latents in the UNet's scale. The sum is
    taken as a mean over as many numbers as an image of 512 × 512 has latents, so that λ weighs the same at every size.
    """

    name = "mist"
    title = "Mist"
    paper = "Liang and Wu 2023, Mist: Towards Improved Adversarial Examples for Diffusion Models"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"step_size": 1 / 255, "steps": 100}}

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
        prompt: str = "a painting",
        mode: str = "fused",
        weight: float = 1e4,
        target: str = "pattern",
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: See `GradientAttack`, as for the other parameters of the descent.
            norm: See `GradientAttack`.
            step_size: See `GradientAttack`.
            steps: See `GradientAttack`.
            prompt: What the UNet is told the image shows.
            mode: "textural", "semantic" or "fused".
            weight: λ, of the semantic loss in the fused one.
            target: What the latents are driven to; see `encode_target`.

        Raises:
            ConfigurationError: If a value is out of range.
            InvalidImageError: If the target image cannot be read.
        """
        super().__init__(epsilon=epsilon, norm=norm, step_size=step_size, steps=steps, prompt=prompt)
        require_choice(("textural", "semantic", "fused"), mode=mode)
        require_not_negative(weight=weight)
        self._take_target(target)
        self.mode = mode
        self.gradient_through = "encoder" if mode == "textural" else "encoder, UNet"
        self.weight = weight

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
class SdsAttack(DenoisingAttack, TargetedAttack):
    """Follow the score distillation gradient ε_θ(z_t, t, c) − ε through the encoder, without the UNet's Jacobian.

    Descending it ("minus", the default) makes the image one that the model finds likely, so that edits blur; ascending
    it ("plus") works against the model as AdvDM does, at the cost of the encoder's gradient alone. With a weight for
    the targeted loss the latents are driven to a target besides (SDST).
    """

    name = "sds"
    title = "SDS"
    paper = "Xue et al. 2024, Toward Effective Protection Against Diffusion-Based Mimicry Through Score Distillation"
    gradient_through = "encoder"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"step_size": 1 / 255, "steps": 100},
        "targeted": {"target_weight": 1 / 5},
    }

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
        prompt: str = "",
        direction: str = "minus",
        target_weight: float = 0.0,
        target: str = "pattern",
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: See `GradientAttack`, as for the other parameters of the descent.
            norm: See `GradientAttack`.
            step_size: See `GradientAttack`.
            steps: See `GradientAttack`.
            prompt: What the UNet is told the image shows.
            direction: "minus" descends the score distillation loss, "plus" ascends it.
            target_weight: Weight of the squared distance of the latents, in the UNet's scale, to the target's: a fifth
                for SDST, which weighs the score by five, 0 for none.
            target: What the latents are driven to; see `encode_target`.

        Raises:
            ConfigurationError: If a value is out of range.
            InvalidImageError: If the target image cannot be read.
        """
        super().__init__(epsilon=epsilon, norm=norm, step_size=step_size, steps=steps, prompt=prompt)
        require_choice(("minus", "plus"), direction=direction)
        require_not_negative(target_weight=target_weight)
        self._take_target(target)
        self.direction = direction
        self.target_weight = target_weight

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
class AceAttack(DenoisingAttack, TargetedAttack):
    """Drive the UNet's output to one fixed target, whatever timestep and noise: ‖ε_θ(z_t, t, c) − E(x_targ)‖².

    The errors that the model makes on the immunized image then all point the same way and add up. As in the released
    code it is the raw output that is compared, noise or v as the checkpoint was trained to predict, and timesteps are
    drawn from the noisier part of the schedule.
    """

    name = "ace"
    title = "ACE"
    paper = "Zheng et al. 2023, Understanding and Improving Adversarial Attacks on Latent Diffusion Model"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"epsilon": 4 / 255}}

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
        prompt: str = "",
        target: str = "pattern",
        timesteps_from: float = 0.6,
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: See `GradientAttack`, as for the other parameters of the descent.
            norm: See `GradientAttack`.
            step_size: See `GradientAttack`.
            steps: See `GradientAttack`.
            prompt: What the UNet is told the image shows.
            target: Image whose latents are the target; see `encode_target`.
            timesteps_from: Where the part of the noise schedule begins that timesteps are drawn from, as a share of it:
                0 for all of it, to less than 1.

        Raises:
            ConfigurationError: If a value is out of range.
            InvalidImageError: If the target image cannot be read.
        """
        super().__init__(epsilon=epsilon, norm=norm, step_size=step_size, steps=steps, prompt=prompt)
        if not 0 <= timesteps_from < 1:
            raise ConfigurationError(f"timesteps_from is {timesteps_from}; expected 0, the whole schedule, to below 1.")
        self._take_target(target)
        self.timesteps_from = timesteps_from

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
