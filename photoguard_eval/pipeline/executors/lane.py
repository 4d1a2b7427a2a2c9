"""One of several processes: `python -m photoguard_eval.pipeline.executors.lane` is started by `ProcessesExecutor`."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from multiprocessing.connection import Connection

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.pipeline.child import serve
from photoguard_eval.pipeline.work import Outcome, Work
from photoguard_eval.pipeline.worker import Prepared, Worker, unexpected


class Server:
    """Answers a lane, in its process."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._worker: Worker | None = None

    def answer(self, connection: Connection) -> None:
        """Take a request from a connection, and answer it; the first says what there is to know, and has no answer."""
        verb, payload = pickle.loads(connection.recv_bytes())
        if verb == "open":
            self._worker = Worker(*payload)
            return
        try:
            result = getattr(self, f"_{verb}")(*payload)
        except Exception as error:
            result = unexpected(error)
        connection.send_bytes(pickle.dumps(result))

    def _prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        assert self._worker is not None
        return self._worker.prepare(rows, sizes)

    def _perform(self, work: Work) -> Outcome:
        assert self._worker is not None
        return self._worker.perform(work)


if __name__ == "__main__":
    serve(Server().answer)
