"""Tiny random-weights models, so that tests of gradients and contracts run in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from photoguard_eval import resources
from photoguard_eval.diffusion import LatentDiffusion, TextEncoder

TOKENIZER = resources.embedded_checkpoints()["inpaint-a"] / "tokenizer"
SIDE = 32


def tiny_components(
    input_channels: int = 9, seed: int = 0, prediction_type: str = "epsilon", dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Build the components of a pipeline with random weights: f = 2, four latent channels."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        sample_size=SIDE,
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=input_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    torch.random.set_rng_state(state)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=False,
        prediction_type=prediction_type,
    )
    return {
        "vae": vae.to(dtype).eval(),
        "unet": unet.to(dtype).eval(),
        "text_encoder": text_encoder.to(dtype).eval(),
        "tokenizer": tokenizer,
        "scheduler": scheduler,
    }


def tiny_xl_components(input_channels: int = 9, seed: int = 0) -> dict[str, Any]:
    """Build the components of a pipeline of Stable Diffusion XL: two text encoders, and a UNet told of sizes."""
    state = torch.random.get_rng_state()
    parts = tiny_components(input_channels, seed)
    torch.manual_seed(seed + 1)
    first = parts["text_encoder"].config
    second = CLIPTextConfig(**{**first.to_dict(), "hidden_size": 24, "projection_dim": 12})
    unet = UNet2DConditionModel.from_config(
        parts["unet"].config,
        cross_attention_dim=first.hidden_size + second.hidden_size,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + second.projection_dim,
    )
    text_encoder = CLIPTextModelWithProjection(second)
    torch.random.set_rng_state(state)
    return {
        **parts,
        "unet": unet.eval(),
        "text_encoder_2": text_encoder.eval(),
        "tokenizer_2": CLIPTokenizer.from_pretrained(TOKENIZER),
    }


def tiny_consistency_components(input_channels: int = 9, seed: int = 0) -> dict[str, Any]:
    """Build the components of a pipeline whose UNet takes guidance as an input, as latent consistency models do."""
    state = torch.random.get_rng_state()
    parts = tiny_components(input_channels, seed)
    torch.manual_seed(seed + 1)
    unet = UNet2DConditionModel.from_config(parts["unet"].config, time_cond_proj_dim=12)
    # diffusers starts this projection at zero, so that guidance would have no effect.
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight)
    torch.random.set_rng_state(state)
    return {**parts, "unet": unet.eval(), "scheduler": LCMScheduler.from_config(parts["scheduler"].config)}


def tiny_model(**options: Any) -> LatentDiffusion:
    """Build a tiny model."""
    return assemble(tiny_components(**options))


def assemble(parts: dict[str, Any]) -> LatentDiffusion:
    """Put the components of a pipeline together."""
    encoders = tuple(parts[name] for name in ("text_encoder", "text_encoder_2") if name in parts)
    tokenizers = tuple(parts[name] for name in ("tokenizer", "tokenizer_2") if name in parts)
    text = TextEncoder(encoders, tokenizers, empty_is_zero=len(encoders) > 1)
    return LatentDiffusion(parts["vae"], parts["unet"], text, parts["scheduler"].config)


def random_images(count: int, seed: int = 0, side: int = SIDE) -> torch.Tensor:
    """Draw random 8-bit images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).float() / 255


def half_masks(count: int, side: int = SIDE) -> torch.Tensor:
    """Masks that edit the right half."""
    masks = torch.zeros(count, 1, side, side)
    masks[..., side // 2 :] = 1
    return masks
