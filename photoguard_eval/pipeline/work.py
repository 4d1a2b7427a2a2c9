"""Work as a value that can be sent to another process: what is handed to whoever computes, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from photoguard_eval.attacks import Ball
from photoguard_eval.diffusion import EditSettings
from photoguard_eval.errors import PhotoguardError, UnfinishedError, rebuilt

Levels = NDArray[np.uint8]
"""Images, (N, 3, H, W), or masks, (N, 1, H, W), in whole levels; a mask's are 0 and 1."""


@dataclass(frozen=True)
class _ImageWork:
    """Images of one row and one size that are worked on at once.

    Attributes:
        names: Of the images, or of the cases.
        seeds: Of the random numbers, one for each image.
        images: What is worked on.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    images: Levels

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class _EditorWork(_ImageWork):
    """Work that has to do with how the images are edited.

    Attributes:
        editor: Name of the editor.
        settings: Its settings.
        prompts: Of the edits; the harness withholds them from an attack that does not see them.
        masks: What is edited of the images.
    """

    editor: str
    settings: EditSettings
    prompts: tuple[str, ...]
    masks: Levels


@dataclass(frozen=True)
class ImmunizeWork(_EditorWork):
    """Originals that are immunized against an editor.

    Attributes:
        attack: Label of the attack.
        budget: The run's, for an attack without one of its own.
        at_once: See `AttackBatch`.
        steps: Gradient steps, where fewer than the attack's are measured.
    """

    attack: str
    budget: Ball
    at_once: int
    steps: int | None = None


@dataclass(frozen=True)
class PurifyWork(_ImageWork):
    """Images that are purified.

    Attributes:
        purifier: Label of the purifier.
    """

    purifier: str


@dataclass(frozen=True)
class EditWork(_EditorWork):
    """Images that are edited.

    Attributes:
        originals: Whose pixels the kept region may show.
    """

    originals: Levels


Work = ImmunizeWork | PurifyWork | EditWork


@dataclass(frozen=True)
class Artifact:
    """An image as it is stored.

    Attributes:
        png: The file.
        facts: What is known of it, as JSON values.
    """

    png: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """Work that was done.

    Attributes:
        artifacts: One for each image, in the order of the work.
        warnings: What is to be told of it.
    """

    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Work that was not done, and why. It is not run a second time.

    Attributes:
        kind: "attack" if the attack is to blame, and it alone; "memory" if a GPU's memory does not hold the images;
            "run" if the run cannot go on.
        message: What was wrong, and what to do.
        frames: Where in an attack's own code it arose.
        traceback: All of it.
        error: Name of the error's class.
    """

    kind: Literal["attack", "memory", "run"]
    message: str
    frames: str = ""
    traceback: str = ""
    error: str = ""

    def as_error(self, otherwise: type[PhotoguardError] = UnfinishedError, prefix: str = "") -> PhotoguardError:
        """Return the error that was raised where the work was not done.

        Args:
            otherwise: Its class, if its own is none of this package.
            prefix: What stands before the message.
        """
        return rebuilt(self.error, f"{prefix}{self.message}", self.traceback, otherwise).at(self.frames)


Outcome = Finished | Failed
