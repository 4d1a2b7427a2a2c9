"""The paper's diffusion attack: drive the whole edit to a target image (Eq. 5, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from photoguard_eval.attacks.base import ImageSize, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import PositiveInt, parameters
from photoguard_eval.attacks.gradient import GradientAttack, require_schedule
from photoguard_eval.attacks.loss_scale import LossScale
from photoguard_eval.attacks.repetition import mean_over_repetitions
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import EditInputs, Editor, EditSettings, LatentDiffusion


@register_attack
@parameters
class DiffusionAttack(GradientAttack):
    """Minimise the distance between an edit of the immunized image and a gray image: ‖f(x + δ) − x_targ‖₂.

    f is a short edit: the editor's own sampler with few denoising steps and the decoder, for the empty prompt, with
    fresh noise at every step. Where guidance leads away from the empty prompt both of its branches are equal then, so
    that it has no effect and only one branch is computed; elsewhere (Stable Diffusion XL, instruction-following and
    consistency models) the edit is guided as the editor's are.

    Defaults are Table 9's: steps of 2/255, 200 of them; 4 denoising steps as in the released code. Algorithm 2 takes
    one edit per step; the released code averages the gradient over ten (`repetitions=10`).

    Attributes:
        denoising_steps: Steps of the sampler that the gradient goes through.
        repetitions: Edits, each with its own noise, that the gradient is averaged over at every step.
        eta: Noise of the sampler: 0, deterministic DDIM, to 1.
    """

    name = "diffusion"
    title = "Immunization (Diffusion attack)"
    paper = "Salman et al. 2023, Raising the Cost of Malicious AI-Powered Image Editing, Eq. 5"

    denoising_steps: PositiveInt = 4
    repetitions: PositiveInt = 1
    eta: Annotated[float, Field(ge=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        """See `Attack.__post_init__`."""
        super().__post_init__()
        self.gradient_through = f"encoder, {self.denoising_steps} × UNet, decoder"

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del editor, sizes
        require_schedule(model, denoising_steps=self.denoising_steps)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        settings = batch.settings.changed(
            num_inference_steps=batch.editor.schedule_length(self.denoising_steps, batch.settings),
            eta=self.eta,
        )
        noise = generator.spawn(self.repetitions)
        at_once = batch.repetitions_at_once(self.repetitions)
        prompt = model.embed_prompts([""])
        unconditional = model.unconditional(1) if _is_guided(model, settings) else None
        loss_scale = LossScale(model.dtype)

        def distances(inputs: EditInputs, generators: CaseGenerators) -> torch.Tensor:
            count = len(generators)
            away_from = unconditional.repeat(count) if unconditional else None
            edits = batch.editor.denoise(model, inputs, prompt.repeat(count), away_from, generators, settings)
            # In the model's [-1, 1] the gray target is zero, so that the distance is the norm of the edit.
            lengths: torch.Tensor = torch.linalg.vector_norm((edits * 2 - 1).flatten(1), dim=1)
            return lengths

        def distance_to_gray(images: torch.Tensor) -> torch.Tensor:
            inputs = batch.editor.prepare(model, images, batch.masks, settings)
            return mean_over_repetitions(distances, inputs, noise, at_once, loss_scale)

        return distance_to_gray


def _is_guided(model: LatentDiffusion, settings: EditSettings) -> bool:
    """Say whether guidance away from what the model takes for no prompt changes an edit after the empty one."""
    if model.is_consistency_model:
        return False  # Its single branch is told the scale.
    return model.kind == "instruction" or (model.text.empty_is_zero and settings.guidance_scale != 1)
