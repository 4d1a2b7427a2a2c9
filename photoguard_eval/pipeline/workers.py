"""Several processes that share the work of an evaluation: one for each GPU, or some on a processor.

They share the store. Each takes its turn of the plan's batches, so that batches, and with them the results, are those
of a single process.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.errors import ModelError, PhotoguardError, UnfinishedError, message_of
from photoguard_eval.files import remove_stale_temporaries
from photoguard_eval.pipeline.execution import STOP_ALONE, Evaluation, OnFailure, Share, StoppedAttack
from photoguard_eval.pipeline.plan import EvaluationRequest, Plan, build_plan, notes_on
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Barrier

VISIBLE = "CUDA_VISIBLE_DEVICES"


class WorkerError(UnfinishedError):
    """A process could not do its share."""

    def __init__(self, message: str, exit_code: int = UnfinishedError.exit_code) -> None:
        """Take the exit code of what the process could not do.

        Args:
            message: Why.
            exit_code: What the command ends with.
        """
        super().__init__(message)
        self.exit_code = exit_code


def evaluate(
    plan: Plan, store: Store, progress: Progress, on_failure: OnFailure = STOP_ALONE
) -> tuple[EvaluationResult, int]:
    """Compute what the store lacks of a plan, in as many processes as it asks for, and put the result together.

    Attacks of others never run in this process: one of them may end the process that it runs in.

    Args:
        plan: What to run.
        store: Where artifacts are.
        progress: Where to report.
        on_failure: What is done about an attack that fails.

    Returns:
        The result, and how many cells were computed.

    Raises:
        PhotoguardError: See `Evaluation.run`; or if a process failed. Everything that was finished stays in the store.
    """
    remove_stale_temporaries(store.path)
    evaluation = Evaluation(plan, store, progress, on_failure=on_failure)
    for attack in plan.attacks:
        for note in notes_on(attack, plan.preset):
            progress.say(note)
    environments = worker_environments(plan.request, os.environ)
    if len(environments) == 1:
        # Alone it has all that this process has.
        environments = [{}] if _must_run_apart(plan, store) else []
    missing = evaluation.missing() if environments else 0
    if missing:
        if len(environments) > 1:
            plan.clip.require()
            progress.say(f"{len(environments)} processes share {missing} images; the first reports its part.")
        for index, stopped in _run_workers(plan.request, store.path, environments, progress.quiet, on_failure):
            evaluation.stop(stopped, report=index > 0)
        evaluation.computed = missing - evaluation.missing()
    return evaluation.run(), evaluation.computed


def _must_run_apart(plan: Plan, store: Store) -> bool:
    return any(
        method.attack is not None
        and method.attack.runs_foreign_code
        and any(store.image(cell.key) is None for cell in method.immunize)
        for method in plan.methods
    )


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


@dataclass
class _Worker:
    """A process, and what it has said so far.

    Attributes:
        process: The process.
        receiver: What it says comes from here.
        attack: The attack that it runs.
        stopped: The attacks that failed there.
        error: What it could not do, and the exit code that stands for it.
        gave_up: Whether it ended because another did.
        finished: Whether it did its share.
    """

    process: BaseProcess
    receiver: Connection
    attack: str = ""
    stopped: list[StoppedAttack] = field(default_factory=list)
    error: tuple[str, int] | None = None
    gave_up: bool = False
    finished: bool = False

    def hear(self) -> bool:
        """Take in what was said; return whether there may be more."""
        try:
            kind, *said = json.loads(self.receiver.recv_bytes())
        except (EOFError, OSError):
            return False
        if kind == "runs":
            self.attack = said[0]
        elif kind == "stopped":
            attack, editor, error, report = said
            self.stopped.append(StoppedAttack(FailedAttack(attack=attack, editor=editor, error=error), report))
        elif kind == "failed":
            self.error = (said[0], said[1])
        self.gave_up |= kind == "gave up"
        self.finished |= kind == "finished"
        return True


def _run_workers(
    request: EvaluationRequest,
    store: Path,
    environments: Sequence[Mapping[str, str]],
    quiet: bool,
    on_failure: OnFailure,
) -> list[tuple[int, StoppedAttack]]:
    """Run the processes, and return the attacks that failed in them, with the number of the process."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(environments))
    workers = []
    for index, environment in enumerate(environments):
        share = Share(index, len(environments))
        receiver, sender = context.Pipe(duplex=False)
        # A started process takes the environment as it is; torch reads it when it is imported.
        with _environment(environment):
            process = context.Process(
                target=_work,
                args=(replace(request, workers=1), store, share, barrier, sender, quiet or index > 0, on_failure),
                daemon=True,
            )
            process.start()
        sender.close()
        workers.append(_Worker(process, receiver))
    _await_end(workers, barrier)
    for worker in workers:
        if worker.error is not None:
            raise WorkerError(*worker.error)
    unfinished = [worker for worker in workers if not worker.finished]
    if unfinished:
        ended = [worker for worker in unfinished if not worker.gave_up] or unfinished
        codes = [worker.process.exitcode for worker in workers]
        attacks = {worker.attack for worker in ended if worker.attack}
        running = f" while the attack {' and '.join(map(repr, sorted(attacks)))} ran" if attacks else ""
        raise WorkerError(
            f"Processes ended with exit codes {codes} before their work was done{running}. What was finished is kept; "
            "the same command goes on."
        )
    return [(index, stopped) for index, worker in enumerate(workers) for stopped in worker.stopped]


def _await_end(workers: Sequence[_Worker], barrier: Barrier) -> None:
    """Listen to processes until they end; those that wait for one that ended too early are released."""
    from multiprocessing.connection import wait

    running = {worker.process.sentinel: worker for worker in workers}
    heard = {worker.receiver: worker for worker in workers}
    while running:
        for ready in wait([*running, *heard]):
            if ready in heard and not heard[ready].hear():
                del heard[ready]
            elif ready in running:
                worker = running.pop(ready)
                # A process closes its files a moment before its exit code is there.
                worker.process.join()
                while worker.receiver in heard and worker.receiver.poll() and worker.hear():
                    pass
                heard.pop(worker.receiver, None)
                if not worker.finished:
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


def _work(
    request: EvaluationRequest,
    store: Path,
    share: Share,
    barrier: Barrier,
    sender: Connection,
    quiet: bool,
    on_failure: OnFailure = STOP_ALONE,
) -> None:
    """Do a share of the work: first all images, since an edit may need one that another process immunizes."""
    from threading import BrokenBarrierError, Thread

    Thread(target=_end_with_parent, daemon=True).start()

    def say(*words: str | int) -> None:
        sender.send_bytes(json.dumps(words).encode())

    try:
        evaluation = Evaluation(build_plan(request), Store(store), Progress(quiet=quiet), share, on_failure)
        for method in evaluation.plan.methods:
            say("runs", method.attack.label if method.attack else "")
            evaluation.immunize(method)
        say("runs", "")
        for stopped in evaluation.stopped:
            failure = stopped.failure
            say("stopped", failure.attack, failure.editor, failure.error, stopped.report)
        barrier.wait()
        evaluation.edit_all()
        say("finished")
    except (BrokenBarrierError, KeyboardInterrupt):
        say("gave up")
        barrier.abort()
    except PhotoguardError as error:
        say("failed", message_of(error), error.exit_code)
        barrier.abort()
    except Exception:
        traceback.print_exc()
        barrier.abort()
        raise SystemExit(1) from None
