"""The seam between what is to be done and where it is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.work import Failed, Outcome, Work
from photoguard_eval.plugins.registry import Registry

if TYPE_CHECKING:
    from photoguard_eval.pipeline.executors.resources import Footprint
    from photoguard_eval.pipeline.worker import Prepared

ATTEMPTS = 3
"""How often work is begun whose process ends under it, before the run ends."""


class Executor(ABC):
    """Where work runs. What fails comes back as a value; what is lost with a process is begun again.

    Attributes:
        name: Identifier on the command line.
        slots: How much work it takes at once.
    """

    name: ClassVar[str]
    slots: int = 1

    def __init__(self, session: Session, request: EvaluationRequest) -> None:
        """Prepare to work; nothing is started yet.

        Args:
            session: What whoever computes must know.
            request: Says on how many processes, and where.

        Raises:
            ConfigurationError: If it is not installed, or cannot be had as asked for.
        """
        self.session = session
        self.request = request

    def reserve(self, footprint: Callable[[], Footprint]) -> None:  # noqa: B027 (most have nothing to choose by it)
        """Learn what memory whoever works takes, before `prepare`: for an executor that looks for places by it.

        Args:
            footprint: Returns it. For a large model it is counted then, which takes seconds.

        Raises:
            ConfigurationError: If no place has so much.
        """

    @abstractmethod
    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """Load the model once, and say what it needs; see `Worker.prepare`.

        Raises:
            PhotoguardError: If the model cannot be loaded, or an attack cannot work with it.
        """

    @abstractmethod
    def submit(self, number: int, work: Work) -> None:
        """Take work; called at most `slots` times more than `next`.

        Args:
            number: By which its outcome is told.
            work: What to do.
        """

    @abstractmethod
    def next(self) -> tuple[int, Outcome]:
        """Wait for work to end, and return its number and what came of it."""

    def close(self) -> None:  # noqa: B027 (there may be nothing to end)
        """End whatever was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def prepared(answer: Prepared | Failed) -> Prepared:
    """Return what another process answered to `prepare`.

    Raises:
        PhotoguardError: If the answer is an error.
    """
    if isinstance(answer, Failed):
        raise answer.as_error()
    return answer


EXECUTORS: Registry[Executor] = Registry("executor", Executor, "photoguard_eval.executors")  # type: ignore[type-abstract]
