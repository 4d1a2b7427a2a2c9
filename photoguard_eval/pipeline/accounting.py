"""What an attack and an edit would cost on a model, counted without running them.

Operations are laid out on a model without weights (`load_architecture`) and counted as PyTorch hands them to its
kernels: floating-point operations by its own formulas for convolutions, matrix products and attention, two for each
multiplication with an addition; memory as the storages that are alive at a time.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from photoguard_eval.attacks import Attack, AttackBatch, GradientAttack
from photoguard_eval.diffusion import Editor, EditSettings, LatentDiffusion
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.randomness import CaseGenerators


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    shapes = (tensor.shape for tensor in (gradient, query, key, value))
    return int(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


FORMULAS: Mapping[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    **flop_registry,
}
"""What counts an operation, by the operation: PyTorch's own, and attention on the processor."""

EXAMPLE_PROMPT = "a dog on a beach"

TERA = 1e12
GIBIBYTE = 2**30


@dataclass(frozen=True)
class AttackCost:
    """What an attack costs for one image.

    Attributes:
        steps: Gradient steps.
        tflop_per_step: Floating-point operations of a step, forward and backward, in 10¹².
        saved_gib: Activations that are kept for the gradient, in GiB.
        peak_gib: The most that is allocated at a time in a step besides the weights, in GiB.
        weights_gib: The model's weights, in GiB.
    """

    steps: int
    tflop_per_step: float
    saved_gib: float
    peak_gib: float
    weights_gib: float

    @property
    def tflop(self) -> float:
        """Floating-point operations of all steps, in 10¹²."""
        return self.steps * self.tflop_per_step


@dataclass(frozen=True)
class EditCost:
    """What an edit costs.

    Attributes:
        tflop: Floating-point operations, in 10¹².
        peak_gib: The most that is allocated at a time besides the weights, in GiB.
    """

    tflop: float
    peak_gib: float


class UncountableError(ConfigurationError):
    """An attack's cost cannot be counted without running it."""


class Account(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations and memory while it is entered.

    Attributes:
        flop_by_operation: Floating-point operations so far, by the name of PyTorch's operation.
        allocated: Bytes of the storages that were made while it was entered and are alive.
        peak: The most that were.
    """

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        """Start at zero.

        Args:
            known: Tensors whose storages are not counted, such as weights: operations return views of them.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop_by_operation: Counter[str] = Counter()
        self.allocated = 0
        self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[int, int] = {}

    @property
    def flop(self) -> int:
        """Floating-point operations so far."""
        return sum(self.flop_by_operation.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run an operation and count it."""
        del types
        output = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func._overloadpacket)
        if formula:
            self.flop_by_operation[str(func._overloadpacket)] += formula(*args, **(kwargs or {}), out_val=output)
        for leaf in tree_leaves(output):
            self._count(leaf)
        return output

    def _count(self, leaf: Any) -> None:
        if not isinstance(leaf, torch.Tensor):
            return
        storage = leaf.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._alive:
            return
        self._alive[key] = storage.nbytes()
        self.allocated += self._alive[key]
        self.peak = max(self.peak, self.allocated)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.allocated -= self._alive.pop(key)


def count_attack(
    attack: Attack,
    model: LatentDiffusion,
    editor: Editor,
    settings: EditSettings,
    size: int | None = None,
    *,
    at_once: int = 1,
) -> AttackCost:
    """Count a step of an attack on one image.

    Args:
        attack: An attack that follows a gradient.
        model: From `load_architecture`.
        editor: What it immunizes against.
        settings: Of the edits.
        size: Side of the image in pixels; None for the model's own.
        at_once: How many edits run at once where the attack repeats them.

    Raises:
        UncountableError: If the attack takes no gradient steps of its own, or decides by values.
        ConfigurationError: If it cannot work with the model, the editor or images of this size.
    """
    if not isinstance(attack, GradientAttack):
        raise UncountableError(
            f"The attack {attack.name!r} takes no gradient steps of its own, so there is nothing to count. Name an "
            "attack that does; for a combination, its parts."
        )
    side = size or model.native_size
    attack.require_support(model, editor, {(side, side)})
    batch = replace(example_batch(model, editor, settings, side), at_once=at_once)
    loss = attack.objective(model, batch, CaseGenerators.from_seeds([0]))
    immunized = attack.parametrisation(batch)
    image = batch.images.clone().requires_grad_(True)
    try:
        with Account([*weights(model), image]) as account:
            losses = loss(immunized(image))
            saved = account.allocated
            torch.autograd.grad(losses.sum(), image)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise UncountableError(
            f"The attack {attack.name!r} decides by values of the model's output ({error}), which are not there when "
            "it is counted. Measure it instead."
        ) from error
    return AttackCost(
        steps=attack.steps,
        tflop_per_step=account.flop / TERA,
        saved_gib=saved / GIBIBYTE,
        peak_gib=account.peak / GIBIBYTE,
        weights_gib=weights_size(model),
    )


def count_edit(model: LatentDiffusion, editor: Editor, settings: EditSettings, size: int | None = None) -> EditCost:
    """Count an edit of one image: two short ones, of which the second shows what a denoising step costs.

    Args:
        model: From `load_architecture`.
        editor: How it is edited.
        settings: Of the edit.
        size: Side of the image in pixels; None for the model's own.
    """
    side = size or model.native_size
    batch = example_batch(model, editor, settings, side)

    def count(executed: int) -> Account:
        shortened = settings.changed(num_inference_steps=editor.schedule_length(executed, settings))
        account = Account(weights(model))
        with account:
            editor.edit(model, batch.images, batch.masks, [EXAMPLE_PROMPT], [0], shortened)
        return account

    one, two = count(1), count(2)
    further = (editor.executed_steps(settings) - 1) * (two.flop - one.flop)
    return EditCost((one.flop + further) / TERA, two.peak / GIBIBYTE)


def example_batch(model: LatentDiffusion, editor: Editor, settings: EditSettings, side: int) -> AttackBatch:
    """Make a batch of one image, whose middle is kept where the editor keeps anything.

    It is prepared for editing once, so that what a model computes once for all images is not counted with the next.

    Raises:
        ConfigurationError: If the editor does not run on such a model.
    """
    editor.require_kind(model.kind)
    images = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros_like(images[:, :1])
    if editor.reads_mask:
        masks += 1
        masks[..., side // 4 : -side // 4, side // 4 : -side // 4] = 0
    with torch.no_grad():
        editor.prepare(model, images, masks, settings)
    return AttackBatch(
        images=images, masks=masks, prompts=(EXAMPLE_PROMPT,), ids=("example",), editor=editor, settings=settings
    )


def weights(model: LatentDiffusion) -> list[torch.Tensor]:
    """Return all parameters and buffers of a model."""
    parts = (model.vae, model.unet, *model.text.encoders)
    return [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]


def weights_size(model: LatentDiffusion) -> float:
    """Return the size of a model's weights in GiB."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights(model)) / GIBIBYTE
