"""Checkpoints of the hub: which commit, which of their files, and what to do where they cannot be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from photoguard_eval.diffusion.checkpoints.weights import COMPONENTS, HALF, SECOND_TEXT, without_weights
from photoguard_eval.errors import ModelError


@dataclass(frozen=True)
class HubModel:
    """A published checkpoint.

    Attributes:
        revision: Commit that is used unless another is asked for.
        gigabytes: Size of the files that are loaded.
        settings: Settings of an edit that the checkpoint was trained for and cannot do without, by name.
    """

    revision: str
    gigabytes: float
    settings: Mapping[str, float] = field(default_factory=dict)


PUBLISHED = {
    "stable-diffusion-v1-5/stable-diffusion-inpainting": HubModel("8a4288a76071f7280aedbdb3253bdb9e9d5d84bb", 2.1),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": HubModel("451f4fe16113bff5a5d2269ed5ad43b0592e9a14", 4.3),
    "sd2-community/stable-diffusion-2-inpainting": HubModel("5f74973cbb64c8568780732c17f43eb269d63a0d", 5.2),
    "stabilityai/stable-diffusion-xl-base-1.0": HubModel("462165984030d82259a11f4367a4eed129e94a7b", 13.9),
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": HubModel("115134f363124c53c7d878647567d04daf26e41e", 13.9),
    "timbrooks/instruct-pix2pix": HubModel("31519b5cb02a7fd89b906d88731cd4d6a7bbf88d", 4.3),
    "stabilityai/sd-turbo": HubModel(
        "b261bac6fd2cf515557d5d0707481eafa0485ec2", 5.2, {"num_inference_steps": 4, "guidance_scale": 1.0}
    ),
}
"""The checkpoints that results are published on, each pinned to a commit."""

RENAMED = {
    "runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2-inpainting": "sd2-community/stable-diffusion-2-inpainting",
}
"""Hub ids that no longer exist, and what the same weights are found under."""


ARCHITECTURES = Path(__file__).with_name("published")


def published_architectures() -> dict[str, Path]:
    """Return the files that describe how published models are built, by hub id."""
    return {path.stem.replace("--", "/"): path for path in sorted(ARCHITECTURES.glob("*.json"))}


def is_hub_id(name: str) -> bool:
    """Tell whether a name has the form of a hub id, `owner/name`."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def find_snapshot(repository: str, revision: str | None) -> Path:
    """Find a checkpoint in the local cache, or download it.

    Args:
        repository: A hub id.
        revision: Commit, tag or branch; None for the commit that `PUBLISHED` names, or the newest of another model.

    Returns:
        A folder named after the commit.

    Raises:
        ModelError: If it no longer exists, has no safetensors weights, or is not in the cache and cannot be
            downloaded.
    """
    if repository in RENAMED:
        raise ModelError(f"{repository} no longer exists on the hub. Use {RENAMED[repository]}.")
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    published = PUBLISHED.get(repository)
    revision = revision or (published.revision if published else None)
    try:
        folder = _fetch(repository, revision, local_files_only=True)
        if not without_weights(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    get = f"On a machine with access to the hub run `photoguard-eval download {repository}"
    get += f" --revision {revision}`" if revision and not (published and published.revision == revision) else "`"
    get += f" ({published.gigabytes} GB), " if published else ", "
    get += "and copy the cache folder here (HF_HOME)."
    try:
        folder = _fetch(repository, revision, local_files_only=False)
    except GatedRepoError as error:
        raise ModelError(
            f"The model {repository} is given only to those who accept its terms. Accept them on its page, log in with "
            "`hf auth login`, and run this again."
        ) from error
    except (OSError, HfHubHTTPError) as error:
        raise ModelError(
            f"The model {repository} is not in the local cache and could not be downloaded ({error}). Check the "
            f"id, or the path if a folder was meant: there is none of that name. {get}"
        ) from error
    lacking = without_weights(folder)
    if lacking:
        raise ModelError(
            f"{repository} has no safetensors weights for {', '.join(lacking)} in the local cache. If the hub has "
            f"them, they could not be downloaded. {get} If it has pickled weights alone, the model cannot be used."
        )
    return folder


def _fetch(repository: str, revision: str | None, *, local_files_only: bool) -> Path:
    """Fetch what is loaded and nothing else: half precision only where there is nothing else in safetensors."""
    from huggingface_hub import snapshot_download

    def fetch(patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
                local_files_only=local_files_only,
            )
        )

    kinds = ("*.json", "*.txt", "*.safetensors")
    names = (*COMPONENTS, *SECOND_TEXT)
    patterns = ["model_index.json", *(f"{component}/{kind}" for component in names for kind in kinds)]
    folder = fetch(patterns, [f"*.{HALF}*", "*.non_ema.*"])
    lacking = without_weights(folder)
    return fetch([f"{component}/*.{HALF}*" for component in lacking], ["*.bin"]) if lacking else folder
