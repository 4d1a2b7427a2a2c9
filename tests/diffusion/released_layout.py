"""Writes a tiny pipeline of diffusers as one file in the layout of the released code, as checkpoints are passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

UNET_PREFIX = "model.diffusion_model."

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}

UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}

VAE = {
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
}


def write_single_file(parts: dict[str, Any], path: Path) -> None:
    """Write the components of a tiny Stable Diffusion 1 as one file."""
    text = parts["text_encoder"].state_dict()
    bare = {name.removeprefix("text_model."): weight for name, weight in text.items()}
    save_file(
        {
            **_renamed(UNET_PREFIX, parts["unet"].state_dict(), _unet_names(parts["unet"].config)),
            **_flattened(_renamed("first_stage_model.", parts["vae"].state_dict(), _vae_names(parts["vae"].config))),
            **{f"cond_stage_model.transformer.text_model.{name}": weight for name, weight in bare.items()},
        },
        path,
    )


def _renamed(prefix: str, weights: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, weight in weights.items():
        within = RESNET if prefix == UNET_PREFIX and ".resnets." in name else {}
        for ours, theirs in {**names, **within}.items():
            name = name.replace(f"{ours}.", f"{theirs}.")
        renamed[prefix + name] = weight.contiguous()
    return renamed


def _flattened(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn the linear maps of the autoencoder's attention into convolutions, which they were."""
    return {
        name: weight[..., None, None] if ".attn_1." in name and weight.ndim == 2 else weight
        for name, weight in weights.items()
    }


def _unet_names(config: Any) -> dict[str, str]:
    layers, levels = config.layers_per_block, len(config.block_out_channels)
    names = {}
    for level in range(levels):
        for layer in range(layers):
            block = f"input_blocks.{(layers + 1) * level + layer + 1}"
            names[f"down_blocks.{level}.resnets.{layer}"] = f"{block}.0"
            names[f"down_blocks.{level}.attentions.{layer}"] = f"{block}.1"
        for layer in range(layers + 1):
            block = f"output_blocks.{(layers + 1) * level + layer}"
            names[f"up_blocks.{level}.resnets.{layer}"] = f"{block}.0"
            names[f"up_blocks.{level}.attentions.{layer}"] = f"{block}.1"
        names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{(layers + 1) * (level + 1)}.0.op"
        place = 2 if config.up_block_types[level].startswith("Cross") else 1
        names[f"up_blocks.{level}.upsamplers.0"] = f"output_blocks.{(layers + 1) * level + layers}.{place}"
    return {**names, **UNET}


def _vae_names(config: Any) -> dict[str, str]:
    levels, names = len(config.block_out_channels), {}
    for level in range(levels):
        for layer in range(config.layers_per_block + 1):
            names[f"down_blocks.{level}.resnets.{layer}"] = f"down.{level}.block.{layer}"
            names[f"up_blocks.{level}.resnets.{layer}"] = f"up.{levels - 1 - level}.block.{layer}"
        names[f"down_blocks.{level}"] = f"down.{level}"
        names[f"up_blocks.{level}"] = f"up.{levels - 1 - level}"
    return {**names, **VAE}
