"""Weights in torch hub's cache, which are used where they are and never downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.errors import MetricError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.surroundings import expanded


@dataclass(frozen=True)
class HubWeights:
    """A file of weights that a library loads from torch hub's cache.

    Attributes:
        network: What they are the weights of, in words.
        file: Name of the file.
        sha256: How the file's SHA-256 begins, as its name says.
        origin: Where the file can be had.
        otherwise: What to do without it, after "or".
    """

    network: str
    file: str
    sha256: str
    origin: str
    otherwise: str

    @property
    def path(self) -> Path:
        """Where torch hub keeps the file, known without loading torch."""
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
        home = expanded(Path(os.environ.get("TORCH_HOME", cache / "torch")))
        return home / "hub" / "checkpoints" / self.file

    @property
    def missing(self) -> str:
        """What is missing and how to get it; "" where the file is in place."""
        if self.path.is_file():
            return ""
        return (
            f"The weights of {self.network} are not in {self.path}. Download {self.file} from {self.origin} and put it "
            f"there, or {self.otherwise}."
        )

    def identity(self) -> str:
        """Return the name of the network and the hash of the weights; the whole file is read."""
        return f"{self.network.lower()} {sha256_of_file(self.path)[:12]}"

    def require(self) -> None:
        """Make sure that a library will find the weights, whole, and will not download them.

        Raises:
            MetricError: If it would not.
        """
        import torch

        if self.missing:
            raise MetricError(self.missing)
        if not sha256_of_file(self.path).startswith(self.sha256):
            raise MetricError(
                f"{self.path} is damaged: its SHA-256 does not begin with {self.sha256}. Remove it and download it "
                f"again, or {self.otherwise}."
            )
        if Path(torch.hub.get_dir()) / "checkpoints" != self.path.parent:
            raise MetricError(
                f"Torch hub's cache is {torch.hub.get_dir()}, but the weights of {self.network} are in "
                f"{self.path.parent}. Set the cache with TORCH_HOME rather than torch.hub.set_dir."
            )
