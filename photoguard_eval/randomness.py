"""Randomness is explicit: every generator is derived from what it is for, never from a global state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import sha256_of_json

if TYPE_CHECKING:
    import torch


SEEDS = 2**63
"""How many seeds there are: every random generator takes a number from 0 to one less than this."""


def require_seed(seed: int) -> None:
    """Check that a number is a seed.

    Raises:
        ConfigurationError: If it is negative or too large.
    """
    if not 0 <= seed < SEEDS:
        raise ConfigurationError(f"The seed is {seed}; expected a whole number from 0 to 2⁶³ − 1.")


def derive_seed(*parts: str | int) -> int:
    """Derive a seed from what it is used for, such as (evaluation seed, case id, stage).

    Returns:
        An integer in [0, 2**63), the same on every machine.
    """
    return int(sha256_of_json(list(parts))[:16], 16) >> 1


@dataclass(frozen=True)
class CaseGenerators:
    """One generator for each image of a batch, so that an image's numbers do not depend on its neighbours.

    The generators live on the CPU, so that a seed gives the same numbers on every device.
    """

    generators: tuple[torch.Generator, ...]

    @classmethod
    def from_seeds(cls, seeds: Sequence[int]) -> CaseGenerators:
        """Make one fresh CPU generator per seed.

        Raises:
            ConfigurationError: If a number is no seed.
        """
        import torch

        for seed in seeds:
            require_seed(seed)
        return cls(tuple(torch.Generator("cpu").manual_seed(seed) for seed in seeds))

    def __len__(self) -> int:
        return len(self.generators)

    def spawn(self, count: int) -> CaseGenerators:
        """Make `count` further generators for each image, for repetitions of what one of them would be for.

        They do not depend on each other, so that repetitions give the same numbers one by one as all at once.

        Args:
            count: How many.

        Returns:
            count · N generators, repetition by repetition.
        """
        import torch

        seeds = [torch.randint(2**62, (count,), generator=generator).tolist() for generator in self.generators]
        return CaseGenerators.from_seeds([row[repetition] for repetition in range(count) for row in seeds])

    def normal(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Draw standard normal numbers.

        Args:
            shape: The shape for one image, without the batch dimension.
            like: A tensor whose device and dtype the result takes.

        Returns:
            A tensor of shape (N, *shape), row i drawn from generator i.
        """
        import torch

        rows = [torch.randn(tuple(shape), generator=generator) for generator in self.generators]
        return torch.stack(rows).to(like)

    def uniform(self, shape: Sequence[int], low: float, high: float, like: torch.Tensor) -> torch.Tensor:
        """Draw numbers uniformly from [low, high), as `normal` does."""
        import torch

        rows = [torch.rand(tuple(shape), generator=generator) for generator in self.generators]
        return (torch.stack(rows) * (high - low) + low).to(like)

    def integers(self, high: int, like: torch.Tensor) -> torch.Tensor:
        """Draw a whole number from [0, high) for each image, shape (N,), int64 on the device of `like`."""
        import torch

        rows = [torch.randint(high, (), generator=generator) for generator in self.generators]
        return torch.stack(rows).to(like.device)
