"""Whether the memory of this machine holds what is to be done to an image: counted before the work, not found out.

A processor takes a photograph of any size, and so much memory for it that the system ends the process without a word.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval import resources
from photoguard_eval.attacks import Attack
from photoguard_eval.diffusion import load_architecture
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline.device_memory import free_memory
from photoguard_eval.pipeline.memory import HEADROOM, counted_parts
from photoguard_eval.pipeline.steps.keys import Editing

SMALL_SIDE = 256
"""Up to which nothing is counted for an embedded model: images of this side take it about a gibibyte."""

TAKEN_OVER_COUNTED = 1.2
"""What a processor takes for what is counted, as its kernels have buffers: 1.06 to 1.18 was measured for attacks on
images of 256 to 1024 pixels a side."""

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Workload:
    """What is done to images, one at a time.

    Attributes:
        editing: How they are edited, or immunized against being edited.
        attack: The attack; None if they are edited.
        checkpointing: See `load_model`.
        at_once: How many edits run at once where the attack repeats them.
    """

    editing: Editing
    attack: Attack | None = None
    checkpointing: bool | None = None
    at_once: int = 1


def require_memory(workload: Workload, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Check that memory suffices for the largest of some images, before a model is loaded.

    Args:
        workload: What is done to them.
        sizes: Height and width of each image, by its name.

    Raises:
        ModelError: If it does not; the message says how much one takes and how much there is.
    """
    model, device = workload.editing.model, workload.editing.placement.device
    name, (height, width) = max(sizes.items(), key=lambda item: item[1][0] * item[1][1])
    if model.name in resources.embedded_checkpoints() and height * width <= SMALL_SIDE**2:
        return
    free = available_memory() if device == "cpu" else free_memory(device)
    if free is None:
        return
    needed, usable = needed_memory(workload, (height, width)), free * (1 - HEADROOM)
    if needed > usable:
        what = f"The attack {workload.attack.name}" if workload.attack else "An edit"
        raise ModelError(
            f"{what} with {model.name} takes about {_gib(needed)} of memory for {name} of {width} × {height}, and "
            f"{_gib(usable)} can be used. Resize the image first: the model was trained on images of "
            f"{model.native_size} × {model.native_size}."
        )


def needed_memory(workload: Workload, size: tuple[int, int]) -> float:
    """Count the bytes that the model and the work on one image take, as `photoguard-eval cost` counts them.

    An attack without a gradient counts as none, and so does what cannot be counted.

    Args:
        workload: What is done to the image.
        size: Its height and width; a square of the same area is counted.
    """
    from photoguard_eval.pipeline.accounting import (
        GIBIBYTE,
        UncountableError,
        count_attack,
        count_edit,
        weights_size,
    )

    parts = counted_parts(workload.attack)
    if workload.attack is not None and not parts:
        return 0.0
    editing, placement = workload.editing, workload.editing.placement
    model = load_architecture(str(editing.model.path), dtype=placement.dtype)
    kept = placement.device == "cpu" if workload.checkpointing is None else not workload.checkpointing
    model.checkpoint_gradients(not kept)
    if placement.vae_tiling:
        model.vae.enable_tiling()
    multiple = model.size_multiple
    side = max(multiple, round(math.sqrt(size[0] * size[1]) / multiple) * multiple)
    editor, settings = editing.editor.instance, editing.settings
    peaks = [0.0]
    if workload.attack is None:
        peaks.append(count_edit(model, editor, settings, side).peak_gib)
    for part in parts:
        with contextlib.suppress(UncountableError):
            cost = count_attack(part, model, editor, settings, side, at_once=workload.at_once)
            peaks.append(cost.peak_gib)
    taken = max(peaks) * (TAKEN_OVER_COUNTED if placement.device == "cpu" else 1)
    return (taken + weights_size(model)) * GIBIBYTE


def available_memory() -> int | None:
    """Return the bytes that this process may still take: of the machine, and of the control groups that it runs in.

    None where the system does not say.
    """
    limits = [limit for limit in (_of_the_machine(), *_of_control_groups()) if limit is not None]
    return min(limits, default=None)


def _of_the_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Elsewhere than on Linux: all that is built in, which is better than nothing.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_control_groups() -> list[int]:
    """Return what containers and services leave: limit less use, of this process's groups and those around them."""
    try:
        entries = [line.split(":", 2) for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, place in entries:
        if controllers == "":
            root, limit, used = CONTROL_GROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = CONTROL_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / place.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                # "max" is no number: no limit. What files take of the use is given back under pressure.
                with contextlib.suppress(OSError, ValueError):
                    taken = int((folder / used).read_text()) - _reclaimable(folder)
                    left.append(max(0, int((folder / limit).read_text()) - taken))
    return left


def _reclaimable(group: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                return int(line.split()[1])
    return 0


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
