"""Attacks that descend a loss of the image, and how the losses of several attacks are made of a noised image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import Attack, ImageSize
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.descent import projected_gradient_descent
from photoguard_eval.attacks.fields import PositiveFloat, PositiveInt, parameters
from photoguard_eval.attacks.loss_scale import LossScale
from photoguard_eval.attacks.targets import encode_target, require_target, require_target_size, target_inputs
from photoguard_eval.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, LatentDiffusion, PromptEmbeddings
    from photoguard_eval.randomness import CaseGenerators

DEFAULT_STEP_SIZE = 2 / 255
DEFAULT_STEPS = 200
"""Table 9's descent, which every attack takes on the board whatever it was published with."""


@parameters
class GradientAttack(Attack):
    """An attack that minimises a loss by projected gradient descent.

    A subclass gives the loss; the loop, the budget and the masks are here. Its dictionary `presets` holds the
    parameters it was published with, converted to [0, 1]; the defaults are the board's.

    Attributes:
        step_size: Length of a step in the norm of the budget, as a fraction of the range from black to white.
        steps: Number of gradient steps.
        random_start: Whether to start from uniform noise in the ball.
        decay: Whether the step size decays linearly to 1 %.
    """

    gradient_through = "encoder"

    step_size: PositiveFloat = DEFAULT_STEP_SIZE
    steps: PositiveInt = DEFAULT_STEPS
    random_start: bool = False
    decay: bool = False

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`."""
        super().__post_init__()
        self.take_steps(self.steps)

    def take_steps(self, steps: int) -> None:
        """Set the number of gradient steps, for a preset that shortens attacks whose constructors have no say in it.

        Args:
            steps: At least one.
        """
        self.steps = steps
        self.gradient_evaluations = steps

    @abstractmethod
    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Prepare the loss for a batch: whatever does not change from step to step is computed once, here.

        Args:
            model: The model that will edit.
            batch: The images, where they are edited, and what else the attack may see.
            generator: One random generator per image; the loss may draw from it at every step.

        Returns:
            A function from perturbed images, (N, 3, H, W) in [0, 1], to one loss per image, (N,), to be minimised.

        Raises:
            ConfigurationError: If the attack cannot work with this model, editor or batch.
        """

    def parametrisation(self, batch: AttackBatch) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return how the images that descend become immunized ones, inside of the same ball; by default they are.

        Args:
            batch: The images.
        """
        del batch
        return lambda images: images

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        loss = self.objective(model, batch, generator)
        immunized = self.parametrisation(batch)
        descended = projected_gradient_descent(
            batch.images,
            lambda images: loss(immunized(images)),
            budget=batch.budget,
            region=batch.kept,
            steps=self.steps,
            step_size=self.step_size,
            start=batch.budget.draw(batch.images, generator) if self.random_start else None,
            decay=self.decay,
            loss_scale=LossScale(model.dtype),
        )
        return immunized(descended)


@parameters
class TargetedAttack(GradientAttack):
    """A gradient attack that drives latents to those of a target.

    Attributes:
        target: What they are driven to: a name or the path of an image; see `encode_target`.
    """

    target: str = "pattern"

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`.

        Raises:
            ConfigurationError: If there is no such target.
        """
        super().__post_init__()
        require_target(self.target)
        self.inputs = target_inputs(self.target)

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del model, editor
        require_target_size(self.target, sizes)

    def _difference_to_target(
        self, model: LatentDiffusion, batch: AttackBatch
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Encode the target once; return what gives the latents of what is read of images less the target's, (N, D)."""
        target = encode_target(self.target, model, batch.images)
        return lambda images: (model.encode(batch.visible(images, model)) - target).flatten(1)

    def _squared_distance_to_target(
        self, model: LatentDiffusion, batch: AttackBatch
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Prepare the same as squares in the UNet's scale, in which they compare with errors of its prediction."""
        difference = self._difference_to_target(model, batch)
        return lambda images: (difference(images) * model.latent_scale).square()


def require_schedule(model: LatentDiffusion, **steps: int) -> None:
    """Check that a model's noise schedule can be run in so many steps.

    Args:
        model: The model.
        steps: Numbers of steps, by the attack's name of them.

    Raises:
        ConfigurationError: If one is too large.
    """
    for name, count in steps.items():
        try:
            model.scheduler(count)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name} is {count}, which this model cannot run: {error}") from error


@dataclass(frozen=True)
class Noised:
    """Latents of images, noised as in training, and what the UNet is conditioned on.

    Attributes:
        clean: Latents of the whole images, (N, C, h, w), in the UNet's scale.
        noise: What was added, same shape.
        timesteps: Shape (N,).
        latents: The noised latents.
        conditioning: Mask and latents of the masked images for an inpainting checkpoint, (N, C + 1, h, w), or None.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    latents: torch.Tensor
    conditioning: torch.Tensor | None

    def prediction(self, model: LatentDiffusion, prompt_embeddings: PromptEmbeddings) -> torch.Tensor:
        """Return what the UNet itself returns, (N, C, h, w): noise, v or clean latents, whatever it was trained to."""
        return model.predict_noise(self.latents, self.timesteps, prompt_embeddings, conditioning=self.conditioning)

    def predicted_noise(self, model: LatentDiffusion, prompt_embeddings: PromptEmbeddings) -> torch.Tensor:
        """Return ε_θ, (N, C, h, w), whatever the checkpoint was trained to predict."""
        return model.noise_in(self.prediction(model, prompt_embeddings), self.latents, self.timesteps)


def noised(
    model: LatentDiffusion,
    batch: AttackBatch,
    images: torch.Tensor,
    generator: CaseGenerators,
    choices: torch.Tensor | None = None,
) -> Noised:
    """Encode images and noise them to timesteps drawn at random, as the training of the model did.

    An inpainting checkpoint is conditioned as the editor conditions it; what is noised is the whole image, as in its
    training.

    Args:
        model: The model.
        batch: Where and how the images are edited.
        images: Perturbed images of the batch.
        generator: Gives timesteps and noise.
        choices: Timesteps to draw from, (T,); all of the training's by default.
    """
    inputs = batch.editor.prepare(model, images, batch.masks, batch.settings)
    clean = (inputs.image or model.posterior(images)).mean
    timesteps = generator.integers(model.trained_timesteps if choices is None else len(choices), clean)
    if choices is not None:
        timesteps = choices.to(clean.device)[timesteps]
    noise = generator.normal(clean.shape[1:], clean)
    return Noised(clean, noise, timesteps, model.add_noise(clean, noise, timesteps), inputs.conditioning())


def first_prediction(
    model: LatentDiffusion,
    batch: AttackBatch,
    images: torch.Tensor,
    masks: torch.Tensor,
    prompt_embeddings: PromptEmbeddings,
    generator: CaseGenerators,
    denoising_steps: int | None = None,
) -> torch.Tensor:
    """Return the noise that the UNet predicts at the first step of an edit, (N, C, h, w).

    Args:
        model: The model.
        batch: How the images are edited.
        images: Perturbed images of the batch.
        masks: Shape (N, 1, H, W), 1 = region to edit.
        prompt_embeddings: One per image.
        generator: Gives the noise that the edit starts from.
        denoising_steps: Steps of the edit; by default as many as an edit has.
    """
    settings = batch.settings
    if denoising_steps is not None:
        settings = settings.changed(num_inference_steps=batch.editor.schedule_length(denoising_steps, settings))
    inputs = batch.editor.prepare(model, images, masks, settings)
    start = batch.editor.start(model, inputs, generator, settings)
    timesteps = start.timesteps[:1].expand(len(images))
    prediction = model.predict_noise(start.latents, timesteps, prompt_embeddings, conditioning=start.conditioning)
    return model.noise_in(prediction, start.latents, timesteps)
