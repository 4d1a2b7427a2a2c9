"""The network of the amortised attack: image and mask in, perturbation out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, silu

from photoguard_eval.attacks.amortised import CONFIG, WEIGHTS
from photoguard_eval.errors import ModelError
from photoguard_eval.files import write_atomically


class PerturbationNetwork(nn.Module):
    """A small U-Net with skip connections, convolutions only, so that it takes images of any size.

    Attributes:
        widths: Channels at each level; every level but the first has half the side of the one before.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96)) -> None:
        """Make an untrained network.

        Args:
            widths: See the class.
        """
        super().__init__()
        self.widths = tuple(widths)
        self.enter = nn.Conv2d(4, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(width, width) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(wide, narrow, 2, stride=2) for wide, narrow in pairwise(widths))
        self.up = nn.ModuleList(_Block(below + beside, beside) for beside, below in pairwise(widths))
        self.leave = nn.Conv2d(widths[0], 3, 3, padding=1)

    @property
    def size_multiple(self) -> int:
        """What the sides of images must be multiples of, in pixels."""
        return int(2 ** (len(self.widths) - 1))

    def forward(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Predict perturbations.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
            masks: Shape (N, 1, H, W), 1 = not read by the editor; the network does not read it either.

        Returns:
            Shape (N, 3, H, W) in [-1, 1], in units of the budget.
        """
        values = self.enter(torch.cat([(images * 2 - 1) * (1 - masks), masks], dim=1))
        beside = []
        for level, block in enumerate(self.down):
            values = block(values)
            if level < len(self.shrink):
                beside.append(values)
                values = self.shrink[level](values)
        for level in reversed(range(len(self.up))):
            grown = interpolate(values, scale_factor=2.0, mode="nearest")
            values = self.up[level](torch.cat([grown, beside[level]], dim=1))
        return torch.tanh(self.leave(silu(values)))

    def immunize(self, images: torch.Tensor, masks: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Add the predicted perturbations where the editor reads the images.

        Args:
            images: See `forward`.
            masks: See `forward`.
            epsilon: Budget in [0, 1].

        Returns:
            Shape (N, 3, H, W) in [0, 1].
        """
        changed: torch.Tensor = images + self(images, masks) * epsilon * (1 - masks)
        return changed.clamp(0, 1)

    def save(self, folder: Path) -> None:
        """Write configuration and weights, float16."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG, json.dumps({"widths": self.widths}).encode())
        weights = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        write_atomically(folder / WEIGHTS, save(weights))

    @classmethod
    def load(cls, folder: Path) -> PerturbationNetwork:
        """Read a network that `save` wrote, frozen and in float32.

        Raises:
            ModelError: If a file is missing or damaged, or the weights do not fit the configuration.
        """
        from safetensors.torch import load_file

        try:
            config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            network = cls(config["widths"])
            network.load_state_dict(load_file(folder / WEIGHTS))
        except Exception as error:
            raise ModelError(
                f"{folder} holds no network of the amortised attack ({error}). Expected {CONFIG} and {WEIGHTS} as "
                "`PerturbationNetwork.save` writes them."
            ) from error
        return network.eval().requires_grad_(False)


class _Block(nn.Module):
    """Two convolutions with a shortcut, each after normalisation within groups of eight channels."""

    def __init__(self, given: int, returned: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(given // 8, given), nn.SiLU(), nn.Conv2d(given, returned, 3, padding=1))
        self.second = nn.Sequential(
            nn.GroupNorm(returned // 8, returned), nn.SiLU(), nn.Conv2d(returned, returned, 3, padding=1)
        )
        self.shortcut = nn.Identity() if given == returned else nn.Conv2d(given, returned, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.shortcut(values) + self.second(self.first(values))
        return changed
