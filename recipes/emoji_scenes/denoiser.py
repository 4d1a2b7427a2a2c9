"""The denoisers: a UNet with its text encoder, for inpainting or from text alone, on the latents of an autoencoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn.functional import mse_loss

from recipes.emoji_scenes.autoencoder import FACTOR, LATENT_CHANNELS
from recipes.emoji_scenes.batches import draw_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.grids import save_grid
from recipes.emoji_scenes.latents import Latents
from recipes.emoji_scenes.scenes import SIDE
from recipes.emoji_scenes.text import CONTEXT_LENGTH, encode_captions, make_tokenizer
from recipes.emoji_scenes.training import Settings, step_generator

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

DenoiserKind = Literal["inpainting", "text-to-image"]

TEXT_WIDTH = 128

UNCONDITIONAL_SHARE = 0.1
"""Share of captions that are left out, for classifier-free guidance (Ho & Salimans 2022)."""

STEPS_OF_NOISE = 1000

Times = Callable[[int, torch.Generator], torch.Tensor]
"""Draws a number of timesteps, as shares of all."""

SUBJECT_GAIN = 3.0
"""How much more the latents of a subject count that is drawn from text alone, where it shows through the noise."""


def high_noise(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw high noise more often, where looks and places are decided."""
    return torch.rand(count, generator=generator) ** 0.6


def all_noise(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw all noise alike."""
    return torch.rand(count, generator=generator)


def middle_noise(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw noise in which objects take their shape more often: a logit-normal law (Esser et al. 2024)."""
    return torch.randn(count, generator=generator).sigmoid()


SCHEDULE = {
    "num_train_timesteps": STEPS_OF_NOISE,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "steps_offset": 1,
}
"""Stable Diffusion's noise schedule. Velocity is predicted, which weights high noise up (Salimans & Ho 2022)."""


def make_unet(kind: DenoiserKind, widths: tuple[int, int, int], seed: int) -> UNet2DConditionModel:
    """Make an untrained UNet; one for inpainting reads noised latents, mask and latents of the masked image."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            sample_size=SIDE // FACTOR,
            in_channels=2 * LATENT_CHANNELS + 1 if kind == "inpainting" else LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * 3,
            up_block_types=("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=TEXT_WIDTH,
            # diffusers reads this number as that of heads.
            attention_head_dim=tuple(width // 32 for width in widths),
            norm_num_groups=16,
        )


def make_text_encoder(tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """Make an untrained text encoder of CLIP's architecture."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPTextModel(config)


class DenoiserTask:
    """Prediction of the velocity of noised latents, given caption and, for inpainting, what is kept."""

    def __init__(
        self,
        kind: DenoiserKind,
        widths: tuple[int, int, int],
        settings: Settings,
        latents: Latents,
        autoencoder: AutoencoderKL,
        glyphs: Glyphs,
    ) -> None:
        """Make UNet and text encoder.

        Args:
            kind: What the UNet is for.
            widths: Its channels at latent, half and quarter size.
            settings: Of the training.
            latents: What it is trained on.
            autoencoder: What they were encoded with; goes into the exported checkpoint as it is.
            glyphs: What draws the scenes of the sample grid.
        """
        from diffusers import DDPMScheduler
        from diffusers.models.attention_processor import AttnProcessor

        self.kind = kind
        self.tokenizer = make_tokenizer()
        self.unet = make_unet(kind, widths, settings.seed).to(memory_format=torch.channels_last)
        # On processors, the gradient of torch's fused attention takes several times as long as that of the products.
        self.unet.set_attn_processor(AttnProcessor())
        if settings.compiled:
            self.unet.compile()
        self.text_encoder = make_text_encoder(self.tokenizer, settings.seed)
        self.modules = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})
        self.settings = settings
        self.draw_times: Times = high_noise
        self.subject_gain = 0.0
        self.latents = latents
        self.scaling_factor = latents.scaling_factor
        self.autoencoder = autoencoder
        self.glyphs = glyphs
        self._schedule = DDPMScheduler(**SCHEDULE)
        self._captions = encode_captions(self.tokenizer, latents.captions)
        self._empty = encode_captions(self.tokenizer, [""])

    def start_from(self, folder: Path) -> None:
        """Take over UNet and text encoder of a finished checkpoint of the same widths and autoencoder.

        Of one for inpainting, the UNet's first convolution keeps what reads the noised latents.

        Args:
            folder: The checkpoint's.
        """
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextModel

        weights = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).state_dict()
        weights["conv_in.weight"] = weights["conv_in.weight"][:, : self.unet.config.in_channels]
        self.unet.load_state_dict(weights)
        encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
        self.text_encoder.load_state_dict(encoder.state_dict())

    def refine(self, settings: Settings) -> None:
        """Turn to the second part of the training, which goes on with the modules as they are.

        An inpainting model has parts of the objects given. For one that has not, subjects count more, and it sees more
        of the noise that shapes them.

        Args:
            settings: Of that part.
        """
        self.settings = settings
        if self.kind == "inpainting":
            self.draw_times = all_noise
        else:
            self.draw_times, self.subject_gain = middle_noise, SUBJECT_GAIN

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """See `training.Task`."""
        generator = step_generator(self.settings.seed, step)
        count = self.settings.batch_size
        rows = torch.randint(len(self.latents.whole), (count,), generator=generator)
        clean = self.latents.whole[rows].float() * self.scaling_factor
        noise = torch.randn(clean.shape, generator=generator)
        times = (self.draw_times(count, generator) * STEPS_OF_NOISE).long().clamp_max(STEPS_OF_NOISE - 1)
        dropped = torch.rand(count, 1, generator=generator) < UNCONDITIONAL_SHARE
        context = self.text_encoder(torch.where(dropped, self._empty, self._captions[rows])).last_hidden_state
        noised = self._schedule.add_noise(clean, noise, times)
        if self.kind == "inpainting":
            kept = self.latents.kept[rows].float() * self.scaling_factor
            noised = torch.cat([noised, self.latents.masks[rows].float(), kept], dim=1)
        predicted = self.unet(noised.contiguous(memory_format=torch.channels_last), times, context).sample.float()
        errors = mse_loss(predicted, self._schedule.get_velocity(clean, noise, times), reduction="none")
        signal = self._schedule.alphas_cumprod[times].sqrt()[:, None, None, None]
        loss = (errors * (1 + self.subject_gain * signal * self.latents.subjects[rows].float())).mean()
        # At high noise the velocity is the image but for its sign: this error tells how well places and looks are
        # known.
        noisiest = times.topk(-(-count // 5)).indices
        return {"loss": loss, "error": errors.mean(), "high_noise": errors[noisiest].mean()}

    def draw_grid(self, path: Path) -> None:
        """See `training.Task`: held-out scenes, what is kept, and two edits into the place of their caption."""
        batch = draw_batch([self.settings.seed, 0, 1], 10, self.glyphs, held_out=True)
        originals, kept = (batch.images + 1) / 2, (batch.masked_images + 1) / 2
        edits = [self._sample(batch.images, batch.masks, batch.captions, seed) for seed in (0, 1)]
        save_grid(path, [originals, kept, *edits])

    def _sample(self, images: torch.Tensor, masks: torch.Tensor, captions: list[str], seed: int) -> torch.Tensor:
        """Draw by deterministic DDIM; the checkpoints are measured through the package, this is for the eye."""
        from diffusers import DDIMScheduler

        schedule = DDIMScheduler(**SCHEDULE, set_alpha_to_one=False)
        schedule.set_timesteps(25)
        shape = (len(images), LATENT_CHANNELS, SIDE // FACTOR, SIDE // FACTOR)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            context = self.text_encoder(encode_captions(self.tokenizer, ["", *captions])).last_hidden_state
            contexts = torch.cat([context[:1].expand(len(images), -1, -1), context[1:]])
            kept = self.autoencoder.encode(images * (masks < 0.5)).latent_dist.mode() * self.scaling_factor
            for time in schedule.timesteps:
                inputs = latents
                if self.kind == "inpainting":
                    inputs = torch.cat([latents, masks[..., ::FACTOR, ::FACTOR], kept], dim=1)
                without, given = self.unet(inputs.repeat(2, 1, 1, 1), time, contexts).sample.chunk(2)
                latents = schedule.step(without + 5 * (given - without), time, latents).prev_sample
            drawn: torch.Tensor = (self.autoencoder.decode(latents / self.scaling_factor).sample + 1) / 2
        return drawn

    def export(self, folder: Path) -> None:
        """Write the checkpoint as a diffusers folder, float16 in safetensors."""
        parts = {"vae": self.autoencoder, "unet": self.unet, "text_encoder": self.text_encoder}
        # A tokenizer that was used keeps how: a new one is the same whether or not this run trained anything.
        export_checkpoint(folder, self.kind, parts, make_tokenizer(), self.scaling_factor)


def export_checkpoint(
    folder: Path, kind: DenoiserKind, parts: Mapping[str, Any], tokenizer: CLIPTokenizer, scaling_factor: float
) -> None:
    """Write components as a folder of diffusers' Stable Diffusion pipelines, float16 in safetensors.

    Args:
        folder: Where to.
        kind: What the UNet is for.
        parts: "vae", "unet" and "text_encoder"; they stay in float32 themselves.
        tokenizer: The tokenizer.
        scaling_factor: What makes the latents' standard deviation one.
    """
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    halves = {name: copy.deepcopy(part).half() for name, part in parts.items()}
    halves["vae"].register_to_config(scaling_factor=scaling_factor)
    pipeline = StableDiffusionInpaintPipeline if kind == "inpainting" else StableDiffusionPipeline
    pipeline(
        **halves,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**SCHEDULE, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
