"""A latent diffusion checkpoint as one frozen, differentiable object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from photoguard_eval.diffusion.text import PromptEmbeddings, TextEncoder
from photoguard_eval.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators

SMALLEST_SIGNAL = 2.0**-24
"""What stands for no signal at all: the smallest step of float16, as diffusers' Euler scheduler takes it."""

Kind = Literal["inpainting", "text-to-image", "instruction"]
"""What a UNet was trained for: to repaint a region, to draw from text, or to follow instructions on an image."""


@dataclass(frozen=True)
class Posterior:
    """The latent distribution of encoded images, in the scale that the UNet works in.

    Attributes:
        mean: Shape (N, C, h, w).
        deviation: The standard deviation, same shape.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Posterior:
        """Return the distribution with both tensors changed.

        Args:
            change: What is done to each.
        """
        return Posterior(change(self.mean), change(self.deviation))

    def repeat(self, count: int) -> Posterior:
        """Repeat the whole batch `count` times: (count · N, C, h, w), repetition by repetition."""
        return self.changed(lambda tensor: tensor.repeat(count, 1, 1, 1))

    def draw(self, generators: CaseGenerators | None) -> torch.Tensor:
        """Draw latents from each image's own generator, as the released pipelines do, or return the mean.

        Args:
            generators: One per image; None for the mean.
        """
        if generators is None:
            return self.mean
        return self.mean + self.deviation * generators.normal(self.mean.shape[1:], self.mean)


class LatentDiffusion:
    """An autoencoder, a denoising UNet, a text encoder and a noise schedule.

    The weights are frozen; everything but the text encoder is differentiable with respect to its image or latents.
    Images are in [0, 1]; the model's own [-1, 1] does not leave this class.

    Attributes:
        DERIVED: What is derived from weights and configuration when it is first needed, and kept.
    """

    DERIVED = ("_schedulers", "_gray", "_scale_and_shift", "downscale_factor", "size_multiple")

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

    def compile_networks(self, backend: str = "inductor") -> None:
        """Have the autoencoder and the UNet compiled by `torch.compile` for each shape that they first run at.

        Results differ from those of the networks as they are by rounding.

        Args:
            backend: Of `torch.compile`; "eager" traces only.

        Raises:
            ModelError: If there is no compiler for the device.
        """
        import torch
        import torch._dynamo

        try:
            torch.compile(torch.neg, backend=backend)(torch.ones(1, device=self.device))
        except Exception as error:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"The networks cannot be compiled here: {cause[0]}. On a processor torch.compile needs a C++ compiler "
                "(on Debian the package g++), on a GPU Triton, which comes with torch. Install it, or leave --compile "
                "out."
            ) from error
        # Attacks on attention hook layers after they were compiled; by default a compiled network overlooks that.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        for part in (self.vae.encoder, self.vae.decoder, self.unet):
            part.compile(backend=backend)

    @property
    def is_inpainting(self) -> bool:
        """Whether the UNet is given the mask and the latents of the masked image."""
        return self.kind == "inpainting"

    @property
    def is_consistency_model(self) -> bool:
        """Whether the UNet was distilled to jump to the clean latents, and takes guidance as an input."""
        return self.unet.config.time_cond_proj_dim is not None

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

    def encode(self, images: torch.Tensor, generators: CaseGenerators | None = None) -> torch.Tensor:
        """Encode images to latents before scaling, as the encoder attack's loss takes them.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
            generators: If given, a sample of the latent distribution is drawn from them; else its mean is returned.

        Returns:
            Shape (N, C, H / f, W / f), float32.
        """
        distribution = self._latent_distribution(images)
        if generators is None:
            return _at_least_float32(distribution.mean)
        noise = generators.normal(distribution.mean.shape[1:], distribution.mean)
        return _at_least_float32(distribution.mean + distribution.std * noise)

    def posterior(self, images: torch.Tensor) -> Posterior:
        """Encode images to their latent distribution, in the scale that the UNet works in, float32.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
        """
        distribution = self._latent_distribution(images)
        scale, shift = self._scale_and_shift
        return Posterior(
            (_at_least_float32(distribution.mean) - shift) * scale, _at_least_float32(distribution.std) * scale
        )

    def posterior_of_gray(self, height: int, width: int) -> Posterior:
        """Encode one image that is all gray, 0 in the model's [-1, 1], without gradient.

        It depends on the size alone, so it is encoded once.

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
        return _at_least_float32(images) / 2 + 0.5

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
        guidance_scale: float = 1.0,
        conditioning: torch.Tensor | None = None,
        image_guidance_scale: float = 1.0,
    ) -> torch.Tensor:
        """Run the UNet, with classifier-free guidance where it has an effect.

        All branches of guidance run in one call. With scales of 1, or without unconditional embeddings, only the
        conditional branch runs. An instruction-following checkpoint is guided away from the image without the text, and
        from neither (Brooks et al. 2023, Eq. 3). A consistency model is told the scale instead, in its single branch
        (Luo et al. 2023, Section 4.2).

        Args:
            latents: Shape (N, C, h, w).
            timestep: Scalar, or shape (N,).
            prompt_embeddings: Of N prompts.
            unconditional_embeddings: What guidance leads away from, as many.
            guidance_scale: Weight of the conditional branch, see Ho and Salimans 2022.
            conditioning: Mask and latents of the masked image for an inpainting checkpoint, (N, C + 1, h, w); latents
                of the image for an instruction-following one, (N, C, h, w).
            image_guidance_scale: Weight of the image, for an instruction-following checkpoint.

        Returns:
            The prediction in the parametrisation of the checkpoint (noise, v, …), shape (N, C, h, w), float32.
        """
        import torch

        inputs = latents if conditioning is None else torch.cat([latents, conditioning], dim=1)
        inputs = inputs.to(self.dtype)
        if self.is_consistency_model:
            return self._run_unet(inputs, timestep, prompt_embeddings, guidance_scale)
        image_guided = self.kind == "instruction" and image_guidance_scale != 1
        if unconditional_embeddings is None or (guidance_scale == 1 and not image_guided):
            return self._run_unet(inputs, timestep, prompt_embeddings)
        if self.kind == "instruction":
            neither = torch.cat([latents.to(self.dtype), torch.zeros_like(inputs[:, latents.shape[1] :])], dim=1)
            with_text, with_image, without = self._run_unet(
                torch.cat([inputs, inputs, neither]),
                timestep,
                PromptEmbeddings.join([prompt_embeddings, unconditional_embeddings, unconditional_embeddings]),
            ).chunk(3)
            toward_image: torch.Tensor = without + image_guidance_scale * (with_image - without)
            toward_text: torch.Tensor = guidance_scale * (with_text - with_image)
            return toward_image + toward_text
        unconditional, conditional = self._run_unet(
            torch.cat([inputs, inputs]),
            timestep,
            PromptEmbeddings.join([unconditional_embeddings, prompt_embeddings]),
        ).chunk(2)
        guided: torch.Tensor = unconditional + guidance_scale * (conditional - unconditional)
        return guided

    def _run_unet(
        self, inputs: torch.Tensor, timestep: torch.Tensor, prompts: PromptEmbeddings, guidance_scale: float = 1.0
    ) -> torch.Tensor:
        """Run the UNet, and tell one with two text encoders the size of the image too (Podell et al. 2023, 2.2)."""
        options: dict[str, Any] = {}
        if self.is_consistency_model:
            options["timestep_cond"] = self._embed_guidance(guidance_scale).to(inputs).expand(len(inputs), -1)
        if prompts.pooled is not None:
            height, width = (side * self.downscale_factor for side in inputs.shape[-2:])
            # Size of the original, corner of the crop, size of the result.
            sizes = prompts.pooled.new_tensor([height, width, 0, 0, height, width]).expand(len(inputs), -1)
            options["added_cond_kwargs"] = {"text_embeds": prompts.pooled, "time_ids": sizes}
        prediction: torch.Tensor = self.unet(inputs, timestep, prompts.tokens, return_dict=False, **options)[0]
        return _at_least_float32(prediction)

    def _embed_guidance(self, scale: float) -> torch.Tensor:
        """Embed a guidance scale as a consistency model is told it, shape (1, width); 1, no guidance, counts as 0."""
        import torch
        from diffusers.models.embeddings import get_timestep_embedding

        width = self.unet.config.time_cond_proj_dim
        return get_timestep_embedding(torch.tensor([(scale - 1) * 1000.0]), width, downscale_freq_shift=1)

    def scheduler(self, steps: int) -> Any:
        """Return a scheduler of diffusers set to a number of steps: LCM for a consistency model, DDIM for all others.

        As the pipelines do, latents are never clipped and the schedule of DDIM is offset by one step, whatever the
        checkpoint's configuration says. A schedule that ends in noise alone is made to end in almost nothing else:
        with all the noise of DDPM, diffusers' step would take the root of a rounding error below zero.

        Raises:
            ConfigurationError: If the checkpoint's schedule has too few steps for it; offset by one, it cannot be run
                whole.
        """
        from diffusers import DDIMScheduler

        if self.is_consistency_model:
            return self._consistency_scheduler(steps)
        if steps not in self._schedulers:
            scheduler = DDIMScheduler.from_config(  # type: ignore[no-untyped-call]
                self._scheduler_config, clip_sample=False, steps_offset=1
            )
            trained = scheduler.config.num_train_timesteps
            if not 1 <= steps < trained:
                raise ConfigurationError(
                    f"num_inference_steps is {steps}; expected 1 to {trained - 1}, fewer than the {trained} steps "
                    "that the checkpoint was trained with."
                )
            scheduler.set_timesteps(steps, device=self.device)
            if scheduler.alphas_cumprod[-1] == 0:
                scheduler.alphas_cumprod[-1] = SMALLEST_SIGNAL
            self._schedulers[steps] = scheduler
        return self._schedulers[steps]

    def _consistency_scheduler(self, steps: int) -> Any:
        """Return a new scheduler: diffusers' counts its steps, so that each sampling needs its own."""
        from diffusers import LCMScheduler

        scheduler = LCMScheduler.from_config(  # type: ignore[no-untyped-call]
            self._scheduler_config, clip_sample=False
        )
        distilled = scheduler.config.original_inference_steps
        if not 1 <= steps <= distilled:
            raise ConfigurationError(
                f"num_inference_steps is {steps}; expected 1 to {distilled}, the steps that the consistency model was "
                "distilled from. 4 are usual."
            )
        scheduler.set_timesteps(steps, device=self.device)
        return scheduler

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
        kind = scheduler.config.prediction_type
        if kind == "epsilon":
            return prediction
        if kind == "v_prediction":
            # Salimans and Ho 2022, Appendix D: v = √ᾱ · ε − √(1 − ᾱ) · z, so that ε = √ᾱ · v + √(1 − ᾱ) · z_t.
            return signal.sqrt() * prediction + (1 - signal).sqrt() * latents
        if kind == "sample":
            return (latents - signal.sqrt() * prediction) / (1 - signal).sqrt()
        raise ModelError(
            f"The checkpoint's prediction_type is {kind!r}; expected 'epsilon', 'v_prediction' or 'sample'."
        )

    @cached_property
    def _scale_and_shift(self) -> tuple[float, float]:
        config = self.vae.config
        return float(config.scaling_factor), float(getattr(config, "shift_factor", None) or 0.0)

    def _latent_distribution(self, images: torch.Tensor) -> Any:
        return self.vae.encode((images * 2 - 1).to(self.vae.dtype), return_dict=False)[0]

    def token_counts(self, prompts: Sequence[str]) -> list[int]:
        """Return how many tokens each prompt has, those of its beginning and its end included."""
        return self.text.token_counts(prompts)


def kind_of_unet(input_channels: int, latent_channels: int) -> Kind:
    """Tell what a UNet was trained for from the channels it takes.

    Raises:
        ModelError: If they fit no kind.
    """
    if input_channels == latent_channels:
        return "text-to-image"
    if input_channels == 2 * latent_channels + 1:
        return "inpainting"
    if input_channels == 2 * latent_channels:
        return "instruction"
    raise ModelError(
        f"The UNet takes {input_channels} channels for {latent_channels} latent channels. Supported are "
        f"{latent_channels} (text-to-image), {2 * latent_channels} (instructions: latents and the image's latents) and "
        f"{2 * latent_channels + 1} (inpainting: latents, mask and latents of the masked image)."
    )


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32, in which losses are summed and perturbations are kept."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))
