"""Work on a cluster of Ray: one actor for each worker, which loads the model once."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.errors import ConfigurationError, UnfinishedError
from photoguard_eval.pipeline.executors.base import ATTEMPTS, EXECUTORS, Executor, prepared
from photoguard_eval.pipeline.executors.places import threads_of
from photoguard_eval.pipeline.luggage import packed, unpacked
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.work import Failed, Outcome, Work
from photoguard_eval.pipeline.worker import Prepared, Worker, unexpected

LOCAL = "local"
"""The address that starts a cluster of this machine alone."""

CONNECT_SECONDS = 10.0


@dataclass
class _Running:
    number: int
    work: Work
    actor: int
    begun: int


class _Actor:
    """Does work where Ray places it."""

    def __init__(self, session: Session) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="photoguard-eval-")
        self._worker = Worker(unpacked(session, Path(self._folder.name)))

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared | Failed:
        try:
            return self._worker.prepare(rows, sizes)
        except Exception as error:
            return unexpected(error)

    def perform(self, work: Work) -> Outcome:
        try:
            return self._worker.perform(work)
        except Exception as error:
            return unexpected(error)


def _require_reachable(address: str) -> None:
    """Check that something listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"There is no Ray cluster at {address!r} ({error}). Start one with `ray start --head`, or give --address local."
    )


@EXECUTORS.register
class RayExecutor(Executor):
    """Actors of a Ray cluster; one that ends is started anew, wherever there is room."""

    name = "ray"

    def __init__(self, session: Session, request: EvaluationRequest) -> None:
        """See `Executor`."""
        try:
            import ray
        except ImportError as error:
            raise ConfigurationError(
                f"The executor 'ray' needs Ray, which is not installed ({error}). Install it: pip install "
                "'photoguard-eval[ray]'."
            ) from error
        count = request.workers or 1
        threads = threads_of(request, count) if request.device == "cpu" else request.threads
        super().__init__(packed(replace(session, threads=threads)), request)
        self.slots = count
        self._ray = ray
        self._connect(count * (threads or 1))
        resources = {"num_gpus": 1, "num_cpus": 1} if request.device == "cuda" else {"num_cpus": threads}
        self._make = ray.remote(**resources)(_Actor)
        self._actors: list[Any] = [None] * count
        self._running: dict[Any, _Running] = {}

    def _connect(self, processors: int) -> None:
        address = self.request.address or LOCAL
        options: dict[str, Any] = {"log_to_driver": True, "logging_level": "warning"}
        if address == LOCAL:
            options |= {"address": LOCAL, "num_cpus": processors, "include_dashboard": False}
        else:
            options |= {"address": address}
            _require_reachable(address)
        # A busy machine starts the parts of a cluster slowly.
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
        try:
            self._ray.init(**options)
        except Exception as error:  # Ray raises plain exceptions, too, where a cluster does not start.
            raise _no_cluster(address, error) from error

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """See `Executor.prepare`."""
        try:
            answer = self._ray.get(self._actor(0).prepare.remote(list(rows), list(sizes)))
        except self._ray.exceptions.RayError as error:
            raise UnfinishedError(f"The model could not be loaded on the cluster: {error}") from error
        return prepared(answer)

    def submit(self, number: int, work: Work) -> None:
        """See `Executor.submit`."""
        busy = {running.actor for running in self._running.values()}
        self._begin(_Running(number, work, next(index for index in range(self.slots) if index not in busy), 0))

    def _begin(self, running: _Running) -> None:
        running.begun += 1
        self._running[self._actor(running.actor).perform.remote(running.work)] = running

    def next(self) -> tuple[int, Outcome]:
        """See `Executor.next`."""
        while True:
            (reference,), _ = self._ray.wait(list(self._running), num_returns=1)
            running = self._running.pop(reference)
            try:
                return running.number, self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._actors[running.actor] = None
                if running.begun >= ATTEMPTS:
                    message = (
                        f"Actors of Ray ended {ATTEMPTS} times under the same work ({type(error).__name__}). What was "
                        "finished is kept; the same command resumes."
                    )
                    return running.number, Failed("run", message, traceback=str(error), error=UnfinishedError.__name__)
                self._begin(running)

    def _actor(self, index: int) -> Any:
        if self._actors[index] is None:
            self._actors[index] = self._make.remote(self.session)
        return self._actors[index]

    def close(self) -> None:
        """See `Executor.close`."""
        with contextlib.suppress(Exception):
            for actor in filter(None, self._actors):
                self._ray.kill(actor)
        self._ray.shutdown()
