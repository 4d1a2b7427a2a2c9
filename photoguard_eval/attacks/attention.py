"""Attacks on the UNet's attention: AdvPaint, which shifts it, and DAYN, which takes it from the prompt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from photoguard_eval.attacks.base import ImageSize, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import PositiveInt, parameters
from photoguard_eval.attacks.first_step import require_image_at_the_first_step
from photoguard_eval.attacks.gradient import GradientAttack, first_prediction, noised, require_schedule
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, LatentDiffusion, PromptEmbeddings


@register_attack
@parameters
class AdvPaintAttack(GradientAttack):
    """Shift the UNet's attention at the first step of an edit away from that of the original.

    The loss is the summed ℓ2 distance of queries, keys and values of self-attention and of queries of cross-attention,
    all of which the image moves, between the perturbed and the original image under the same noise. The step is the
    first of the edit's own schedule. At the image itself the loss has no gradient, so the descent starts from noise.
    """

    name = "advpaint"
    title = "AdvPaint"
    paper = "Jeon et al. 2025, AdvPaint: Protecting Images from Inpainting Manipulation"
    gradient_through = "encoder, UNet"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"budget": "7.65/255", "step_size": 0.015, "steps": 250, "decay": True}
    }

    random_start: bool = True

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del sizes
        require_image_at_the_first_step(self.name, model, editor)
        attention_layers(model)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        itself, text = attention_layers(model)
        parts = [projection for layer in itself for projection in (layer.to_q, layer.to_k, layer.to_v)]
        parts += [layer.to_q for layer in text]
        prompt = model.embed_prompts([""] * (2 * len(batch)))
        originals = batch.images

        def closeness(images: torch.Tensor) -> torch.Tensor:
            # Original and perturbed image side by side, so that both see the same noise.
            with recorded(parts) as outputs:
                first_prediction(
                    model,
                    batch,
                    torch.cat([originals, images]),
                    batch.masks.repeat(2, 1, 1, 1),
                    prompt,
                    _PairedGenerators(generator),
                )
            losses = images.new_zeros(len(images))
            for output in outputs.values():
                original, moved = output.float().flatten(1).chunk(2)
                losses = losses - torch.linalg.vector_norm(moved - original.detach(), dim=1)
            return losses

        return closeness


@register_attack
@parameters
class DaynAttack(GradientAttack):
    """Suppress the attention that the edited region pays to the prompt: ‖M ⊙ Σ_l A_l(z_t, c)‖₁ on the prompt's tokens.

    A_l is the cross-attention of a layer, averaged over its heads, at a timestep drawn from a short schedule; M is the
    region to edit, or all of an image that is varied as a whole.

    The paper takes attention from a word that the *owner* has for what the image shows. A dataset holds a caption at
    most, not such a word, so that here it is taken from the words of the edit's own prompt: the attack is told what the
    paper's is not, which `sees_prompt` declares, and its scores are those of an owner who foresees the edit.

    Attributes:
        timesteps: Length of the schedule from which a timestep is drawn at every step.
    """

    name = "dayn"
    title = "DAYN"
    paper = "Lo et al. 2024, Distraction Is All You Need: Memory-Efficient Image Immunization"
    sees_prompt = True
    gradient_through = "encoder, UNet"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"published": {"budget": "7.65/255", "steps": 100}}

    timesteps: PositiveInt = 10

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del editor, sizes
        require_schedule(model, timesteps=self.timesteps)
        attention_layers(model)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        _, layers = attention_layers(model)
        if batch.prompts is None or not all(prompt.strip() for prompt in batch.prompts):
            raise ConfigurationError(
                f"The attack {self.name!r} takes attention from the words of the prompt. Give a prompt for each image "
                "that is not empty."
            )
        prompt = model.embed_prompts(batch.prompts)
        words = _words(model, batch.prompts, prompt)
        edited = batch.masks if batch.editor.reads_mask else 1 - batch.masks
        choices = model.scheduler(self.timesteps).timesteps

        def attention_to_the_prompt(images: torch.Tensor) -> torch.Tensor:
            sample = noised(model, batch, images, generator, choices)
            with recorded([projection for layer in layers for projection in (layer.to_q, layer.to_k)]) as outputs:
                sample.predicted_noise(model, prompt)
            losses = images.new_zeros(len(images))
            for layer in layers:
                losses = losses + _attention(layer, outputs[layer.to_q], outputs[layer.to_k], words, edited)
            return losses

        return attention_to_the_prompt


def attention_layers(model: LatentDiffusion) -> tuple[list[Any], list[Any]]:
    """Return the layers of the UNet that attend to the image itself and those that attend to the text.

    Raises:
        ConfigurationError: If the UNet lacks either, or they do not project queries, keys and values one by one.
    """
    itself: list[Any] = []
    text: list[Any] = []
    fused = False
    for name, module in model.unet.named_modules():
        if all(hasattr(module, projection) for projection in ("to_q", "to_k", "to_v", "heads")):
            (text if name.endswith("attn2") else itself).append(module)
            # Fusing adds a projection for all three and leaves those of each in place, where nothing passes any more.
            fused = fused or type(getattr(module, "processor", None)).__name__.startswith("Fused")
    if fused or not itself or not text:
        raise ConfigurationError(
            "The attention of this model cannot be read: its UNet has no layers that pass through to_q, to_k and to_v "
            "for the image and for the text. Use a UNet2DConditionModel of diffusers whose projections are not fused "
            "(unfuse_qkv_projections), or another attack."
        )
    return itself, text


@contextmanager
def recorded(modules: Sequence[Any]) -> Iterator[dict[Any, torch.Tensor]]:
    """Record what modules return while the context is open, by the module."""
    outputs: dict[Any, torch.Tensor] = {}

    def record(module: Any, _inputs: Any, output: torch.Tensor) -> None:
        outputs[module] = output

    handles = [module.register_forward_hook(record) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class _PairedGenerators(CaseGenerators):
    """Gives both halves of a batch the same numbers."""

    def __init__(self, generators: CaseGenerators) -> None:
        super().__init__(generators.generators)

    def normal(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        return super().normal(shape, like).repeat(2, *[1] * len(shape))


def _words(model: LatentDiffusion, prompts: Sequence[str], embeddings: PromptEmbeddings) -> torch.Tensor:
    """Mark the tokens of the prompts themselves, without those of beginning, end and padding, (N, tokens)."""
    import torch

    tokens = embeddings.tokens.shape[1]
    marks = torch.zeros(embeddings.tokens.shape[:2]).to(embeddings.tokens)
    for row, count in zip(marks, model.token_counts(prompts), strict=True):
        row[1 : min(count, tokens) - 1] = 1
    return marks


def _attention(
    layer: Any, queries: torch.Tensor, keys: torch.Tensor, words: torch.Tensor, edited: torch.Tensor
) -> torch.Tensor:
    """Return the attention that the edited region pays to words, as a mean over its positions, (N,).

    Args:
        layer: The layer, with its number of heads and its scale.
        queries: Shape (N, positions, heads · width).
        keys: Shape (N, tokens, heads · width).
        words: Shape (N, tokens), 1 = a word of the prompt.
        edited: Shape (N, 1, H, W), 1 = region to edit.
    """
    from torch.nn.functional import adaptive_avg_pool2d

    queries, keys = (part.reshape(*part.shape[:2], layer.heads, -1).transpose(1, 2).float() for part in (queries, keys))
    weights = (queries @ keys.transpose(-1, -2) * layer.scale).softmax(dim=-1).mean(dim=1)
    to_words = (weights * words[:, None]).sum(dim=-1)
    height, width = edited.shape[-2:]
    rows = round((queries.shape[2] * height / width) ** 0.5)
    region = adaptive_avg_pool2d(edited, (rows, queries.shape[2] // rows)).flatten(1)
    paid: torch.Tensor = (to_words * region).sum(dim=1) / region.sum(dim=1).clamp_min(1e-6)
    return paid
