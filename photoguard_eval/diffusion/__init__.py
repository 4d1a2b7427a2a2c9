"""Latent diffusion models and how they edit images."""

from __future__ import annotations

from photoguard_eval.diffusion.architectures import architecture_multiple, load_architecture
from photoguard_eval.diffusion.cost import CostMeter, peak_memory_mib
from photoguard_eval.diffusion.editors import (
    EDITORS,
    EditInputs,
    Editor,
    EditSettings,
    Img2ImgEditor,
    InpaintEditor,
    InstructEditor,
    default_editor,
    register_editor,
)
from photoguard_eval.diffusion.hub import published_architectures
from photoguard_eval.diffusion.latent_diffusion import LatentDiffusion, Posterior
from photoguard_eval.diffusion.loading import (
    DEFAULT_GPU_MODEL,
    DEFAULT_MODEL,
    ModelIdentity,
    default_model,
    identify_model,
    load_model,
    require_device,
)
from photoguard_eval.diffusion.text import PromptEmbeddings, TextEncoder

__all__ = [
    "DEFAULT_GPU_MODEL",
    "DEFAULT_MODEL",
    "EDITORS",
    "CostMeter",
    "EditInputs",
    "EditSettings",
    "Editor",
    "Img2ImgEditor",
    "InpaintEditor",
    "InstructEditor",
    "LatentDiffusion",
    "ModelIdentity",
    "Posterior",
    "PromptEmbeddings",
    "TextEncoder",
    "architecture_multiple",
    "default_editor",
    "default_model",
    "identify_model",
    "load_architecture",
    "load_model",
    "peak_memory_mib",
    "published_architectures",
    "register_editor",
    "require_device",
]
