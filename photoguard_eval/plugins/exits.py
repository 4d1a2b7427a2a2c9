"""Keeps a plug-in from ending the program while it is imported or built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never


@contextmanager
def exits_refused() -> Iterator[None]:
    """Turn `os._exit`, which no `except` sees, into a SystemExit while a plug-in's code runs in this process.

    A run that ends so would be a success without a result. Attacks work in a process of their own later on, whose early
    end is noticed. A process that the plug-in forks meanwhile ends as it asks to.
    """
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> Never:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave
