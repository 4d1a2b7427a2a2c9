"""Which GPU, or how many threads, each of several processes on this machine has."""

from __future__ import annotations

import os
from collections.abc import Mapping

from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline.request import EvaluationRequest

VISIBLE = "CUDA_VISIBLE_DEVICES"


def worker_environments(request: EvaluationRequest, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what each process's environment differs by: the GPU that it sees, or how many threads it runs.

    Args:
        request: Names the device, and how many processes are asked for.
        environment: In which `CUDA_VISIBLE_DEVICES` may choose among the GPUs.

    Raises:
        ModelError: If there are fewer GPUs than processes.
    """
    if request.device == "cpu":
        count = request.workers or 1
        return [{"OMP_NUM_THREADS": str(threads_of(request, count))}] * count
    gpus = _visible_gpus(environment)
    count = request.workers or len(gpus)
    if count > len(gpus):
        raise ModelError(
            f"{count} workers were asked for, and torch sees {len(gpus)} GPUs. Each needs its own; ask for fewer."
        )
    return [{VISIBLE: gpu} for gpu in gpus[:count]]


def threads_of(request: EvaluationRequest, count: int) -> int:
    """Return how many threads each of several processes on a processor runs.

    Args:
        request: May name the number.
        count: Of processes.
    """
    return request.threads or max(1, (os.cpu_count() or 1) // count)


def _visible_gpus(environment: Mapping[str, str]) -> list[str]:
    import torch

    named = [name for name in environment.get(VISIBLE, "").split(",") if name]
    return named or [str(number) for number in range(torch.cuda.device_count())]
