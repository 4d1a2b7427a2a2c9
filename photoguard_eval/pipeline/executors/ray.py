"""Work on a cluster of Ray: one actor for each worker, which loads the model once."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.errors import ConfigurationError, UnfinishedError
from photoguard_eval.pipeline.device_memory import free_memory
from photoguard_eval.pipeline.executors.base import ATTEMPTS, EXECUTORS, Executor, prepared
from photoguard_eval.pipeline.executors.places import threads_of
from photoguard_eval.pipeline.executors.resources import (
    SHARES,
    ActorResources,
    Footprint,
    Node,
    memory_for_images,
    resources_of_actor,
    share_gpus,
)
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
        self._ray: Any = ray
        self._connect(count * (threads or 1))
        self._resources = ActorResources(threads or 1, gpus=1.0 if self._on_gpu else 0.0)
        self._footprint: Footprint | None = None
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

    @property
    def _on_gpu(self) -> bool:
        return self.request.device == "cuda"

    def reserve(self, footprint: Callable[[], Footprint]) -> None:
        """See `Executor.reserve`."""
        self._footprint = footprint()
        self._resources = resources_of_actor(
            self._footprint, self.slots, self._nodes(), threads=self._resources.processors, on_gpu=self._on_gpu
        )

    def _nodes(self) -> list[Node]:
        """Return what each machine of the cluster offers, whoever uses it now."""
        nodes = {}
        for node in self._ray.nodes():
            if node["Alive"]:
                offered = node["Resources"]
                nodes[node["NodeID"]] = Node(offered.get("CPU", 0), offered.get("memory", 0), offered.get("GPU", 0))
        if not self._on_gpu or not share_gpus(self.slots, list(nodes.values())):
            return list(nodes.values())
        return [
            replace(node, gpu_memory=self._gpu_memory(name)) if node.gpus >= 1 else node for name, node in nodes.items()
        ]

    def _gpu_memory(self, node: str) -> int:
        """Ask a machine how much is free on one of its GPUs; the one that asks need not have any."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        ask = self._ray.remote(num_cpus=0, num_gpus=1 / SHARES, max_calls=1, scheduling_strategy=there)(free_memory)
        try:
            return int(self._ray.get(ask.remote("cuda")))
        except self._ray.exceptions.RayError as error:
            raise ConfigurationError(f"A GPU of the cluster does not say how much memory it has: {error}") from error

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """See `Executor.prepare`."""
        try:
            answer = prepared(self._ray.get(self._actor(0).prepare.remote(list(rows), list(sizes))))
        except self._ray.exceptions.RayError as error:
            raise UnfinishedError(f"The model could not be loaded on the cluster: {error}") from error
        if self._footprint is None:
            return answer
        return replace(answer, free_memory=memory_for_images(self._footprint, self._resources, answer.free_memory))

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
            make = self._ray.remote(**self._resources.options)(_Actor)
            self._actors[index] = make.remote(self.session)
        return self._actors[index]

    def close(self) -> None:
        """See `Executor.close`."""
        with contextlib.suppress(Exception):
            for actor in filter(None, self._actors):
                self._ray.kill(actor)
        self._ray.shutdown()
