"""What a plug-in is once it is configured: the object, and all that its provenance needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from photoguard_eval.files import sha256_of_file
from photoguard_eval.plugins.file_reads import data_files

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A configured plug-in and all that its provenance needs.

    Attributes:
        name: The name the class gives itself.
        label: Its name and the arguments that were given, as a spec: no other plug-in of a run has the same.
        row_label: What its rows are called: the label without the arguments that a row has an axis of its own for.
        arguments: Every argument of the constructor, defaults included, as JSON values.
        inputs: Hashes of the files that it reads, by what they are: arguments that are files, those that its attribute
            `inputs` names, and those of its folder that it opened when it was imported or built.
        source: Where it came from: "photoguard_eval", "<distribution> <version>", a module or a file.
        fingerprint: SHA-256 of what its class is written in, see `photoguard_eval.plugins.fingerprints`.
        instance: The object itself.
        declared: What it declared when it was built, which later changes of the object do not change: the threat
            model of an attack; None for plug-ins that declare nothing.
        foreign: Whether it is code of others that any process can load by its name: of a file, a module or an installed
            package. What was registered while the program ran, or typed in a notebook, is not.
        left_out: Defaults that were meant for it and that its constructor does not take, such as a preset's.
    """

    name: str
    label: str
    row_label: str
    arguments: dict[str, Any]
    inputs: dict[str, str]
    source: str
    fingerprint: str
    instance: T
    declared: Any = None
    foreign: bool = False
    left_out: tuple[str, ...] = ()

    def undeclared(self, read: set[str]) -> list[str]:
        """Say which of the files that were read while it worked decide what it does, and are not in its inputs.

        Args:
            read: Paths.

        Returns:
            A warning for each.
        """
        known = set(self.inputs.values())
        files = data_files(read, type(self.instance))
        return [
            f"{self.label} reads {name}, which does not count in its results: a changed file would go unnoticed. Name "
            "it in `inputs` of the class."
            for name, path in files.items()
            if sha256_of_file(path) not in known
        ]

    @property
    def runs_foreign_code(self) -> bool:
        """Whether it is foreign, or made of plug-ins of which one is."""
        parts: tuple[Plugin[Any], ...] = getattr(self.instance, "parts", ())
        return self.foreign or any(part.runs_foreign_code for part in parts)
