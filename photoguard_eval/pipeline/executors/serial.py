"""All work in this process, one piece after another."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.pipeline.executors.base import EXECUTORS, Executor
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.work import Outcome, Work
from photoguard_eval.pipeline.worker import Worker

if TYPE_CHECKING:
    from photoguard_eval.pipeline.worker import Prepared


@EXECUTORS.register
class SerialExecutor(Executor):
    """All work in this process; attacks of others in a process of their own."""

    name = "serial"

    def __init__(self, session: Session, request: EvaluationRequest) -> None:
        """See `Executor`."""
        super().__init__(session, request)
        self.worker = Worker(session)
        self._taken: list[tuple[int, Work]] = []

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """See `Executor.prepare`."""
        return self.worker.prepare(rows, sizes)

    def submit(self, number: int, work: Work) -> None:
        """See `Executor.submit`."""
        self._taken.append((number, work))

    def next(self) -> tuple[int, Outcome]:
        """See `Executor.next`."""
        number, work = self._taken.pop(0)
        return number, self.worker.perform(work)

    def close(self) -> None:
        """See `Executor.close`."""
        self.worker.close()
