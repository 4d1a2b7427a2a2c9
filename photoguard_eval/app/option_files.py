"""Files of options: `@FILE` stands for the arguments in a file, one a line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import read_text

PREFIX = "@"


@dataclass(frozen=True)
class Line:
    """An argument in a file, and where it stands."""

    text: str
    path: Path
    number: int

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.path}, line {self.number}"

    @property
    def option(self) -> str:
        """The name of the option that it gives; "" for a value."""
        # A negative number is a value.
        return self.text.partition("=")[0] if re.match(r"--?[A-Za-z]", self.text) else ""


def lines_of(argument: str, outer: tuple[Path, ...] = ()) -> Iterator[Line]:
    """Read the arguments of a file, and those of the files that it names.

    Args:
        argument: The file's path after "@".
        outer: The files that named it.

    Raises:
        ConfigurationError: If a file names itself, or one that names it.
        UnreadableFileError: If a file cannot be read, or is not UTF-8 text.
    """
    path = Path(argument.removeprefix(PREFIX))
    if path in outer:
        raise ConfigurationError(f"{path} is a file of options that names itself. Take the line {argument!r} out.")
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        if text.startswith(PREFIX):
            yield from lines_of(text, (*outer, path))
        elif text.strip():
            yield Line(text, path, number)


def expand(arguments: Sequence[str], command: str, known: Collection[str]) -> list[str]:
    """Put the arguments in files in the places of the files.

    Args:
        arguments: The arguments of a command; "@FILE" names a file.
        command: How errors call the command.
        known: The names of its options with their dashes.

    Raises:
        ConfigurationError: If a file has an option that the command lacks.
        UnreadableFileError: If a file cannot be read.
    """
    expanded: list[str] = []
    for argument in arguments:
        if not argument.startswith(PREFIX):
            expanded.append(argument)
            continue
        for line in lines_of(argument):
            # argparse takes an option by the beginning of its name.
            if line.option and not any(name.startswith(line.option) for name in known):
                raise lacking(line, command, known)
            expanded.append(line.text)
    return expanded


def lacking(line: Line, command: str, known: Collection[str] = ()) -> ConfigurationError:
    """Return the error of an option in a file that a command lacks."""
    name, blank, value = line.option.partition(" ")
    if blank and name in known:
        return ConfigurationError(
            f"{line.place}: {line.text!r} is two arguments, and a line holds one. Write {name}={value.strip()}."
        )
    close = difflib.get_close_matches(line.option, known, n=1)
    suggestion = f" Did you mean {close[0]}?" if close else ""
    return ConfigurationError(
        f"{line.place}: {command} has no option {line.option}.{suggestion} Correct the line, or take it out."
    )
