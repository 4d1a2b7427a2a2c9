"""Latent diffusion models and how they edit images."""

from __future__ import annotations

from photoguard_eval.diffusion.checkpoints.architectures import architecture_multiple, load_architecture
from photoguard_eval.diffusion.checkpoints.hub import published_architectures
from photoguard_eval.diffusion.checkpoints.identify import (
    DEFAULT_GPU_MODEL,
    DEFAULT_MODEL,
    ModelIdentity,
    default_model,
    identify_model,
)
from photoguard_eval.diffusion.checkpoints.load import load_model
from photoguard_eval.diffusion.devices import require_device
from photoguard_eval.diffusion.editing import (
    EDITORS,
    SAMPLING,
    EditInputs,
    Editor,
    EditSettings,
    Img2ImgEditor,
    InpaintEditor,
    InstructEditor,
    default_editor,
    editors_for,
    latent_mask,
    register_editor,
)
from photoguard_eval.diffusion.meter import CostMeter, peak_memory_mib
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.posterior import Posterior
from photoguard_eval.diffusion.sampling import Frozen, Start
from photoguard_eval.diffusion.text import PromptEmbeddings, TextEncoder

__all__ = [
    "DEFAULT_GPU_MODEL",
    "DEFAULT_MODEL",
    "EDITORS",
    "SAMPLING",
    "CostMeter",
    "EditInputs",
    "EditSettings",
    "Editor",
    "Frozen",
    "Img2ImgEditor",
    "InpaintEditor",
    "InstructEditor",
    "LatentDiffusion",
    "ModelIdentity",
    "Posterior",
    "PromptEmbeddings",
    "Start",
    "TextEncoder",
    "architecture_multiple",
    "default_editor",
    "default_model",
    "editors_for",
    "identify_model",
    "latent_mask",
    "load_architecture",
    "load_model",
    "peak_memory_mib",
    "published_architectures",
    "register_editor",
    "require_device",
]
