"""The amortised attack: a network that was trained once predicts the perturbation, in milliseconds an image."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval import resources
from photoguard_eval.attacks.base import Attack, ImageSize, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import parameters
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import sha256_of_file

if TYPE_CHECKING:
    import torch

    from photoguard_eval.attacks.perturbation_network import PerturbationNetwork
    from photoguard_eval.diffusion import Editor, LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators

DEFAULT_NETWORK = "amortised-a"

CONFIG, WEIGHTS = "config.json", "network.safetensors"
"""Files of a network's folder."""


@register_attack
@parameters
class AmortisedAttack(Attack):
    """Add ε · tanh(g(x, m)) for a network g that was trained on other images to minimise an attack's loss (DiffVax).

    `python -m recipes.emoji_scenes amortised-a` trains a network on emoji scenes against inpaint-a, with the loss of
    the encoder attack and then with that of the diffusion attack. The perturbation is scaled to the budget.

    Attributes:
        network: A network that the package carries, or a folder that `PerturbationNetwork.save` wrote.
    """

    name = "amortised"
    title = "Amortised (DiffVax)"
    paper = "Ozden et al. 2024, DiffVax: Optimization-Free Image Immunization Against Diffusion-Based Editing"

    norms = ("linf",)

    network: str = DEFAULT_NETWORK

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`.

        Raises:
            ConfigurationError: If there is no such network.
        """
        super().__post_init__()
        embedded = resources.CHECKPOINTS / self.network
        self.folder = embedded if embedded.is_dir() else Path(self.network)
        files = (CONFIG, WEIGHTS)
        missing = [file for file in files if not (self.folder / file).is_file()]
        if missing:
            raise ConfigurationError(
                f"network is {self.network!r}; expected {DEFAULT_NETWORK!r} or a folder with {' and '.join(files)}; "
                f"{' and '.join(missing)} missing."
            )
        self.inputs = {file: sha256_of_file(self.folder / file) for file in files}

    @cached_property
    def predictor(self) -> PerturbationNetwork:
        """The network itself, read when it is first used.

        Raises:
            ModelError: If its files do not hold one.
        """
        from photoguard_eval.attacks.perturbation_network import PerturbationNetwork

        return PerturbationNetwork.load(self.folder)

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del model, editor
        multiple = self.predictor.size_multiple
        for height, width in sizes:
            if height % multiple or width % multiple:
                raise ConfigurationError(
                    f"The network of the amortised attack takes images whose sides are multiples of {multiple} pixels; "
                    f"these are {width} × {height} (width × height). Resize them."
                )

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        import torch

        del model, generator
        with torch.no_grad():
            return self.predictor.to(batch.images.device).immunize(batch.images, batch.masks, batch.budget.radius)
