"""What an attack is: a class with a name, parameters and one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from photoguard_eval.attacks.ball import Ball
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import check_parameters, parameters
from photoguard_eval.attacks.norms import NormName
from photoguard_eval.attacks.threat_model import Declaration
from photoguard_eval.plugins.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators

ImageSize = tuple[int, int]
"""Height and width in pixels."""

_BUDGET = "Attacks have no parameter {}. Write budget=8/255, or budget=l2:8/255 for another norm than ℓ∞."


@parameters
class Attack(ABC):
    """A method that turns an image into an immunized image within a threat model.

    A plug-in derives from this class, gives it a `name` and implements `perturb`. The harness checks the budget,
    stores the images, measures the cost and puts the attack on the board. Its parameters are annotated attributes under
    `parameters`, or those of a constructor of its own that calls `super().__init__()`.

    Attributes:
        name: Identifier on the command line and in results, without commas, colons, slashes and spaces.
        title: Name in the tables; by default the label it was asked for by.
        paper: The publication of the method.
        is_floor: Whether it is what every attack has to beat.
        is_finished: Whether it stands for finished files, which are measured as they are; the images of all others are
            rounded, and what rounding carried over the budget is brought back.
        axes: Parameters by which rows are told apart besides the label, which leaves them out.
        norms: The norms that it can work in; one that is made of others can work in theirs.
        former_arguments: What to write instead of arguments that it had before, by their names.
        sees_model: Whether it uses the weights of the model that edits.
        sees_mask: Whether it is told which region will be edited.
        sees_prompt: Whether it is told the prompt.
        gradient_through: What of the model its gradient passes through, which decides how much memory it takes.
        gradient_evaluations: Gradients with respect to an image that it takes for one image.
        inputs: Each file that it reads, by what the file is to it: its path, or the SHA-256 of its content. A changed
            file is then a changed attack. Arguments that are files, and files beside its module that are opened when it
            is imported or built, count by themselves; one that `perturb` reads has to be named here::

                inputs = {"levels": Path(__file__).with_name("levels.txt")}

        budget: Its own budget, a `Ball` or its text, "8/255" or "l2:8/255"; None for whatever the run says. `perturb`
            reads the one that counts from the batch.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    is_floor: ClassVar[bool] = False
    is_finished: ClassVar[bool] = False
    axes: ClassVar[tuple[str, ...]] = ("budget",)
    norms: ClassVar[tuple[NormName, ...]] = ("linf", "l2")
    former_arguments: ClassVar[Mapping[str, str]] = {name: _BUDGET.format(name) for name in ("epsilon", "norm")}
    sees_model = True
    sees_mask = True
    sees_prompt = False
    gradient_through = "nothing"
    gradient_evaluations = 0
    inputs = cast("Mapping[str, str | Path]", MappingProxyType({}))

    budget: Ball | str | float | None = None

    def __post_init__(self) -> None:
        """Check the parameters, and work out what follows from them.

        Raises:
            ConfigurationError: If a value is out of range.
        """
        check_parameters(self)
        if self.budget is not None:
            self.budget = Ball.of(self.budget)

    @property
    def parts(self) -> tuple[Plugin[Any], ...]:
        """The plug-ins that it is made of; none for most."""
        return ()

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:  # noqa: B027 (most attacks support all)
        """Check whether the attack can work against a model and an editor; called before any work starts.

        Args:
            model: The model that will edit.
            editor: How it will edit.
            sizes: Of the images to immunize.

        Raises:
            ConfigurationError: If it cannot.
        """

    @abstractmethod
    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """Return the immunized images.

        Args:
            model: The model that will edit; frozen, differentiable with respect to images.
            batch: The images, where they are edited, the budget, and what else the attack may see.
            generator: One random generator per image. They have nothing to do with the seed of the edit.

        Returns:
            Shape (N, 3, H, W), float in [0, 1], within `batch.budget` of `batch.images`.
        """


def declaration_of(attack: Attack) -> Declaration:
    """Read what an attack declares when it is created.

    The harness reads it once and holds the attack to the answer. So this is a value of its own, not the attack's.

    Raises:
        ConfigurationError: If its budget is none, or of a norm that it cannot work in.
    """
    budget = None if attack.budget is None else Ball.of(attack.budget)
    norms = attack.norms
    for part in attack.parts:
        if isinstance(part.declared, Declaration):
            norms = tuple(norm for norm in norms if norm in part.declared.norms)
    return Declaration(
        attack.name,
        None if budget is None else Ball(budget.norm, budget.radius),
        norms,
        bool(attack.sees_model),
        bool(attack.sees_mask),
        bool(attack.sees_prompt),
    )


def _finished_images(name: str) -> tuple[str, dict[str, Any]] | None:
    return ("folder", {"path": name}) if Path(name).is_dir() else None


ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]
    "photoguard_eval.attacks",
    fallback=_finished_images,
    hint="and a folder of already immunized PNG images.",
    declare=declaration_of,
)

AttackChoice = str | type[Attack] | Attack
"""How an attack is asked for: by a spec, see `photoguard_eval.plugins.registry`, as a class or as an instance."""

register_attack = ATTACKS.register
