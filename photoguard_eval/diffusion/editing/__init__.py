"""How an image is edited: inpainting, variations and instructions, seeded. One file for each editor.

Random numbers are drawn from each case's own generator in the order of diffusers' pipelines, so that an edit agrees
with theirs on the same weights, seed and steps.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from photoguard_eval.diffusion.editing.base import (
    EDITORS,
    Editor,
    default_editor,
    editors_for,
    register_editor,
)
from photoguard_eval.diffusion.editing.img2img import Img2ImgEditor
from photoguard_eval.diffusion.editing.inpaint import InpaintEditor
from photoguard_eval.diffusion.editing.inputs import EditInputs, latent_mask
from photoguard_eval.diffusion.editing.instruct import InstructEditor
from photoguard_eval.diffusion.editing.settings import SAMPLING, EditSettings

__all__ = [
    "EDITORS",
    "SAMPLING",
    "EditInputs",
    "EditSettings",
    "Editor",
    "Img2ImgEditor",
    "InpaintEditor",
    "InstructEditor",
    "default_editor",
    "editors_for",
    "latent_mask",
    "register_editor",
]

# Any other module of this folder registers its editor too, so that a new editor is one new file.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
