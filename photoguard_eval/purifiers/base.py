"""What a purifier is: a class with a name and one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from photoguard_eval.plugins.registry import Registry

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators


class Purifier(ABC):
    """A transformation of images that is meant to wash a perturbation out and leave the picture.

    Attributes:
        name: Identifier on the command line, without commas, colons, slashes and spaces.
        axes: The argument that says how hard it works, if there is one: rows are told apart by its value.
        differentiable: Whether a gradient passes through that says something about its input.
        inputs: Files that it reads, see `photoguard_eval.attacks.Attack`: a changed file is a changed purifier.
    """

    name: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ()
    differentiable: ClassVar[bool]
    inputs: Mapping[str, str | Path] = MappingProxyType({})

    @abstractmethod
    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """Transform images.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
            generators: One random generator per image.

        Returns:
            The same shape, in [0, 1].
        """


PURIFIERS: Registry[Purifier] = Registry(
    "purifier",
    Purifier,  # type: ignore[type-abstract]
    "photoguard_eval.purifiers",
)

register_purifier = PURIFIERS.register

PurifierChoice = str | type[Purifier] | Purifier
"""How a purifier is asked for: by a spec, see `photoguard_eval.plugins.registry`, by its class or an instance."""
