"""Attacks made of attacks: the best of several for each image, and one that holds under transformations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks.base import (
    ATTACKS,
    DEFAULT_EPSILON,
    Attack,
    AttackBatch,
    ImageSize,
    Norm,
    register_attack,
    require_positive,
)
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
class EnsembleAttack(Attack):
    """Run several attacks and keep, for each image, the one that changes the attacker's own edits most.

    The choice is made on the model that the attacker has, with prompts and seeds of its own: how far edits of each
    candidate lie from edits of the original under the same noise, as a root mean square over the image. Under the empty
    prompt the diffusion attack, which is made for it, would be taken for more than it is.
    """

    name = "ensemble"
    title = "Ensemble"
    paper = "Croce and Hein 2020, Reliable Evaluation of Adversarial Robustness with an Ensemble (the idea)"

    def __init__(
        self,
        *,
        attacks: str = "encoder+diffusion",
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        steps: int | None = None,
        trials: int = 4,
        prompts: str = "+".join(GUESSED_PROMPTS),
        denoising_steps: int = 10,
    ) -> None:
        """Choose the attacks.

        Args:
            attacks: Their names, joined by "+"; arguments in parentheses, separated by ";", as in
                "encoder(steps=50;target=zero)+mist".
            epsilon: The budget of all of them, see `ThreatModel`.
            norm: Its norm.
            steps: Gradient steps of each that is given none; by default its own.
            trials: Edits by which a candidate is judged, each with its own seed.
            prompts: What the attacker supposes an edit to be for, joined by "+"; the trials take them in turn.
            denoising_steps: Steps of each.

        Raises:
            ConfigurationError: If a value is out of range, or an attack is given another budget.
        """
        require_positive(trials=trials, denoising_steps=denoising_steps)
        if steps is not None:
            require_positive(steps=steps)
        self.members = [_member(spec, epsilon, norm, steps) for spec in attacks.split("+")]
        if len(self.members) < 2:
            raise ConfigurationError(f"attacks is {attacks!r}; expected at least two, joined by '+'.")
        self.prompts = [prompt.strip() for prompt in prompts.split("+")]
        if not all(self.prompts):
            raise ConfigurationError(f"prompts is {prompts!r}; expected texts joined by '+', none of them empty.")
        self.sees_mask = any(member.instance.sees_mask for member in self.members)
        self.sees_prompt = any(member.instance.sees_prompt for member in self.members)
        super().__init__(epsilon=epsilon, norm=norm)
        self.gradient_evaluations = sum(member.instance.gradient_evaluations for member in self.members)
        self.gradient_through = max((member.instance.gradient_through for member in self.members), key=len)
        self.inputs = _inputs_of(self.members)
        self.trials = trials
        self.denoising_steps = denoising_steps

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
                [self.prompts[trial % len(self.prompts)]] * len(batch),
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
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        steps: int | None = None,
    ) -> None:
        """Choose the attack and the transformations.

        Args:
            attack: A gradient attack, with arguments in parentheses: "encoder(steps=50;target=zero)".
            purifiers: Differentiable purifiers joined by "+", with arguments likewise. The image itself is always
                among the transformed ones.
            epsilon: The budget, see `ThreatModel`.
            norm: Its norm.
            steps: Gradient steps; by default the attack's.

        Raises:
            ConfigurationError: If the attack follows no gradient, or a purifier is not differentiable.
        """
        member = _member(attack, epsilon, norm, steps)
        inner = member.instance
        if not isinstance(inner, GradientAttack):
            raise ConfigurationError(
                f"The attack {inner.name!r} follows no gradient, so no expectation can be taken of it. Choose one that "
                "minimises a loss, such as encoder."
            )
        self.sees_mask = inner.sees_mask
        self.sees_prompt = inner.sees_prompt
        super().__init__(
            epsilon=epsilon,
            norm=norm,
            step_size=inner.step_size,
            steps=inner.steps,
            random_start=inner.random_start,
            decay=inner.decay,
        )
        self.attack = inner
        chosen = [PURIFIERS.create(_as_spec(spec)) for spec in purifiers.split("+")]
        for purifier in chosen:
            _require_differentiable(purifier)
        self.purifiers = [purifier.instance for purifier in chosen]
        self._parts: tuple[Plugin[Any], ...] = (member, *chosen)
        self.gradient_evaluations = inner.steps * (1 + len(chosen))
        self.gradient_through = f"purifiers, {inner.gradient_through}"
        self.inputs = _inputs_of([member, *chosen])

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


def _member(spec: str, epsilon: float, norm: Norm, steps: int | None) -> Plugin[Attack]:
    spec = _as_spec(spec)
    defaults: dict[str, Any] = {"epsilon": epsilon}
    if norm != "linf":
        # ℓ∞ is every attack's default, and some know no other norm.
        defaults["norm"] = norm
    if steps is not None and issubclass(ATTACKS.find(spec), GradientAttack):
        defaults["steps"] = steps
    member = ATTACKS.create(spec, defaults)
    threat_model = member.instance.threat_model
    if (threat_model.epsilon, threat_model.norm) != (epsilon, norm):
        raise ConfigurationError(
            f"{spec!r} has a budget of its own. Give epsilon and norm to the attack that it is a part of."
        )
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
