"""Work in several processes of this machine, one for each GPU or some on a processor, handed out as they get free."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.errors import UnfinishedError
from photoguard_eval.pipeline.child import Child, ChildEnded
from photoguard_eval.pipeline.executors.base import ATTEMPTS, EXECUTORS, Executor, prepared
from photoguard_eval.pipeline.executors.places import threads_of, worker_environments
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.work import Failed, ImmunizeWork, Outcome, Work
from photoguard_eval.pipeline.worker import Prepared

MODULE = "photoguard_eval.pipeline.executors.lane"


@dataclass
class _Task:
    number: int
    work: Work
    begun: int = 0


class _Lane:
    """One process, started when it is first needed and anew after it ended."""

    def __init__(self, session: Session, environment: Mapping[str, str]) -> None:
        self._session = session
        self._environment = environment
        self._child: Child | None = None
        self.task: _Task | None = None
        self.last_attack = ""

    @property
    def child(self) -> Child:
        if self._child is None:
            self._child = Child(MODULE, self._environment)
            # Not answered: other processes go on while this one starts.
            self._child.send(pickle.dumps(("open", (self._session,))))
        return self._child

    def begin(self, task: _Task) -> None:
        self.task = task
        task.begun += 1
        if isinstance(task.work, ImmunizeWork):
            self.last_attack = task.work.attack
        # A process that is gone is noticed when its answer is waited for.
        with contextlib.suppress(ChildEnded):
            self.child.send(pickle.dumps(("perform", (task.work,))))

    def answer(self) -> Any:
        assert self._child is not None
        try:
            return pickle.loads(self._child.receive())
        except ChildEnded:
            self._child = None
            raise

    def ask(self, verb: str, *payload: object) -> Any:
        self.child.send(pickle.dumps((verb, payload)))
        return self.answer()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


@EXECUTORS.register
class ProcessesExecutor(Executor):
    """Processes of this machine that take work from one queue; one that ends is started anew."""

    name = "processes"

    def __init__(self, session: Session, request: EvaluationRequest) -> None:
        """See `Executor`."""
        environments = worker_environments(request, os.environ)
        threads = threads_of(request, len(environments)) if request.device == "cpu" else request.threads
        super().__init__(replace(session, threads=threads), request)
        self.slots = len(environments)
        self._lanes = [_Lane(self.session, environment) for environment in environments]

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """See `Executor.prepare`."""
        try:
            answer = self._lanes[0].ask("prepare", list(rows), list(sizes))
        except ChildEnded as ended:
            raise UnfinishedError(f"The model could not be loaded in another process: {ended.reason}.") from None
        return prepared(answer)

    def submit(self, number: int, work: Work) -> None:
        """See `Executor.submit`."""
        idle = [lane for lane in self._lanes if lane.task is None]
        attack = work.attack if isinstance(work, ImmunizeWork) else ""
        # A process that has an attack of others open already need not load it again.
        lane = next((lane for lane in idle if attack and lane.last_attack == attack), idle[0])
        lane.begin(_Task(number, work))

    def next(self) -> tuple[int, Outcome]:
        """See `Executor.next`."""
        while True:
            lanes = {lane.child.connection: lane for lane in self._lanes if lane.task is not None}
            lane = lanes[wait(list(lanes))[0]]  # type: ignore[index]
            task = lane.task
            assert task is not None
            try:
                outcome = lane.answer()
            except ChildEnded as ended:
                if task.begun < ATTEMPTS:
                    lane.begin(task)
                    continue
                outcome = Failed(
                    "run",
                    f"Processes ended {ATTEMPTS} times under the same work: {ended.reason}. What was finished is kept; "
                    "the same command resumes.",
                    error=UnfinishedError.__name__,
                )
            lane.task = None
            return task.number, outcome

    def close(self) -> None:
        """See `Executor.close`."""
        for lane in self._lanes:
            lane.close()
