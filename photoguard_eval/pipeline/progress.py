"""Progress of a run: one bar per stage on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_INTERVAL_SECONDS = 15.0
"""How often a stage reports itself where no bar can be drawn."""


class Stage(Protocol):
    """A stage that is under way."""

    def advance(self, count: int) -> None:
        """Say that so many more units are done."""


class Progress:
    """Reports stages to a stream."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        """Choose where to report.

        Args:
            stream: Standard error by default.
            quiet: Whether to report nothing.
        """
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet

    @property
    def quiet(self) -> bool:
        """Whether nothing is reported."""
        return self._quiet

    def say(self, message: str) -> None:
        """Report one line."""
        if not self._quiet:
            print(message, file=self._stream, flush=True)

    @contextmanager
    def counted(self, totals: Mapping[str, int]) -> Iterator[Counted]:
        """Report images of several kinds while they are worked on in any order.

        Args:
            totals: How many there are of each kind.
        """
        with self.stage("images", sum(totals.values())) as stage:
            yield Counted(self, totals, stage)

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "image") -> Iterator[Stage]:
        """Report a stage of `total` units while it runs; one without units reports nothing."""
        if self._quiet or total == 0:
            yield _Silent()
        elif self._stream.isatty():
            from tqdm import tqdm

            with tqdm(total=total, desc=name, unit=unit, file=self._stream, dynamic_ncols=True) as bar:
                yield _Bar(bar)
        else:
            lines = _Lines(name, total, unit, self._stream)
            yield lines
            lines.finish()


class Counted:
    """Reports images of several kinds that are worked on in any order: each kind when it is whole, all in between."""

    def __init__(self, progress: Progress, totals: Mapping[str, int], stage: Stage) -> None:
        """Take the totals.

        Args:
            progress: Where to report.
            totals: How many images there are of each kind.
            stage: Counts all of them.
        """
        self._progress = progress
        self._left = dict(totals)
        self._totals = totals
        self._stage = stage
        self._taken = dict.fromkeys(totals, 0.0)
        self._before = time.monotonic()

    def advance(self, kind: str, count: int) -> None:
        """Say that so many more images of a kind are done."""
        now = time.monotonic()
        self._taken[kind] += now - self._before
        self._before = now
        self._left[kind] -= count
        self._stage.advance(count)
        if self._left[kind] == 0:
            self._progress.say(f"{kind}: {self._totals[kind]} images in {self._taken[kind]:.1f} s")


class _Silent:
    def advance(self, count: int) -> None:
        pass


class _Bar:
    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        self._bar.update(count)


class _Lines:
    def __init__(self, name: str, total: int, unit: str, stream: TextIO) -> None:
        self._name = name
        self._total = total
        self._unit = unit
        self._stream = stream
        self._done = 0
        self._started = time.monotonic()
        self._reported = self._started

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._reported >= LINE_INTERVAL_SECONDS and self._done < self._total:
            self._reported = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate
            self._print(f"{self._done}/{self._total} {self._unit}s, {rate:.2f}/s, {left:.0f} s left")

    def finish(self) -> None:
        if self._done == self._total:
            self._print(f"{self._total} {self._unit}s in {time.monotonic() - self._started:.1f} s")

    def _print(self, text: str) -> None:
        print(f"{self._name}: {text}", file=self._stream, flush=True)
