"""What an attack is: a class with a name, a threat model and one method."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from photoguard_eval.errors import ConfigurationError, PluginError
from photoguard_eval.images.arrays import LEVELS
from photoguard_eval.plugins.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, EditSettings, LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators

Norm = Literal["linf", "l2"]

ImageSize = tuple[int, int]
"""Height and width in pixels."""

DEFAULT_EPSILON = 16 / LEVELS
"""The paper's budget (Table 9)."""

ROUNDING = 1e-3
"""Of a level: a budget that was written as a decimal number, 0.00392 for 1/255, is that of the level."""


@dataclass(frozen=True)
class ThreatModel:
    """What an attack may change and what it may know.

    Attributes:
        norm: "linf" bounds the largest change of a channel value; "l2" bounds the root mean square change over all
            channel values of the image, which is the ℓ2 norm divided by √(3·H·W), so that a budget means the same
            at every image size.
        epsilon: The bound, as a fraction of the range from black to white: 16/255 is sixteen levels.
        sees_model: Whether the attack uses the weights of the model that edits.
        sees_mask: Whether it knows which region will be edited.
        sees_prompt: Whether it knows the prompt of the edit.
    """

    norm: Norm
    epsilon: float
    sees_model: bool = True
    sees_mask: bool = True
    sees_prompt: bool = False

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise ConfigurationError(f"norm is {self.norm!r}; expected 'linf' or 'l2'.")
        if not 0 < self.epsilon <= 1:
            raise ConfigurationError(
                f"epsilon is {self.epsilon:g}; expected more than 0 and at most 1, as a fraction of the range from "
                "black to white: sixteen levels are 16/255."
            )
        if self.norm == "linf" and self.epsilon * LEVELS < 1 - ROUNDING:
            raise ConfigurationError(
                f"epsilon is {self.epsilon:g}, less than one level of the 8 bits that are saved, so that no image "
                "would change. Expected at least 1/255."
            )


@dataclass(frozen=True)
class AttackBatch:
    """The images that an attack perturbs at once.

    Attributes:
        images: Shape (N, 3, H, W), float32 in [0, 1], on the model's device.
        masks: Shape (N, 1, H, W): 1 where the editor discards the image and repaints it, 0 where it reads it. All
            zeros for an editor that reads the whole image, and for an attack that does not see the mask.
        prompts: The prompt of each edit, only for an attack with `sees_prompt = True`; else None.
        ids: A name for each image, the same from run to run.
        editor: How the images will be edited.
        settings: The editor's settings.
        at_once: How many edits may run at once where an attack repeats them; changes nothing but time and memory.
    """

    images: torch.Tensor
    masks: torch.Tensor
    prompts: tuple[str, ...] | None
    ids: tuple[str, ...]
    editor: Editor
    settings: EditSettings
    at_once: int = 1

    def __len__(self) -> int:
        return len(self.ids)

    def repetitions_at_once(self, repetitions: int) -> int:
        """Return how many repetitions of all images run at once: at least one.

        Args:
            repetitions: How many there are.
        """
        return min(repetitions, max(1, self.at_once // len(self)))

    @property
    def kept(self) -> torch.Tensor:
        """The region that a perturbation can act through, (N, 1, H, W): 1 − masks."""
        return 1 - self.masks

    def seen_by(self, viewer: Attack | ThreatModel) -> AttackBatch:
        """Return the batch without what an attack does not see, and without settings that no attack depends on.

        An immunized image is known by what its attack was given: see `ImmunizeInputs` of the evaluation.

        Args:
            viewer: An attack, or what it declared.
        """
        import torch

        sees_mask = viewer.sees_mask and self.editor.reads_mask
        return replace(
            self,
            masks=self.masks if sees_mask else torch.zeros_like(self.masks),
            prompts=self.prompts if viewer.sees_prompt else None,
            settings=self.settings.only(self.editor.reads_settings).before_compositing(),
        )

    def copied(self) -> AttackBatch:
        """Return a batch of the same values, nothing of which changes this one: tensors and editor are copies."""
        return replace(self, images=self.images.clone(), masks=self.masks.clone(), editor=copy.deepcopy(self.editor))

    def visible(self, images: torch.Tensor, model: LatentDiffusion) -> torch.Tensor:
        """Return what the model's encoder is given of the images.

        An inpainting checkpoint encodes the image with the region to edit painted gray; a text-to-image checkpoint
        encodes all of it and freezes the kept part of the latents.

        Args:
            images: Shape (N, 3, H, W) in [0, 1], perturbed images of this batch.
            model: The model that edits.

        Returns:
            Shape (N, 3, H, W) in [0, 1].
        """
        return images * self.kept + 0.5 * self.masks if model.is_inpainting else images


class Attack(ABC):
    """A method that turns an image into an immunized image within a threat model.

    A plug-in derives from this class, gives it a `name` and implements `perturb`. The harness checks the budget,
    stores the images, measures the cost and puts the attack on the board.

    Attributes:
        name: Identifier on the command line and in results, without commas, colons, slashes and spaces.
        title: Name in the tables; by default the label it was asked for by.
        paper: The publication of the method.
        sees_model: Whether it uses the weights of the model that edits.
        sees_mask: Whether it is told which region will be edited.
        sees_prompt: Whether it is told the prompt.
        guarded: Whether the harness rounds its images and brings back what rounding carried over the budget; finished
            files are measured as they are.
        gradient_through: What of the model its gradient passes through, which decides how much memory it takes.
        gradient_evaluations: Gradients with respect to an image that it takes for one image.
        inputs: Each file that it reads, by what the file is to it: its path, or the SHA-256 of its content. A changed
            file is then a changed attack. Arguments that are files, and files beside its module that are opened when it
            is imported or built, count by themselves; one that `perturb` reads has to be named here::

                inputs = {"levels": Path(__file__).with_name("levels.txt")}
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    sees_model: bool = True
    sees_mask: bool = True
    sees_prompt: bool = False
    guarded: ClassVar[bool] = True
    gradient_through: str = "nothing"
    gradient_evaluations: int = 0
    inputs: Mapping[str, str | Path] = MappingProxyType({})

    def __init__(self, *, epsilon: float = DEFAULT_EPSILON, norm: Norm = "linf") -> None:
        """Set the budget.

        Args:
            epsilon: See `ThreatModel`.
            norm: See `ThreatModel`.

        Raises:
            ConfigurationError: If the budget is out of range.
        """
        self._threat_model = ThreatModel(norm, epsilon, self.sees_model, self.sees_mask, self.sees_prompt)

    @property
    def threat_model(self) -> ThreatModel:
        """The threat model that the harness holds the attack to.

        Raises:
            PluginError: If a subclass's constructor did not call this class's.
        """
        try:
            return self._threat_model
        except AttributeError:
            raise PluginError(
                f"The attack {self.name!r} has no budget. Call super().__init__(epsilon=…) in its constructor."
            ) from None

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
            batch: The images, where they are edited, and what else the attack may see.
            generator: One random generator per image. They have nothing to do with the seed of the edit.

        Returns:
            Shape (N, 3, H, W), float in [0, 1], within `threat_model` of `batch.images`.
        """


def declared_threat_model(attack: Attack) -> ThreatModel:
    """Read the threat model of an attack, which is what it declares when it is created.

    The harness reads it once and holds the attack to the answer. So this is a value of its own, not the attack's.

    Raises:
        PluginError: If there is none, or what the attack's attributes say that it sees is something else.
    """
    stated = attack.threat_model
    if not isinstance(stated, ThreatModel):
        raise PluginError(
            f"The attack {attack.name!r} has the threat model {stated!r}; expected a ThreatModel. Leave the property "
            "`threat_model` as it is, and call super().__init__(epsilon=…) in the constructor."
        )
    declared = ThreatModel(
        stated.norm, float(stated.epsilon), bool(stated.sees_model), bool(stated.sees_mask), bool(stated.sees_prompt)
    )
    for name in ("sees_model", "sees_mask", "sees_prompt"):
        if bool(getattr(attack, name)) != getattr(declared, name):
            raise PluginError(
                f"The attack {attack.name!r} has {name} = {getattr(attack, name)!r}, and its threat model says "
                f"{getattr(declared, name)}. Set it in the class, or before super().__init__() is called."
            )
    return declared


def _finished_images(name: str) -> tuple[str, dict[str, Any]] | None:
    return ("folder", {"path": name}) if Path(name).is_dir() else None


ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]
    "photoguard_eval.attacks",
    fallback=_finished_images,
    hint="and a folder of already immunized PNG images.",
    declare=declared_threat_model,
)

register_attack = ATTACKS.register


def require_positive(**values: float) -> None:
    """Check that named parameters are positive.

    Raises:
        ConfigurationError: If one is not.
    """
    for name, value in values.items():
        if not value > 0:
            raise ConfigurationError(f"{name} is {value}; expected more than 0.")


def require_not_negative(**values: float) -> None:
    """Check that named parameters are finite and not below zero.

    Raises:
        ConfigurationError: If one is not.
    """
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ConfigurationError(f"{name} is {value}; expected a finite number, 0 or more.")


def require_choice(choices: Sequence[str], **values: str) -> None:
    """Check that named parameters are among the choices.

    Raises:
        ConfigurationError: If one is not.
    """
    for name, value in values.items():
        if value not in choices:
            raise ConfigurationError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
