"""The command line: photoguard-eval.

Exit codes: 0 done; 1 the gate failed, an attack was stopped, or pictures of a folder were left out; 2 an input was
refused; 130 interrupted; 141 nobody reads on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from photoguard_eval.app.command import EXIT_CLOSED_PIPE, EXIT_FAILED_GATE, EXIT_INTERRUPTED, Command, CommandGroup
from photoguard_eval.app.commands import COMMANDS
from photoguard_eval.app.option_files import expand
from photoguard_eval.errors import PhotoguardError, message_of
from photoguard_eval.files import named_in_errors
from photoguard_eval.plugins.tracebacks import whole
from photoguard_eval.surroundings import provide_home, spell_out_what_is_lacking
from photoguard_eval.version import __version__

PROGRAM = "photoguard-eval"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    spell_out_what_is_lacking(sys.stdout)
    provide_home()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        options = parse(given)
        if getattr(options, "gpu", False):
            # First of all: a machine without a GPU is told so, and not that it lacks the weights of a large model.
            _require_gpu()
        code = _run(options)
        sys.stdout.flush()
    except PhotoguardError as error:
        told = [f"{PROGRAM}: {message_of(error)}", error.frames, whole(error) if debug else ""]
        print("\n".join(filter(None, told)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has. The rest goes nowhere, or Python would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLOSED_PIPE
    return code


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse arguments, those in files included.

    Raises:
        ConfigurationError: If a file has an option that the command lacks.
        UnreadableFileError: If a file of options cannot be read.
    """
    given = list(arguments)
    position = _position_of_command(given)
    name = "" if position is None else given[position]
    return build_parser(name).parse_args(_with_files(given))


def _run(options: argparse.Namespace) -> int:
    command: Command = options.chosen
    try:
        with named_in_errors():
            return command.run(options)
    except SystemExit as error:
        # Not of this package: a plug-in that asks to end the program must not pass for a command that was done.
        print(f"{PROGRAM}: a plug-in ended the command with SystemExit({error.code!r}).", file=sys.stderr)
        return EXIT_FAILED_GATE


def _require_gpu() -> None:
    from photoguard_eval.diffusion import require_device

    require_device("cuda")


def _with_files(arguments: list[str]) -> list[str]:
    """Put the options in files in the places of the files, for a command that reads them."""
    named = {command.name: command for command in COMMANDS if isinstance(command, Command) and command.reads_files}
    position = _position_of_command(arguments)
    if position is None or arguments[position] not in named:
        return arguments
    command = named[arguments[position]]
    known = [name for option in command.all_options for name in option.names]
    return [*arguments[: position + 1], *expand(arguments[position + 1 :], f"{PROGRAM} {command.name}", known)]


def _position_of_command(arguments: list[str]) -> int | None:
    return next((number for number, text in enumerate(arguments) if not text.startswith("-")), None)


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """Build the parser with all commands.

    Args:
        chosen: The command that gets its options, which is faster than all of them; None for all.
    """
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The benchmark for image immunization: run attacks, compare edits, keep a leaderboard.",
        epilog=f"Start with: {PROGRAM} run --preset smoke",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        if isinstance(command, CommandGroup):
            _add_group(commands, command)
            continue
        own = _add(commands, command)
        if chosen in (None, command.name):
            _add_options(own, command)
    return parser


def _add_group(commands: Any, group: CommandGroup) -> None:
    parser = commands.add_parser(group.name, help=group.description, description=group.description)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for command in group.commands:
        _add_options(_add(actions, command), command)


def _add(commands: Any, command: Command) -> argparse.ArgumentParser:
    epilog = "@FILE stands for the options in a file, one a line; pytest takes it too." if command.reads_files else None
    parser: argparse.ArgumentParser = commands.add_parser(
        command.name, help=command.description, description=command.description, epilog=epilog
    )
    parser.set_defaults(chosen=command)
    return parser


def _add_options(parser: argparse.ArgumentParser, command: Command) -> None:
    for option in command.all_options:
        destination: dict[str, Any] = {} if option.positional else {"dest": option.destination}
        parser.add_argument(*option.names, **destination, **option.keywords)
