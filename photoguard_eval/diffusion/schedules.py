"""The noise levels that a sampler steps through: one class for each kind of sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from photoguard_eval.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators

SMALLEST_SIGNAL = 2.0**-24
"""What stands for no signal at all: the smallest step of float16, as diffusers' Euler scheduler takes it."""


@dataclass(frozen=True)
class Schedule(ABC):
    """How a checkpoint is sampled from.

    Attributes:
        config: Configuration of any scheduler of diffusers.
        counts_steps: Whether a scheduler counts its own steps, so that each sampling needs a new one.
    """

    config: Mapping[str, Any]

    counts_steps: ClassVar[bool]

    @abstractmethod
    def scheduler(self, steps: int, device: torch.device) -> Any:
        """Return a new scheduler of diffusers, set to a number of steps.

        Args:
            steps: How many.
            device: Where its timesteps lie.

        Raises:
            ConfigurationError: If the checkpoint's schedule cannot be cut into so many.
        """

    @abstractmethod
    def step_options(self, latents: torch.Tensor, generators: CaseGenerators, eta: float) -> dict[str, Any]:
        """Return what the scheduler's step takes besides prediction, timestep and latents.

        Args:
            latents: What the step denoises, (N, C, h, w).
            generators: N of them, for the noise that the step adds.
            eta: How much noise is added, where it can be chosen: 0 for none, 1 for as much as DDPM adds.
        """


class DdimSchedule(Schedule):
    """DDIM (Song et al. 2021, Eq. 12 and 16)."""

    counts_steps = False

    def scheduler(self, steps: int, device: torch.device) -> Any:
        """See `Schedule.scheduler`.

        As the pipelines do, latents are never clipped and the schedule is offset by one step, whatever the checkpoint's
        configuration says; so it cannot be run whole. A schedule that ends in noise alone is made to end in almost
        nothing else: with all the noise of DDPM, diffusers' step would take the root of a rounding error below zero.
        """
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler.from_config(  # type: ignore[no-untyped-call]
            self.config, clip_sample=False, steps_offset=1
        )
        trained = scheduler.config.num_train_timesteps
        if not 1 <= steps < trained:
            raise ConfigurationError(
                f"num_inference_steps is {steps}; expected 1 to {trained - 1}, fewer than the {trained} steps "
                "that the checkpoint was trained with."
            )
        scheduler.set_timesteps(steps, device=device)
        if scheduler.alphas_cumprod[-1] == 0:
            scheduler.alphas_cumprod[-1] = SMALLEST_SIGNAL
        return scheduler

    def step_options(self, latents: torch.Tensor, generators: CaseGenerators, eta: float) -> dict[str, Any]:
        """See `Schedule.step_options`."""
        noise = generators.normal(latents.shape[1:], latents) if eta > 0 else None
        return {"eta": eta, "variance_noise": noise}


class ConsistencySchedule(Schedule):
    """Multistep sampling of a consistency model (Song et al. 2023, Algorithm 1), whose noise cannot be chosen."""

    counts_steps = True

    prescribed: ClassVar[Mapping[str, float]] = MappingProxyType({"num_inference_steps": 4})
    """Settings that such models are published for (Luo et al. 2023: 2 to 4 steps)."""

    def scheduler(self, steps: int, device: torch.device) -> Any:
        """See `Schedule.scheduler`."""
        from diffusers import LCMScheduler

        scheduler = LCMScheduler.from_config(self.config, clip_sample=False)  # type: ignore[no-untyped-call]
        distilled = scheduler.config.original_inference_steps
        if not 1 <= steps <= distilled:
            raise ConfigurationError(
                f"num_inference_steps is {steps}; expected 1 to {distilled}, the steps that the consistency model was "
                "distilled from. 4 are usual."
            )
        scheduler.set_timesteps(steps, device=device)
        return scheduler

    def step_options(self, latents: torch.Tensor, generators: CaseGenerators, eta: float) -> dict[str, Any]:
        """See `Schedule.step_options`."""
        del latents, eta
        return {"generator": list(generators.generators)}


def noise_in(prediction: torch.Tensor, latents: torch.Tensor, signal: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the noise ε that a prediction stands for.

    Args:
        prediction: Shape (N, C, h, w).
        latents: What was denoised, same shape.
        signal: ᾱ of each, (N, 1, 1, 1).
        kind: What was predicted, as diffusers calls it.

    Raises:
        ModelError: If the kind is none of diffusers' three.
    """
    if kind == "epsilon":
        return prediction
    if kind == "v_prediction":
        # Salimans and Ho 2022, Appendix D: v = √ᾱ · ε − √(1 − ᾱ) · z, so that ε = √ᾱ · v + √(1 − ᾱ) · z_t.
        return signal.sqrt() * prediction + (1 - signal).sqrt() * latents
    if kind == "sample":
        return (latents - signal.sqrt() * prediction) / (1 - signal).sqrt()
    raise ModelError(f"The checkpoint's prediction_type is {kind!r}; expected 'epsilon', 'v_prediction' or 'sample'.")
