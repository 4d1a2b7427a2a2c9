"""What an image of an evaluation depends on. Its hash is the image's key, whoever computes the image.

A key holds what can change the image and nothing else, so that a setting that does not affect it costs no work.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any

from photoguard_eval import resources
from photoguard_eval.attacks import DEFAULT_BUDGET, Attack, Ball, ThreatModel
from photoguard_eval.data.cases import EditCase
from photoguard_eval.diffusion import Editor, EditSettings, ModelIdentity
from photoguard_eval.files import sha256_of_file, sha256_of_json
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.randomness import derive_seed

EDIT_CODE = ("images", "randomness.py", "diffusion")
ATTACK_CODE = (
    *EDIT_CODE,
    "attacks/ball.py",
    "attacks/batch.py",
    "attacks/budget.py",
    "attacks/descent.py",
    "attacks/fields.py",
    "attacks/loss_scale.py",
    "attacks/norms.py",
    "attacks/perturbation_network.py",
    "attacks/repetition.py",
    "attacks/harness.py",
    "attacks/integrity.py",
    "attacks/targets.py",
    "attacks/threat_model.py",
)
"""Besides the files of an attack's class and of those it derives from."""
EDIT_LIBRARIES = ("torch", "diffusers", "transformers", "pillow")
ATTACK_LIBRARIES = ("numpy", "scipy", "scikit-image", "kornia")
"""Besides those of an edit."""


@dataclass(frozen=True)
class Placement:
    """Where and how a model computes, as far as its numbers depend on it.

    Attributes:
        dtype: "float32", "float16" or "bfloat16".
        device: "cpu" or "cuda".
        vae_tiling: See `load_model`.
        cpu_offload: See `load_model`; it changes at most the rounding of the text embeddings, as a device does.
        compiled: See `load_model`.
    """

    dtype: str
    device: str = "cpu"
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False


@dataclass(frozen=True)
class Editing:
    """How images are edited, and so what an attack works against.

    Attributes:
        model: The model.
        placement: Where it computes.
        editor: The editor.
        settings: Its settings.
    """

    model: ModelIdentity
    placement: Placement
    editor: Plugin[Editor]
    settings: EditSettings

    def facts(self, settings: EditSettings) -> dict[str, Any]:
        """Return what a key holds of it.

        Args:
            settings: Those of the settings that the image depends on; the others at their defaults.
        """
        return {
            "model": self.model.weights_sha256,
            "placement": vars(self.placement),
            "machine": platform.machine(),
            "libraries": library_versions(EDIT_LIBRARIES),
            "editor": [self.editor.name, self.editor.inputs, self.editor.fingerprint, settings.model_dump(mode="json")],
        }


@dataclass(frozen=True)
class ImmunizeInputs:
    """What an immunized image depends on.

    Attributes:
        attack: The attack.
        editing: What it works against.
        name: Of the image; of the case for an attack that sees the prompt. Random numbers are derived from it.
        image_sha256: Of the image's file.
        mask_sha256: Of the mask's file; "" without one.
        prompt: Of the edit.
        run_seed: Of everything random.
        budget: The run's, for an attack without one of its own.
    """

    attack: Plugin[Attack]
    editing: Editing
    name: str
    image_sha256: str
    mask_sha256: str
    prompt: str
    run_seed: int
    budget: Ball = DEFAULT_BUDGET

    @property
    def threat_model(self) -> ThreatModel:
        """What the attack is held to."""
        threat_model: ThreatModel = self.attack.declared.within(self.budget)
        return threat_model

    @property
    def seed(self) -> int:
        """The seed of the image's generator."""
        return derive_seed(self.run_seed, self.name, self.attack.name, self.editing.editor.name, "attack")

    @property
    def key(self) -> str:
        """The hash of everything that the image depends on; what the attack does not see is left out."""
        attack, threat_model = self.attack, self.threat_model
        sees_mask = threat_model.sees_mask and self.editing.editor.instance.reads_mask
        return sha256_of_json(
            {
                "stage": "immunize",
                "code": code_fingerprint(ATTACK_CODE),
                **self.editing.facts(self.editing.settings.before_compositing()),
                "attack_libraries": library_versions(ATTACK_LIBRARIES),
                "attack": [attack.name, attack.arguments, attack.inputs, attack.fingerprint],
                "budget": [threat_model.norm, threat_model.epsilon],
                "image": [self.name, self.image_sha256],
                "mask": self.mask_sha256 if sees_mask else "",
                "prompt": self.prompt if threat_model.sees_prompt else "",
                "seed": self.seed,
            }
        )


def edit_settings(settings: EditSettings, *, of_original: bool) -> EditSettings:
    """Return those of an editor's settings that an edit depends on; the others at their defaults.

    Args:
        settings: The editor's settings.
        of_original: Whether the image is the original: what it keeps is its own either way.
    """
    return settings.before_compositing() if of_original else settings


def edit_key(editing: Editing, case: EditCase, seed: int, immunized: str) -> str:
    """Return the hash of everything that an edit depends on.

    Args:
        editing: How the image is edited.
        case: The case.
        seed: Of the edit.
        immunized: Key of the immunized image; "" for an edit of the original.
    """
    return sha256_of_json(
        {
            "stage": "edit",
            "code": code_fingerprint(EDIT_CODE),
            **editing.facts(edit_settings(editing.settings, of_original=not immunized)),
            "original": case.image_sha256,
            "immunized": immunized,
            "mask": case.mask_sha256,
            "prompt": case.prompt,
            "seed": seed,
        }
    )


@lru_cache
def code_fingerprint(parts: tuple[str, ...]) -> str:
    """Hash the source of files and folders of this package, so that changed code is never mistaken for the old."""
    files = []
    for part in parts:
        path = resources.PACKAGE / part
        files.extend(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    return sha256_of_json([[str(file.relative_to(resources.PACKAGE)), sha256_of_file(file)] for file in files])


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of libraries, without importing them."""
    return {name: _installed_version(name) for name in names}


@lru_cache
def _installed_version(library: str) -> str:
    # Reading a library's metadata takes milliseconds, and every cell's key holds some versions.
    return metadata.version(library)
