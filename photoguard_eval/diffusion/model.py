"""A latent diffusion checkpoint as one frozen, differentiable object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from photoguard_eval.diffusion.devices import at_least_float32
from photoguard_eval.diffusion.guidance import UNGUIDED, Denoised, Guidance, Scales, UnetAt, guidance_of
from photoguard_eval.diffusion.kinds import Kind, kind_of_unet
from photoguard_eval.diffusion.posterior import Posterior
from photoguard_eval.diffusion.schedules import ConsistencySchedule, DdimSchedule, Schedule, noise_in
from photoguard_eval.diffusion.text import PromptEmbeddings, TextEncoder

if TYPE_CHECKING:
    import torch


class LatentDiffusion:
    """An autoencoder, a denoising UNet, a text encoder and a noise schedule.

    The weights are frozen; everything but the text encoder is differentiable with respect to its image or latents.
    Images are in [0, 1]; the model's own [-1, 1] does not leave this class.

    Attributes:
        DERIVED: What is derived from weights and configuration when it is first needed, and kept.
    """

    DERIVED = ("_schedulers", "_gray", "_scale_and_shift", "downscale_factor", "size_multiple", "guidance", "schedule")

    def __init__(self, vae: Any, unet: Any, text: TextEncoder, scheduler_config: Any) -> None:
        """Put components of diffusers together and freeze them.

        Args:
            vae: An `AutoencoderKL`.
            unet: A `UNet2DConditionModel`.
            text: What encodes prompts.
            scheduler_config: Configuration of any scheduler of diffusers; sampling is by DDIM, or as a consistency
                model where the UNet was distilled to one.

        Raises:
            ModelError: If the UNet's channels fit no kind.
        """
        self.vae = vae.eval().requires_grad_(False)
        self.unet = unet.eval().requires_grad_(False)
        self.text = text
        for encoder in text.encoders:
            encoder.eval().requires_grad_(False)
        self._scheduler_config = scheduler_config
        self.forget()
        self.kind: Kind = kind_of_unet(unet.config.in_channels, self.latent_channels)

    def forget(self) -> None:
        """Forget what was derived, which is derived again when it is needed."""
        for name in self.DERIVED:
            self.__dict__.pop(name, None)
        self._schedulers: dict[int, Any] = {}
        self._gray: dict[tuple[int, int], Posterior] = {}

    def checkpoint_gradients(self, enabled: bool = True) -> None:
        """Choose whether activations are kept for gradients, or computed again when a gradient needs them.

        Computed again, a gradient takes a third more time and a fraction of the memory; its value is the same.

        Args:
            enabled: Whether to compute them again.
        """
        for part in (self.vae, self.unet):
            (part.enable_gradient_checkpointing if enabled else part.disable_gradient_checkpointing)()

    @property
    def is_inpainting(self) -> bool:
        """Whether the UNet is given the mask and the latents of the masked image."""
        return self.kind == "inpainting"

    @property
    def is_consistency_model(self) -> bool:
        """Whether the UNet was distilled to jump to the clean latents, and takes guidance as an input."""
        return self.unet.config.time_cond_proj_dim is not None

    @cached_property
    def guidance(self) -> Guidance:
        """How predictions are led towards the prompt."""
        return guidance_of(self.kind, self.unet.config.time_cond_proj_dim)

    @cached_property
    def schedule(self) -> Schedule:
        """How edits are sampled: as a consistency model where the UNet was distilled to one, else by DDIM."""
        kind = ConsistencySchedule if self.is_consistency_model else DdimSchedule
        return kind(self._scheduler_config)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.vae.config.latent_channels)

    @property
    def latent_scale(self) -> float:
        """What latents are multiplied by between the autoencoder and the UNet."""
        return self._scale_and_shift[0]

    @cached_property
    def downscale_factor(self) -> int:
        """Pixels per latent along a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @cached_property
    def size_multiple(self) -> int:
        """What the sides of images must be multiples of, in pixels: the UNet halves the latents too."""
        return int(self.downscale_factor * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def native_size(self) -> int:
        """The side of the images that the model was trained on, in pixels."""
        return int(self.unet.config.sample_size * self.downscale_factor)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.unet.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type that the model computes in."""
        dtype: torch.dtype = self.unet.dtype
        return dtype

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images to the mean of their latents before scaling, as the encoder attack's loss takes them.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].

        Returns:
            Shape (N, C, H / f, W / f), float32; f is `downscale_factor`.

        Example:
            >>> import torch
            >>> from photoguard_eval.diffusion import load_model
            >>> model = load_model("inpaint-a")
            >>> image = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
            >>> latents = model.encode(image)
            >>> latents.shape, model.downscale_factor
            (torch.Size([1, 12, 16, 16]), 4)
            >>> latents.norm().backward()
            >>> image.grad.shape
            torch.Size([1, 3, 64, 64])
        """
        return at_least_float32(self._latent_distribution(images).mean)

    def posterior(self, images: torch.Tensor) -> Posterior:
        """Encode images to their latent distribution, in the scale that the UNet works in, float32.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
        """
        distribution = self._latent_distribution(images)
        scale, shift = self._scale_and_shift
        mean, deviation = at_least_float32(distribution.mean), at_least_float32(distribution.std)
        return Posterior((mean - shift) * scale, deviation * scale)

    def posterior_of_gray(self, height: int, width: int) -> Posterior:
        """Encode one image that is all gray, 0 in the model's [-1, 1], once for each size and without gradient.

        Args:
            height: Of the image, in pixels.
            width: Of the image, in pixels.

        Returns:
            Latents of shape (1, C, H / f, W / f).
        """
        import torch

        if (height, width) not in self._gray:
            with torch.no_grad():
                self._gray[height, width] = self.posterior(torch.full((1, 3, height, width), 0.5, device=self.device))
        return self._gray[height, width]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents in the UNet's scale to images.

        Args:
            latents: Shape (N, C, h, w).

        Returns:
            Shape (N, 3, h · f, w · f), float32, around [0, 1] but not clipped to it, so that gradients flow.
        """
        scale, shift = self._scale_and_shift
        images: torch.Tensor = self.vae.decode((latents / scale + shift).to(self.vae.dtype), return_dict=False)[0]
        return at_least_float32(images) / 2 + 0.5

    def embed_prompts(self, prompts: Sequence[str]) -> PromptEmbeddings:
        """Encode prompts.

        Args:
            prompts: N texts; one longer than the text encoder's limit is cut, with a warning.
        """
        return self.text.embed(prompts, self.device, self.dtype)

    def unconditional(self, count: int) -> PromptEmbeddings:
        """Return what classifier-free guidance leads away from.

        Args:
            count: How many times.
        """
        return self.text.unconditional(count, self.device, self.dtype)

    def predict_noise(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        prompt_embeddings: PromptEmbeddings,
        *,
        unconditional_embeddings: PromptEmbeddings | None = None,
        scales: Scales = UNGUIDED,
        conditioning: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the UNet, with classifier-free guidance where it has an effect.

        The checkpoint decides how it is guided; see `photoguard_eval.diffusion.guidance`. All branches run in one call.
        With scales of 1, or without unconditional embeddings, only the conditional branch runs.

        Args:
            latents: Shape (N, C, h, w).
            timestep: Scalar, or shape (N,).
            prompt_embeddings: Of N prompts.
            unconditional_embeddings: What guidance leads away from, as many.
            scales: How strongly it is guided.
            conditioning: Mask and latents of the masked image for an inpainting checkpoint, (N, C + 1, h, w); latents
                of the image for an instruction-following one, (N, C, h, w).

        Returns:
            The prediction in the parametrisation of the checkpoint (noise, v, …), shape (N, C, h, w), float32.
        """
        return self.guidance.predict(
            UnetAt(self.unet, timestep, self.downscale_factor),
            Denoised(latents, conditioning, self.dtype),
            prompt_embeddings,
            unconditional_embeddings,
            scales,
        )

    def scheduler(self, steps: int) -> Any:
        """Return a scheduler of diffusers set to a number of steps; see `Schedule.scheduler`.

        Raises:
            ConfigurationError: If the checkpoint's schedule has too few steps for it.
        """
        if self.schedule.counts_steps:
            return self.schedule.scheduler(steps, self.device)
        if steps not in self._schedulers:
            self._schedulers[steps] = self.schedule.scheduler(steps, self.device)
        return self._schedulers[steps]

    @property
    def trained_timesteps(self) -> int:
        """How many timesteps the noise schedule has."""
        return int(self.scheduler(1).config.num_train_timesteps)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Noise latents to timesteps: √ᾱ_t · z + √(1 − ᾱ_t) · ε (Ho et al. 2020, Eq. 4).

        Args:
            latents: Shape (N, C, h, w), in the UNet's scale.
            noise: Standard normal noise, same shape.
            timesteps: Shape (N,).
        """
        noised: torch.Tensor = self.scheduler(1).add_noise(latents, noise, timesteps)
        return noised

    def noise_in(self, prediction: torch.Tensor, latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return the noise ε_θ that a prediction stands for, whatever the checkpoint was trained to predict.

        Args:
            prediction: From `predict_noise`, shape (N, C, h, w).
            latents: What was denoised, same shape.
            timesteps: Shape (N,).

        Raises:
            ModelError: If the checkpoint's `prediction_type` is none of diffusers' three.
        """
        scheduler = self.scheduler(1)
        signal: torch.Tensor = scheduler.alphas_cumprod.to(latents)[timesteps][:, None, None, None]
        return noise_in(prediction, latents, signal, scheduler.config.prediction_type)

    @cached_property
    def _scale_and_shift(self) -> tuple[float, float]:
        config = self.vae.config
        return float(config.scaling_factor), float(getattr(config, "shift_factor", None) or 0.0)

    def _latent_distribution(self, images: torch.Tensor) -> Any:
        return self.vae.encode((images * 2 - 1).to(self.vae.dtype), return_dict=False)[0]

    def token_counts(self, prompts: Sequence[str]) -> list[int]:
        """Return how many tokens each prompt has, those of its beginning and its end included."""
        return self.text.token_counts(prompts)
