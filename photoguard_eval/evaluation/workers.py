"""Several processes that share the work of an evaluation: one for each GPU, or some on a processor.

They share the store. Each takes its turn of the plan's batches, so that batches, and with them the results, are those
of a single process.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.errors import ModelError, PhotoguardError
from photoguard_eval.evaluation.execution import Evaluation, Share
from photoguard_eval.evaluation.plan import EvaluationRequest, Plan, build_plan
from photoguard_eval.evaluation.progress import Progress
from photoguard_eval.evaluation.results import EvaluationResult
from photoguard_eval.evaluation.store import Store
from photoguard_eval.files import remove_stale_temporaries

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Barrier

VISIBLE = "CUDA_VISIBLE_DEVICES"


class WorkerError(PhotoguardError):
    """One of several processes could not do its share."""


def evaluate(plan: Plan, store: Store, progress: Progress) -> tuple[EvaluationResult, int]:
    """Compute what the store lacks of a plan, in as many processes as it asks for, and put the result together.

    Args:
        plan: What to run.
        store: Where artifacts are.
        progress: Where to report.

    Returns:
        The result, and how many cells were computed.

    Raises:
        PhotoguardError: See `Evaluation.run`; or if a process failed. Everything that was finished stays in the store.
    """
    remove_stale_temporaries(store.path)
    evaluation = Evaluation(plan, store, progress)
    environments = worker_environments(plan.request, os.environ)
    missing = evaluation.missing() if len(environments) > 1 else 0
    if missing:
        plan.clip.require()
        progress.say(f"{len(environments)} processes share {missing} images; the first reports its part.")
        _run_workers(plan.request, store.path, environments)
        evaluation.computed = missing - evaluation.missing()
    # What is still missing is an attack's that failed: it is tried again here, and reported.
    return evaluation.run(), evaluation.computed


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
        return [{"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}] * count
    gpus = _visible_gpus(environment)
    count = request.workers or len(gpus)
    if count > len(gpus):
        raise ModelError(
            f"{count} workers were asked for, and torch sees {len(gpus)} GPUs. Each needs its own; ask for fewer."
        )
    return [{VISIBLE: gpu} for gpu in gpus[:count]]


def _visible_gpus(environment: Mapping[str, str]) -> list[str]:
    import torch

    named = [name for name in environment.get(VISIBLE, "").split(",") if name]
    return named or [str(number) for number in range(torch.cuda.device_count())]


def _run_workers(request: EvaluationRequest, store: Path, environments: Sequence[Mapping[str, str]]) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    barrier, errors = context.Barrier(len(environments)), context.SimpleQueue()
    processes = []
    for index, environment in enumerate(environments):
        share = Share(index, len(environments))
        # A started process takes the environment as it is; torch reads it when it is imported.
        with _environment(environment):
            process = context.Process(
                target=_work, args=(replace(request, workers=1), store, share, barrier, errors), daemon=True
            )
            process.start()
        processes.append(process)
    _await_end(processes, barrier)
    if not errors.empty():
        raise WorkerError(errors.get())
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise WorkerError(
            f"Processes ended with exit codes {codes}. What was finished is kept; the same command goes on."
        )


def _await_end(processes: Sequence[BaseProcess], barrier: Barrier) -> None:
    """Wait for processes to end; one that was killed leaves the others waiting at a barrier, which is opened then."""
    from multiprocessing.connection import wait

    running = list(processes)
    while running:
        ended = wait([process.sentinel for process in running])
        for process in [process for process in running if process.sentinel in ended]:
            # A process closes its files a moment before its exit code is there.
            process.join()
            running.remove(process)
            if process.exitcode:
                barrier.abort()


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """End this process when the one that started it has gone, however it went; a store's files are whole or absent."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(request: EvaluationRequest, store: Path, share: Share, barrier: Barrier, errors: Any) -> None:
    """Do a share of the work: first all images, since an edit may need one that another process immunizes."""
    from threading import BrokenBarrierError, Thread

    Thread(target=_end_with_parent, daemon=True).start()
    try:
        evaluation = Evaluation(build_plan(request), Store(store), Progress(quiet=share.index > 0), share)
        evaluation.immunize_all()
        barrier.wait()
        evaluation.edit_all()
    except (BrokenBarrierError, KeyboardInterrupt):
        barrier.abort()
    except PhotoguardError as error:
        errors.put(str(error))
        barrier.abort()
    except Exception:
        traceback.print_exc()
        barrier.abort()
        raise SystemExit(1) from None
