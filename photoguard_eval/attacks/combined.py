"""Attacks made of attacks: the best of several for each image, and one that holds under transformations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks.ball import Ball
from photoguard_eval.attacks.base import ATTACKS, Attack, ImageSize, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import PositiveInt, parameters
from photoguard_eval.attacks.gradient import GradientAttack, require_schedule
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.purifiers import PURIFIERS, Purifier
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, LatentDiffusion


GUESSED_PROMPTS = ("on a beach", "in the snow", "in the city", "in a forest")
"""Where photographs are often moved to."""


@register_attack
@parameters
class EnsembleAttack(Attack):
    """Run several attacks and keep, for each image, the one that changes the attacker's own edits most.

    The choice is made on the model that the attacker has, with prompts and seeds of its own: how far edits of each
    candidate lie from edits of the original under the same noise, as a root mean square over the image. Under the empty
    prompt the diffusion attack, which is made for it, would be taken for more than it is.

    Attributes:
        attacks: Their names, joined by "+"; arguments in parentheses, separated by ";", as in
            "encoder(steps=50;target=zero)+mist".
        steps: Gradient steps of each that is given none; by default its own.
        trials: Edits by which a candidate is judged, each with its own seed.
        prompts: What the attacker supposes an edit to be for, joined by "+"; the trials take them in turn.
        denoising_steps: Steps of each of these edits.
    """

    name = "ensemble"
    title = "Ensemble"
    paper = "Croce and Hein 2020, Reliable Evaluation of Adversarial Robustness with an Ensemble (the idea)"

    attacks: str = "encoder+diffusion"
    steps: PositiveInt | None = None
    trials: PositiveInt = 4
    prompts: str = "+".join(GUESSED_PROMPTS)
    denoising_steps: PositiveInt = 10

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`.

        Raises:
            ConfigurationError: If there are less than two attacks, or one is given a budget.
        """
        super().__post_init__()
        self.members = [_member(spec, self.steps) for spec in self.attacks.split("+")]
        if len(self.members) < 2:
            raise ConfigurationError(f"attacks is {self.attacks!r}; expected at least two, joined by '+'.")
        self._prompts = [prompt.strip() for prompt in self.prompts.split("+")]
        if not all(self._prompts):
            raise ConfigurationError(f"prompts is {self.prompts!r}; expected texts joined by '+', none of them empty.")
        self.sees_mask = any(member.instance.sees_mask for member in self.members)
        self.sees_prompt = any(member.instance.sees_prompt for member in self.members)
        self.gradient_evaluations = sum(member.instance.gradient_evaluations for member in self.members)
        self.gradient_through = max((member.instance.gradient_through for member in self.members), key=len)
        self.inputs = _inputs_of(self.members)

    @property
    def parts(self) -> tuple[Plugin[Any], ...]:
        """See `Attack.parts`."""
        return tuple(self.members)

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        require_schedule(model, denoising_steps=self.denoising_steps)
        for member in self.members:
            member.instance.require_support(model, editor, sizes)

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        import torch

        candidates = [
            member.instance.perturb(model, batch.seen_by(member.instance), generator) for member in self.members
        ]
        seeds = [int(seed) for seed in generator.integers(2**31, batch.images)]
        reference = self._edits(model, batch, batch.images, seeds)
        distances = torch.stack(
            [
                (self._edits(model, batch, candidate, seeds) - reference).square().flatten(2).mean(dim=(0, 2))
                for candidate in candidates
            ]
        )
        chosen = distances.argmax(dim=0)
        return torch.stack([candidates[int(best)][row] for row, best in enumerate(chosen)])

    def _edits(
        self, model: LatentDiffusion, batch: AttackBatch, images: torch.Tensor, seeds: list[int]
    ) -> torch.Tensor:
        """Edit images in each trial, (trials, N, 3, H, W)."""
        import torch

        settings = batch.settings.changed(
            num_inference_steps=batch.editor.schedule_length(self.denoising_steps, batch.settings)
        )
        edits = [
            batch.editor.edit(
                model,
                images,
                batch.masks,
                [self._prompts[trial % len(self._prompts)]] * len(batch),
                [seed + trial for seed in seeds],
                settings,
                batch.images,
            )
            for trial in range(self.trials)
        ]
        return torch.stack(edits)


@register_attack
class RobustAttack(GradientAttack):
    """Minimise an attack's loss in expectation over transformations, so that it survives them (Athalye et al. 2018).

    The paper proposes this in Section 5 against an adversary who transforms the image first.
    """

    name = "eot"
    title = "Expectation over transformations"
    paper = "Athalye et al. 2018, Synthesizing Robust Adversarial Examples"

    def __init__(
        self,
        *,
        attack: str = "encoder",
        purifiers: str = "jpeg+blur+gaussian-noise",
        steps: int | None = None,
        budget: Ball | str | float | None = None,
    ) -> None:
        """Choose the attack and the transformations; how it descends is the attack's.

        Args:
            attack: A gradient attack, with arguments in parentheses: "encoder(steps=50;target=zero)".
            purifiers: Differentiable purifiers joined by "+", with arguments likewise. The image itself is always
                among the transformed ones.
            steps: Gradient steps; by default the attack's.
            budget: See `Attack`.

        Raises:
            ConfigurationError: If the attack follows no gradient or is given a budget, or a purifier is not
                differentiable.
        """
        self._given = {"attack": attack, "purifiers": purifiers, "steps": steps}
        member = _member(attack, steps)
        inner = member.instance
        if not isinstance(inner, GradientAttack):
            raise ConfigurationError(
                f"The attack {inner.name!r} follows no gradient, so no expectation can be taken of it. Choose one that "
                "minimises a loss, such as encoder."
            )
        super().__init__(
            budget=budget,
            step_size=inner.step_size,
            steps=inner.steps,
            random_start=inner.random_start,
            decay=inner.decay,
        )
        self.sees_mask = inner.sees_mask
        self.sees_prompt = inner.sees_prompt
        self.attack = inner
        chosen = [PURIFIERS.create(_as_spec(spec)) for spec in purifiers.split("+")]
        for purifier in chosen:
            _require_differentiable(purifier)
        self.purifiers = [purifier.instance for purifier in chosen]
        self._parts: tuple[Plugin[Any], ...] = (member, *chosen)
        self.gradient_evaluations = inner.steps * (1 + len(chosen))
        self.gradient_through = f"purifiers, {inner.gradient_through}"
        self.inputs = _inputs_of([member, *chosen])

    def get_params(self) -> dict[str, Any]:
        """Return the arguments that it was built with, of which it keeps what they name."""
        return self._given

    @property
    def parts(self) -> tuple[Plugin[Any], ...]:
        """See `Attack.parts`."""
        return self._parts

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        self.attack.require_support(model, editor, sizes)

    def parametrisation(self, batch: AttackBatch) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.parametrisation`."""
        return self.attack.parametrisation(batch)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        loss = self.attack.objective(model, batch, generator)

        def expected(images: torch.Tensor) -> torch.Tensor:
            losses = loss(images)
            for purifier in self.purifiers:
                losses = losses + loss(purifier.purify(images, generator))
            return losses / (1 + len(self.purifiers))

        return expected


def _member(spec: str, steps: int | None) -> Plugin[Attack]:
    spec = _as_spec(spec)
    defaults = {"steps": steps} if steps is not None and issubclass(ATTACKS.find(spec), GradientAttack) else {}
    member = ATTACKS.create(spec, defaults)
    if member.declared.budget is not None:
        raise ConfigurationError(f"{spec!r} has a budget of its own. Give it to the attack that it is a part of.")
    return member


def _as_spec(nested: str) -> str:
    """Turn "name(key=value;key=value)" into the registry's "name,key=value,key=value"."""
    name, opening, arguments = nested.strip().partition("(")
    if opening and not arguments.endswith(")"):
        raise ConfigurationError(f"{nested!r} has no closing parenthesis; write name(key=value;key=value).")
    return ",".join([name, *arguments.removesuffix(")").split(";")]) if arguments.removesuffix(")") else name


def _inputs_of(plugins: Sequence[Plugin[Attack] | Plugin[Purifier]]) -> dict[str, str]:
    """Return what an attack made of others depends on: their sources and what they read."""
    inputs = {}
    for number, plugin in enumerate(plugins):
        inputs[f"{number}: {plugin.label}"] = plugin.fingerprint
        inputs.update({f"{number}: {plugin.label}: {name}": value for name, value in plugin.inputs.items()})
    return inputs


def _require_differentiable(purifier: Plugin[Purifier]) -> None:
    if not purifier.instance.differentiable:
        usable = sorted(name for name, factory in PURIFIERS.classes().items() if factory.differentiable)
        raise ConfigurationError(
            f"The purifier {purifier.name!r} is not differentiable, so no gradient passes through it. Choose among "
            f"{', '.join(usable)}."
        )
