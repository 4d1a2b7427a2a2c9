"""A process that this one starts and talks to, and that ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.1
"""How often a limit is looked at while a child works."""


class ChildEnded(Exception):  # noqa: N818 (what happened, not an error of a user)
    """The process ended, or was ended, before it answered.

    Attributes:
        reason: Why, as a part of a sentence.
    """

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class Child:
    """A process that runs a module of this package; it and what it forks are ended with this one."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it.

        Args:
            module: A module whose `main` takes a connection, see `serve`.
            environment: What its environment differs by.
        """
        self.connection, theirs = Pipe()
        lifeline, self._life = os.pipe()
        command = [sys.executable, "-m", module, str(theirs.fileno()), str(lifeline)]
        search_path = os.pathsep.join(filter(None, sys.path))
        try:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": search_path, **(environment or {})},
                pass_fds=[theirs.fileno(), lifeline],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(lifeline)

    def receive(self, seconds: float | None = None, memory_mib: float | None = None) -> bytes:
        """Wait for an answer.

        Args:
            seconds: How long at most; None for ever.
            memory_mib: Resident memory that the process may take meanwhile; None for any.

        Raises:
            ChildEnded: If it ended without one, or was ended for a limit.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._poll():
            if self.process.poll() is not None and not self._poll(0):
                # What it forked may hold the connection open.
                self._raise_ended()
            if deadline is not None and time.monotonic() > deadline:
                self.close()
                raise ChildEnded(f"it took more than {seconds:g} s and was stopped")
            self._require_memory(memory_mib)
        self._require_memory(memory_mib)
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            self._raise_ended()

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            ChildEnded: If the process is gone.
        """
        try:
            self.connection.send_bytes(message)
        except OSError:
            self._raise_ended()

    def close(self) -> int | None:
        """End the process and whatever it started; return its exit code."""
        with contextlib.suppress(OSError):
            self.connection.close()
        code = self.process.poll()
        if code is None:
            # It may be about to end by itself, with a code that says more than the signal would.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(0.2)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        return self.process.returncode if code is None else code

    def _raise_ended(self) -> NoReturn:
        code = self.close()
        raise ChildEnded(f"its process ended with {exit_text(code)} before the work was done") from None

    def _poll(self, seconds: float = POLL_SECONDS) -> bool:
        try:
            return self.connection.poll(seconds)
        except OSError:
            return True

    def _require_memory(self, memory_mib: float | None) -> None:
        if memory_mib is None:
            return
        taken = peak_resident_mib(self.process.pid)
        if taken > memory_mib:
            self.close()
            raise ChildEnded(f"its process took {taken:,.0f} MiB of memory, {memory_mib:,.0f} are allowed")


def peak_resident_mib(process: int) -> float:
    """Return the most mebibytes of memory that a process had at once; 0 where the system does not say, or it ended.

    Args:
        process: Its number.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                # In kibibytes.
                return int(line.split()[1]) / 1024
    return 0.0


def exit_text(code: int | None) -> str:
    """Return an exit code in words.

    Args:
        code: As `subprocess` gives it: negative for a signal.
    """
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"the signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def serve(answer: Callable[[Connection], None]) -> None:
    """Run in a child: answer requests until the process that started it closes the connection, or is gone.

    Args:
        answer: Takes the next request from the connection and answers it; raises EOFError at the end.
    """
    from threading import Thread

    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    # Ctrl-C is for the process that the user started, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            answer(connection)


def _end_with_parent(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)
