"""Whoever computes: a worker loads a model once, builds each attack once, and does one piece of work after another."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import Attack
from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.diffusion import EDITORS, Editor
from photoguard_eval.errors import AttackError, InterferenceError, PhotoguardError, message_of
from photoguard_eval.pipeline.attacks import build
from photoguard_eval.pipeline.device_memory import free_memory, is_out_of_memory, release_memory
from photoguard_eval.pipeline.isolation import Isolation, described
from photoguard_eval.pipeline.purifiers import build_purifier
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.steps import edit, immunize, purify
from photoguard_eval.pipeline.work import EditWork, Failed, Finished, ImmunizeWork, Outcome, PurifyWork, Work
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.tracebacks import whole
from photoguard_eval.purifiers import Purifier

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion


@dataclass(frozen=True)
class Prepared:
    """What a loaded model says of the work to come.

    Attributes:
        size_multiple: What the sides of an image must be multiples of.
        downscale_factor: Pixels for each latent.
        free_memory: Bytes that are free on its GPU; None on a processor.
        threads: Threads that torch uses.
    """

    size_multiple: int
    downscale_factor: int
    free_memory: int | None
    threads: int


class Worker:
    """Does work of one evaluation in the process that it is made in; attacks of others in processes of their own."""

    def __init__(self, session: Session) -> None:
        """Prepare to work; nothing is loaded yet.

        Args:
            session: What there is to know of the evaluation.
        """
        self._session = session
        self._attacks: dict[str, Plugin[Attack]] = {}
        self._editors: dict[str, Editor] = {}
        self._purifiers: dict[str, Plugin[Purifier]] = {}
        self._isolation: Isolation | None = None

    @cached_property
    def model(self) -> LatentDiffusion:
        """The model, loaded when it is first needed."""
        import torch

        if self._session.threads is not None:
            torch.set_num_threads(self._session.threads)
        return self._session.model.load()

    def prepare(self, rows: Collection[tuple[str, str]], sizes: Collection[ImageSize]) -> Prepared:
        """Load the model, and check that the attacks of this package can work with it.

        Args:
            rows: Labels of attacks, and the editors that they work against.
            sizes: Of the images.

        Raises:
            PhotoguardError: If the model cannot be loaded, or an attack cannot work with it.
        """
        import torch

        for label, editor in rows:
            if not self._is_foreign(label):
                self._attack(label).instance.require_support(self.model, self._editor(editor), sizes)
        model = self.model
        free = free_memory(str(model.device))
        return Prepared(model.size_multiple, model.downscale_factor, free, torch.get_num_threads())

    def perform(self, work: Work) -> Outcome:
        """Do work; whatever was to be expected to go wrong is returned.

        Args:
            work: What to do.
        """
        try:
            if isinstance(work, EditWork):
                return edit.run(work, self._editor(work.editor), self.model, self._session.model.dtype)
            if isinstance(work, PurifyWork):
                return purify.run(work, self._purifier(work.purifier))
            return self._immunize(work)
        except AttackError as error:
            if isinstance(error, InterferenceError):
                # Whatever the attack made of the model, what comes next gets one as it was loaded.
                self.__dict__.pop("model", None)
                release_memory()
            return _failed("attack", error)
        except PhotoguardError as error:
            return _failed("run", error)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            release_memory()
            return Failed("memory", str(error))

    def close(self) -> None:
        """End the process of an attack of others."""
        if self._isolation is not None:
            self._isolation.close()
            self._isolation = None

    def _immunize(self, work: ImmunizeWork) -> Finished:
        attack = self._attack(work.attack)
        if self._is_foreign(work.attack):
            images, cost, warnings = self._isolated(work.attack).perturb(work)
        else:
            images, cost, warnings = immunize.perturb(work, attack, self._editor(work.editor), self.model)
        return Finished(tuple(immunize.seal(work, attack, images, cost)), warnings)

    def _is_foreign(self, label: str) -> bool:
        return self._session.attacks[label].described is not None

    def _isolated(self, label: str) -> Isolation:
        # One at a time: each has a model of its own.
        if self._isolation is None or self._isolation.label != label:
            self.close()
            self._isolation = Isolation(self._session, label)
        return self._isolation

    def _attack(self, label: str) -> Plugin[Any]:
        if label not in self._attacks:
            source = self._session.attacks[label]
            facts = source.described
            self._attacks[label] = build(source, self._session.preset) if facts is None else described(facts)
        return self._attacks[label]

    def _purifier(self, label: str) -> Plugin[Purifier]:
        if label not in self._purifiers:
            self._purifiers[label] = build_purifier(self._session.purifiers[label])
        return self._purifiers[label]

    def _editor(self, name: str) -> Editor:
        if name not in self._editors:
            self._editors[name] = EDITORS.create(name).instance
        return self._editors[name]


def _failed(kind: Any, error: PhotoguardError) -> Failed:
    return Failed(kind, message_of(error), error.frames, whole(error), type(error).__name__)


def unexpected(error: Exception) -> Failed:
    """Return an error that nobody expected as a value, with its traceback.

    Args:
        error: What was raised.
    """
    frames = error.frames if isinstance(error, PhotoguardError) else ""
    text = message_of(error) if isinstance(error, PhotoguardError) else f"{type(error).__name__}: {message_of(error)}"
    return Failed("run", text, frames, whole(error), type(error).__name__)
