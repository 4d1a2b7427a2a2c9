"""What a command is, and what it may end with."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photoguard_eval.app.options import DEBUG, EVALUATION_OPTIONS, Option, request_of

if TYPE_CHECKING:
    from photoguard_eval.pipeline.request import EvaluationRequest

EXIT_FAILED_GATE = 1
EXIT_LEFT_OUT = 1
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141


@dataclass(frozen=True)
class Command:
    """A command of `photoguard-eval`.

    Attributes:
        name: What it is called by.
        description: What it does, as a sentence.
        run: Does it, and returns the exit code.
        options: Its options and positional arguments, in the order of its help.
        reads_files: Whether @FILE stands for the options in a file.
    """

    name: str
    description: str
    run: Callable[[argparse.Namespace], int]
    options: tuple[Option, ...]
    reads_files: bool = False

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Its options, with those that every command has."""
        return self.options if DEBUG in self.options else (DEBUG, *self.options)


@dataclass(frozen=True)
class CommandGroup:
    """A command that has commands of its own."""

    name: str
    description: str
    commands: tuple[Command, ...]


def request_from(options: argparse.Namespace, read: tuple[Option, ...] = EVALUATION_OPTIONS) -> EvaluationRequest:
    """Turn a command's parsed options into a request; see `request_of`."""
    return request_of(lambda option: getattr(options, option.destination, None), read)


def print_json(value: Any) -> None:
    """Print a value as JSON, in ASCII where the output holds nothing else."""
    holds_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(value, indent=1, ensure_ascii=not holds_all, allow_nan=False))
