"""The budget of an attack as a value: a ball around the image, of a norm and a radius."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from numbers import Real
from typing import TYPE_CHECKING, cast

from photoguard_eval.attacks.norms import NORMS, ROUNDING, Measured, NormName
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.images.arrays import LEVELS

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators

DECIMALS = 4
"""Of a radius in levels: what two radii share beyond them is one budget."""

NEAR = {"linf": 1 - 1e-3, "l2": 0.01}
"""In levels: two budgets of a run that lie closer are one that was written in two ways; files hold whole levels."""


def budget_spec(norm: str, levels: float) -> str:
    """Return the text of a budget that `Ball.parse` reads: "16/255", "l2 8/255".

    Args:
        norm: "linf" or "l2".
        levels: The radius in levels of 1/255.
    """
    digits = f"{levels:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return f"{'' if norm == 'linf' else f'{norm} '}{digits}/{LEVELS}"


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(Fraction(numerator) / Fraction(denominator if slash else 1))


@dataclass(frozen=True)
class Ball:
    """How far an immunized image may lie from its original.

    Example:
        >>> Ball.parse("16/255") == Ball("linf", 16 / 255)
        True
        >>> print(Ball.parse("l2:8/255"))
        l2 8/255

    Attributes:
        norm: "linf" bounds the largest change of a channel value; "l2" bounds the root mean square change over all
            channel values of the image, which is the ℓ2 norm divided by √(3·H·W), so that a radius means the same
            at every image size.
        radius: The bound, as a fraction of the range from black to white: 16/255 is sixteen levels. It is rounded to
            a ten-thousandth of a level, so that 0.0627451 is 16/255.

    Raises:
        ConfigurationError: If the norm is unknown, or the radius is none that an image of 8 bits can have.
    """

    norm: NormName
    radius: float

    def __post_init__(self) -> None:
        """Check norm and radius, and round the radius."""
        if self.norm not in NORMS:
            names = " or ".join(repr(name) for name in NORMS)
            raise ConfigurationError(f"The norm of the budget is {self.norm!r}; expected {names}, as in l2:8/255.")
        if not isinstance(self.radius, Real):
            raise ConfigurationError(
                f"The radius of the budget is {self.radius!r}; expected a number. Ball.parse reads a text such as "
                "'16/255'."
            )
        if not 0 < self.radius <= 1:
            raise ConfigurationError(
                f"The radius of the budget is {self.radius:g} ({self.radius * LEVELS:g}/{LEVELS}); expected more than "
                "0 and at most 1, as a fraction of the range from black to white: sixteen levels are 16/255."
            )
        levels = round(float(self.radius) * LEVELS, DECIMALS)
        if levels < (1 - ROUNDING if self.norm == "linf" else 10**-DECIMALS):
            raise ConfigurationError(
                f"The radius of the budget is {self.radius:g}, less than one level of the 8 bits that are saved, so "
                "that no image would change. Expected at least 1/255."
            )
        object.__setattr__(self, "radius", levels / LEVELS)

    @classmethod
    def parse(cls, text: str) -> Ball:
        """Read a budget as it is written on the command line.

        Args:
            text: A fraction or a decimal number for ℓ∞, "16/255" or "0.0627"; with a norm before it "l2:8/255".

        Raises:
            ConfigurationError: If it is no budget; the message says what was probably meant.
        """
        found = re.fullmatch(r"(?:(?P<norm>[^\s:/]+)[:\s]\s*)?(?P<radius>[^\s:]+)", text.strip())
        try:
            radius = _number(found["radius"]) if found else 0.0
        except (ValueError, ZeroDivisionError, OverflowError):
            found = None
        if found is None:
            raise ConfigurationError(
                f"The budget is {text!r}; expected a fraction of the range from black to white, such as 16/255, after "
                "a norm and a colon if it is not ℓ∞: l2:8/255."
            )
        if "/" not in found["radius"] and 1 <= radius <= LEVELS:
            raise ConfigurationError(
                f"The budget is {text!r}, which is not less than the whole range from black to white. Did you mean "
                f"{found['radius']}/{LEVELS}, which counts levels?"
            )
        # The constructor checks the norm.
        return cls(cast("NormName", found["norm"] or "linf"), radius)

    @classmethod
    def of(cls, budget: Ball | str | float) -> Ball:
        """Return a budget that was given as a value, as a text, or as a radius of ℓ∞."""
        if isinstance(budget, Ball):
            return budget
        return cls.parse(budget) if isinstance(budget, str) else cls("linf", budget)

    def __str__(self) -> str:
        """Return the text that `parse` reads: "16/255", "l2 8/255"; no other budget has the same."""
        return budget_spec(self.norm, self.levels)

    @property
    def levels(self) -> float:
        """The radius in levels of 1/255."""
        return round(self.radius * LEVELS, DECIMALS)

    @property
    def measure(self) -> str:
        """What the norm measures, in words."""
        return NORMS[self.norm].measure

    def size(self, measured: Measured) -> float:
        """Return the norm of a perturbation, in levels.

        Args:
            measured: What was measured of it.
        """
        return NORMS[self.norm].size(measured)

    def project(self, images: torch.Tensor, perturbation: torch.Tensor) -> torch.Tensor:
        """Add a perturbation to images after projection onto the ball, and clip to [0, 1]; differentiable.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
            perturbation: Same shape.

        Returns:
            Same shape, in [0, 1] and in the ball around the images.
        """
        # Clipping to [0, 1] moves a value towards the image, which lies inside, so it never leaves the ball again.
        return (images + NORMS[self.norm].bring_back(perturbation, self.radius)).clamp(0, 1)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the direction in which a loss grows fastest, of norm 1.

        Args:
            gradient: Of the loss, (N, 3, H, W).

        Returns:
            Same shape.
        """
        return NORMS[self.norm].steepest(gradient)

    def draw(self, images: torch.Tensor, generator: CaseGenerators) -> torch.Tensor:
        """Draw a perturbation whose values are uniform in [−radius, radius].

        For ℓ2 the bound is on the root mean square, and values that are uniform in [−√3·radius, √3·radius] have just
        that in expectation; `project` brings back what exceeds it.

        Args:
            images: What it is for, (N, 3, H, W).
            generator: One random generator per image.

        Returns:
            Same shape.
        """
        bound = NORMS[self.norm].bound(self.radius)
        return generator.uniform(images.shape[1:], -bound, bound, images)

    def round_inwards(self, base: torch.Tensor, rounded: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Bring back an image that rounding may have carried out of the ball; see `Norm.round_inwards`."""
        return NORMS[self.norm].round_inwards(base, rounded, change, self.levels)


DEFAULT_BUDGET = Ball("linf", 16 / 255)
"""The paper's budget (Table 9), which the board compares attacks at."""


def distinct_balls(budgets: Iterable[Ball | str]) -> tuple[Ball, ...]:
    """Return the budgets of a run, each once, in the order given.

    Example:
        >>> [str(budget) for budget in distinct_balls(["16/255", "8/255", "16/255"])]
        ['16/255', '8/255']

    Args:
        budgets: Values or texts.

    Raises:
        ConfigurationError: If a text is no budget, or two lie closer than `NEAR`, which nobody means.
    """
    balls = tuple(dict.fromkeys(map(Ball.of, budgets)))
    for first, second in combinations(balls, 2):
        apart = abs(first.levels - second.levels)
        if first.norm == second.norm and apart < NEAR[first.norm]:
            meant = min(first, second, key=lambda ball: abs(ball.levels - round(ball.levels)))
            raise ConfigurationError(
                f"The budgets {first} and {second} are {apart:.{DECIMALS}f} levels apart, and files hold whole levels. "
                f"Give one of them; {meant} was probably meant."
            )
    return balls
