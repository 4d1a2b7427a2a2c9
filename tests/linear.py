"""A latent diffusion model that is linear, in float64, so that the gradient of a loss can be written down by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import nn
from transformers import CLIPTokenizer

from photoguard_eval.diffusion import LatentDiffusion, TextEncoder
from tests.tiny import TOKENIZER

SIDE = 8
CHANNELS = 4
SCALE = 0.5
TOKENS = 16


class LinearAutoencoder(nn.Module):
    """Encodes 2 × 2 pixels to four numbers, and to the logarithm of their deviation, and paints them from four."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.mean, self.log_deviation = (
            torch.randn((CHANNELS, 3, 2, 2), generator=generator, dtype=torch.float64) * size for size in (0.3, 0.1)
        )
        self.decoding = torch.randn((CHANNELS, 3, 2, 2), generator=generator, dtype=torch.float64) * 0.3
        self.encoder, self.decoder = nn.Identity(), nn.Identity()
        self.dtype = torch.float64
        self.config = SimpleNamespace(latent_channels=CHANNELS, block_out_channels=(1, 1), scaling_factor=SCALE)

    def encode(self, images: torch.Tensor, return_dict: bool) -> tuple[Any]:
        assert not return_dict
        images = self.encoder(images)
        mean = nn.functional.conv2d(images, self.mean, stride=2)
        deviation = nn.functional.conv2d(images, self.log_deviation, stride=2).exp()
        return (SimpleNamespace(mean=mean, std=deviation),)

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        return (nn.functional.conv_transpose2d(self.decoder(latents), self.decoding, stride=2),)


class LinearAttention(nn.Module):
    """Attends to the inputs, or to the text, without an effect on the output: only its projections are looked at."""

    heads = 2
    scale = 0.5

    def __init__(self, inputs: int, context: int, seed: int) -> None:
        super().__init__()
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.to_q = nn.Linear(inputs, 8, bias=False, dtype=torch.float64)
        self.to_k = nn.Linear(context, 8, bias=False, dtype=torch.float64)
        self.to_v = nn.Linear(context, 8, bias=False, dtype=torch.float64)
        torch.random.set_rng_state(state)

    def forward(self, positions: torch.Tensor, context: torch.Tensor) -> None:
        self.to_q(positions)
        self.to_k(context)
        self.to_v(context)


class LinearUnet(nn.Module):
    """Multiplies the channels of each position by a matrix."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.matrix = torch.randn((CHANNELS, inputs), generator=generator, dtype=torch.float64) * 0.5
        self.attn1 = LinearAttention(inputs, inputs, seed=3)
        self.attn2 = LinearAttention(inputs, 6, seed=4)
        self.config = SimpleNamespace(
            in_channels=inputs, sample_size=SIDE // 2, block_out_channels=(1,), time_cond_proj_dim=None
        )
        self.dtype, self.device = torch.float64, torch.device("cpu")

    def forward(
        self, inputs: torch.Tensor, timestep: torch.Tensor, embeddings: torch.Tensor, return_dict: bool
    ) -> tuple[torch.Tensor]:
        assert not return_dict
        del timestep
        positions = inputs.flatten(2).transpose(1, 2)
        self.attn1(positions, positions)
        self.attn2(positions, embeddings)
        return (torch.einsum("oi,nihw->nohw", self.matrix, inputs),)


class LookupTextEncoder(nn.Module):
    """Gives each token a fixed vector."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.table = torch.randn((tokens, 6), generator=generator, dtype=torch.float64)
        self.device = torch.device("cpu")

    def forward(self, ids: torch.Tensor, output_hidden_states: bool) -> SimpleNamespace:
        assert not output_hidden_states
        return SimpleNamespace(last_hidden_state=self.table[ids])


def linear_model(input_channels: int = 2 * CHANNELS + 1, prediction_type: str = "epsilon") -> LatentDiffusion:
    """Build the model; its UNet predicts noise unless told otherwise."""
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction_type
    )
    text = TextEncoder((LookupTextEncoder(len(tokenizer)),), (tokenizer,))
    return LatentDiffusion(LinearAutoencoder(), LinearUnet(input_channels), text, scheduler.config)
