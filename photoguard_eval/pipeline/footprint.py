"""What memory whoever computes takes, known before one is started: a cluster is asked for a place that has it.

Weights are never loaded for it. For an embedded model, whose run is short, nothing is laid out either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from photoguard_eval.attacks import Attack, DiffusionAttack, EnsembleAttack, GradientAttack, RobustAttack
from photoguard_eval.diffusion.meter import MEBIBYTE
from photoguard_eval.pipeline.executors.resources import GIBIBYTE, Footprint
from photoguard_eval.pipeline.isolation import DescribedAttack
from photoguard_eval.pipeline.memory import HEADROOM, Peaks, laid_out
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.processor_memory import SMALL_SIDE
from photoguard_eval.plugins.source_code import is_of_this_package
from photoguard_eval.results.rows import RowId

PROCESS = 1024 * MEBIBYTE
"""What a process takes with the libraries that it loads, without weights: 840 MiB were measured, with Ray's 1,000."""

GPU_PROCESS = 600 * MEBIBYTE
"""What a process takes of a GPU for itself, without weights: CUDA's context, and the workspaces of its libraries."""

EMBEDDED_WEIGHTS = 64 * MEBIBYTE
"""What the weights of an embedded model take at most."""

EMBEDDED_SIDE = 64

EDIT, GRADIENT, DENOISING_STEP = (MEBIBYTE * count for count in (6, 48, 20))
"""What an image of `EMBEDDED_SIDE` takes at most on an embedded model, in float32 with all activations kept: an edit,
a gradient of an attack of this package, each denoising step of the diffusion attack. A test counts them."""


def footprint(plan: Plan, peaks: Callable[[], Mapping[RowId, Peaks]]) -> Footprint:
    """Return what memory whoever works for a plan takes.

    What cannot be counted, such as an attack of others, is taken to need no more than the rest of the plan; with an
    embedded model, than the package's diffusion attack.

    Args:
        plan: What runs.
        peaks: Counts what one image takes; asked only for models or images that are not small.
    """
    request = plan.request
    on_gpu = request.device != "cpu"
    if plan.embedded_model and max(max(size) for size in plan.sizes) <= SMALL_SIDE:
        weights, image = float(EMBEDDED_WEIGHTS), _embedded_image(plan)
    else:
        from photoguard_eval.pipeline.accounting import weights_size

        weights = weights_size(laid_out(plan)) * GIBIBYTE
        image = max(max(each.immunize, each.edit) for each in peaks().values()) * GIBIBYTE
    process = weights + (GPU_PROCESS if on_gpu else PROCESS)
    return Footprint(
        process=process,
        others=_of_others(plan, process),
        # `batch_sizes` leaves as much alone; on a processor, kernels have buffers of about this size.
        image=image / (1 - HEADROOM),
        most=request.batch_size,
        # The images of an embedded model are not rationed on a processor, see `Evaluation`.
        fewest=request.batch_size if plan.embedded_model and not on_gpu else 1,
    )


def _of_others(plan: Plan, process: float) -> float:
    """Return what the process of an attack of others takes: as much as another worker, unless it is limited."""
    if all(source.described is None for source in plan.session.attacks.values()):
        return 0.0
    limit = plan.session.limits.memory_mib
    # The limit is of the machine's memory, and not of a GPU's.
    return process if limit is None or plan.request.device != "cpu" else limit * MEBIBYTE


def _embedded_image(plan: Plan) -> float:
    attacks = [row.attack.instance for row in plan.attack_rows if row.attack]
    area = max(height * width for height, width in plan.sizes) / EMBEDDED_SIDE**2
    return max([EDIT, *map(_on_embedded_model, attacks)]) * area * (1 if plan.request.dtype == "float32" else 0.5)


def _on_embedded_model(attack: Attack) -> int:
    """Return the bytes that an image of `EMBEDDED_SIDE` takes at most."""
    if isinstance(attack, EnsembleAttack):
        return max(_on_embedded_model(member.instance) for member in attack.members)
    if isinstance(attack, RobustAttack):
        return _on_embedded_model(attack.attack) * (1 + len(attack.purifiers))
    if isinstance(attack, DescribedAttack) or not is_of_this_package(type(attack)):
        return EDIT + DiffusionAttack.denoising_steps * DENOISING_STEP
    if isinstance(attack, DiffusionAttack):
        return max(GRADIENT, EDIT + attack.denoising_steps * DENOISING_STEP)
    return GRADIENT if isinstance(attack, GradientAttack) else EDIT
