"""How many images run at once on a GPU: as many as its free memory holds, by what one of them is counted to need."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from photoguard_eval.attacks import Attack, EnsembleAttack, GradientAttack
from photoguard_eval.diffusion import load_architecture
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.results.rows import RowId

HEADROOM = 0.15
"""Share of the free memory that is left alone: kernels have workspaces, and memory is fragmented."""


@dataclass(frozen=True)
class BatchSizes:
    """How many images of a row run at once.

    Attributes:
        immunize: While they are immunized.
        edit: While they are edited.
    """

    immunize: int
    edit: int


def counted_parts(attack: Attack | None) -> list[Attack]:
    """Return the attacks that one runs one after the other, as far as they follow a gradient.

    Args:
        attack: The attack; None for no attack, which has no parts.
    """
    if attack is None:
        return []
    parts = [member.instance for member in attack.members] if isinstance(attack, EnsembleAttack) else [attack]
    return [part for part in parts if isinstance(part, GradientAttack)]


def batch_sizes(plan: Plan, free: int) -> dict[RowId, BatchSizes]:
    """Choose how many images of each row run at once.

    Args:
        plan: What runs; its request names the most that may.
        free: Bytes that are free once the model is loaded.

    Returns:
        By row.

    Raises:
        ModelError: If one image is too much.
    """
    from photoguard_eval.pipeline.accounting import GIBIBYTE, UncountableError, count_attack, count_edit

    request = plan.request
    model = load_architecture(request.model, dtype=request.dtype, revision=request.revision)
    checkpointing = request.device != "cpu" if request.checkpointing is None else request.checkpointing
    model.checkpoint_gradients(checkpointing)
    if request.vae_tiling:
        model.vae.enable_tiling()
    side = max(max(case.size()) for case in plan.cases)

    def fitting(what: str, needed: float) -> int:
        usable = free / GIBIBYTE * (1 - HEADROOM)
        if needed > usable:
            raise ModelError(
                f"{what} needs about {needed:.1f} GiB for one image of {side} × {side} besides the weights, and "
                f"{usable:.1f} GiB are free. Use --dtype float16, a smaller attack, or a GPU with more memory; "
                "`photoguard-eval cost` counts what others need."
            )
        return min(request.batch_size, int(usable / needed)) if needed else request.batch_size

    edits = {}
    for name, planned in plan.editors.items():
        peak = count_edit(model, planned.plugin.instance, planned.settings, side).peak_gib
        edits[name] = fitting(f"An edit by {name}", peak)

    def immunize(row: Row) -> int:
        planned = plan.editors[row.editor]
        peaks = [0.0]
        for part in counted_parts(row.attack.instance if row.attack else None):
            # What cannot be counted goes on in smaller batches if it runs out of memory.
            with contextlib.suppress(UncountableError):
                peaks.append(count_attack(part, model, planned.plugin.instance, planned.settings, side).peak_gib)
        return fitting(f"The attack {row.label} against {row.editor}", max(peaks))

    return {row.id: BatchSizes(immunize(row), edits[row.editor]) for row in plan.rows}
