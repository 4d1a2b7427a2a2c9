"""What an attack declares, and the threat model that it is held to in a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from photoguard_eval.attacks.ball import DEFAULT_BUDGET, Ball
from photoguard_eval.attacks.norms import NORMS, NormName
from photoguard_eval.errors import ConfigurationError


@dataclass(frozen=True)
class ThreatModel:
    """What an attack may change and what it may know.

    Attributes:
        budget: How far an image may be changed.
        sees_model: Whether the attack uses the weights of the model that edits.
        sees_mask: Whether it knows which region will be edited.
        sees_prompt: Whether it knows the prompt of the edit.
    """

    budget: Ball
    sees_model: bool = True
    sees_mask: bool = True
    sees_prompt: bool = False

    @property
    def norm(self) -> NormName:
        """Norm of the budget."""
        return self.budget.norm

    @property
    def epsilon(self) -> float:
        """Radius of the budget, as papers name it."""
        return self.budget.radius


@dataclass(frozen=True)
class Declaration:
    """What an attack says of itself when it is created, which later changes of the attack do not change.

    Attributes:
        attack: Its name, for errors.
        budget: Its own budget; None for whatever the run says.
        norms: The norms that it can work in.
        sees_model: See `ThreatModel`.
        sees_mask: See `ThreatModel`.
        sees_prompt: See `ThreatModel`.

    Raises:
        ConfigurationError: If its own budget has another norm.
    """

    attack: str = field(compare=False)
    budget: Ball | None
    norms: tuple[NormName, ...]
    sees_model: bool
    sees_mask: bool
    sees_prompt: bool

    def __post_init__(self) -> None:
        """Check the attack's own budget."""
        if self.budget is not None:
            self._require_norm(self.budget)

    def within(self, budget: Ball = DEFAULT_BUDGET) -> ThreatModel:
        """Return the threat model that the attack is held to, at its own budget if it has one.

        Args:
            budget: The run's.

        Raises:
            ConfigurationError: If the attack cannot work in the budget's norm.
        """
        budget = self.budget or budget
        self._require_norm(budget)
        return ThreatModel(budget, self.sees_model, self.sees_mask, self.sees_prompt)

    def _require_norm(self, budget: Ball) -> None:
        if budget.norm not in self.norms:
            possible = " and ".join(NORMS[norm].symbol for norm in self.norms) or "no norm that all of its parts know"
            raise ConfigurationError(
                f"The attack {self.attack!r} works in {possible}, and its budget is {budget}. Give a budget such as "
                "16/255, or leave the attack out."
            )
