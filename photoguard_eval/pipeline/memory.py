"""How many images run at once on a GPU: as many as its free memory holds, by what one of them is counted to need."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.attacks import Attack, EnsembleAttack, GradientAttack
from photoguard_eval.diffusion import load_architecture
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.results.rows import RowId

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion

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


@dataclass(frozen=True)
class Peaks:
    """The most that is allocated at a time for one image of a row besides the weights, in GiB.

    Attributes:
        immunize: While it is immunized; 0 for an attack without a gradient, and for what cannot be counted.
        edit: While it is edited.
    """

    immunize: float
    edit: float


def count_peaks(plan: Plan) -> dict[RowId, Peaks]:
    """Count what one image of each row needs, on the model's architecture: no weights are loaded.

    Args:
        plan: What runs.

    Returns:
        By row.
    """
    from photoguard_eval.pipeline.accounting import UncountableError, count_attack, count_edit

    model = laid_out(plan)
    side = _largest_side(plan)
    edits = {
        name: count_edit(model, planned.plugin.instance, planned.settings, side).peak_gib
        for name, planned in plan.editors.items()
    }

    def immunize(row: Row) -> float:
        planned = plan.editors[row.editor]
        peaks = [0.0]
        for part in counted_parts(row.attack.instance if row.attack else None):
            # What cannot be counted goes on in smaller batches if it runs out of memory.
            with contextlib.suppress(UncountableError):
                peaks.append(count_attack(part, model, planned.plugin.instance, planned.settings, side).peak_gib)
        return max(peaks)

    # A budget changes nothing of it.
    attacks = {(row.label, row.editor): row for row in plan.rows}
    counted = {key: immunize(row) for key, row in attacks.items()}
    return {row.id: Peaks(counted[row.label, row.editor], edits[row.editor]) for row in plan.rows}


def laid_out(plan: Plan) -> LatentDiffusion:
    """Lay out the model of a plan without weights, as it computes there.

    Args:
        plan: Names it.
    """
    request = plan.request
    model = load_architecture(request.model, dtype=request.dtype, revision=request.revision)
    model.checkpoint_gradients(request.device != "cpu" if request.checkpointing is None else request.checkpointing)
    if request.vae_tiling:
        model.vae.enable_tiling()
    return model


def batch_sizes(plan: Plan, free: int, peaks: Mapping[RowId, Peaks] | None = None) -> dict[RowId, BatchSizes]:
    """Choose how many images of each row run at once.

    Args:
        plan: What runs; its request names the most that may.
        free: Bytes that are free once the model is loaded.
        peaks: From `count_peaks`, if it was counted before.

    Returns:
        By row.

    Raises:
        ModelError: If one image is too much.
    """
    from photoguard_eval.pipeline.accounting import GIBIBYTE

    side, most = _largest_side(plan), plan.request.batch_size
    counted = count_peaks(plan) if peaks is None else peaks

    def fitting(what: str, needed: float) -> int:
        usable = free / GIBIBYTE * (1 - HEADROOM)
        if needed > usable:
            raise ModelError(
                f"{what} needs about {needed:.1f} GiB for one image of {side} × {side} besides the weights, and "
                f"{usable:.1f} GiB are free. Use --dtype float16, a smaller attack, or a GPU with more memory; "
                "`photoguard-eval cost` counts what others need."
            )
        return min(most, int(usable / needed)) if needed else most

    sizes = {}
    for row in plan.rows:
        edit = fitting(f"An edit by {row.editor}", counted[row.id].edit)
        immunize = fitting(f"The attack {row.label} against {row.editor}", counted[row.id].immunize)
        sizes[row.id] = BatchSizes(immunize, edit)
    return sizes


def _largest_side(plan: Plan) -> int:
    return max(max(case.size()) for case in plan.cases)
