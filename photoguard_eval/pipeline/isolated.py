"""The process of an attack of others: `python -m photoguard_eval.pipeline.isolated` is started by `Isolation`."""

from __future__ import annotations

import json
import pickle
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import Attack
from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import PhotoguardError, message_of
from photoguard_eval.pipeline.attacks import build, built_with_files
from photoguard_eval.pipeline.child import serve
from photoguard_eval.pipeline.isolation import facts_of
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.session import PluginSource, Session
from photoguard_eval.pipeline.steps import immunize
from photoguard_eval.pipeline.work import ImmunizeWork
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.tracebacks import whole

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion


class Isolated:
    """Answers the requests of an `Isolation`."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._attack: Plugin[Attack] | None = None
        self._model: LatentDiffusion | None = None
        self._editors: set[str] = set()

    def answer(self, connection: Connection) -> None:
        """Take a request and answer it: with a line of JSON, and bytes after it."""
        verb, payload = pickle.loads(connection.recv_bytes())
        try:
            header, data = getattr(self, f"_{verb}")(*(payload if isinstance(payload, tuple) else (payload,)))
        except PhotoguardError as error:
            facts = {"class": type(error).__name__, "message": message_of(error), "frames": error.frames}
            header, data = {"error": {**facts, "traceback": whole(error)}}, b""
        connection.send_bytes(json.dumps(header).encode() + b"\n" + data)

    def _describe(self, source: PluginSource, preset: str) -> tuple[dict[str, Any], bytes]:
        plugin, files = built_with_files(source.spec, find_preset(preset))
        return {"facts": {**facts_of(plugin), "files": list(files)}}, b""

    def _open(self, session: Session, label: str) -> tuple[dict[str, Any], bytes]:
        import torch

        if session.threads is not None:
            torch.set_num_threads(session.threads)
        self._attack = build(session.attacks[label], session.preset)
        self._model = session.model.load()
        return {}, b""

    def _perturb(self, work: ImmunizeWork) -> tuple[dict[str, Any], bytes]:
        assert self._attack is not None
        assert self._model is not None
        editor = EDITORS.create(work.editor).instance
        if work.editor not in self._editors:
            sizes = {(work.images.shape[-2], work.images.shape[-1])}
            self._attack.instance.require_support(self._model, editor, sizes)
            self._editors.add(work.editor)
        images, cost, warnings = immunize.perturb(work, self._attack, editor, self._model)
        return {"cost": cost, "warnings": list(warnings)}, images.contiguous().numpy().tobytes()


if __name__ == "__main__":
    serve(Isolated().answer)
