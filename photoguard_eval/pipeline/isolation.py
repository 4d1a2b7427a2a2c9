"""Attacks of others run in processes of their own, so that nothing that they do reaches another row.

Such a process gets images, masks and, if declared, prompts; it loads its own copy of the model and returns images and
numbers. What it returns is read as plain values, never as code. This process measures budgets and stores images; it
never imports the attack, of which it knows what the other process described.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import Attack, Ball
from photoguard_eval.attacks.threat_model import Declaration
from photoguard_eval.errors import AttackError, PluginError, readable, rebuilt
from photoguard_eval.pipeline.child import Child, ChildEnded
from photoguard_eval.pipeline.session import PluginSource, Session
from photoguard_eval.pipeline.work import ImmunizeWork
from photoguard_eval.plugins.registry import Plugin

if TYPE_CHECKING:
    import torch

    from photoguard_eval.attacks import AttackBatch
    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators

MODULE = "photoguard_eval.pipeline.isolated"

START_SECONDS = 900.0
"""What a process may take to load libraries, the attack and the model."""

FACTS = (
    "name",
    "title",
    "paper",
    "sees_model",
    "sees_mask",
    "sees_prompt",
    "is_finished",
    "is_floor",
    "gradient_through",
    "gradient_evaluations",
    "steps",
)
"""Attributes of an attack that others are told."""

COST = ("seconds", "gradient_evaluations", "unet_calls", "encoder_calls", "peak_memory_mib")


class DescribedAttack(Attack):
    """An attack of others as this process knows it: what it declared and is called; its code is elsewhere."""

    name = "described"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Take what the other process says of it.

        Args:
            facts: Attributes by name.
        """
        for name, value in facts.items():
            setattr(self, name, value)

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """Never called: the attack runs where its code is."""
        raise NotImplementedError(f"{self.name} runs in a process of its own")


def describe(source: PluginSource, preset: str) -> dict[str, Any]:
    """Build an attack in a process of its own, and return what it says of itself, as JSON values.

    Args:
        source: How it is built.
        preset: Name of the preset, whose defaults it takes.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    child = Child(MODULE)
    try:
        child.send(pickle.dumps(("describe", (source, preset))))
        header, _ = _answer(child, START_SECONDS, None)
    except ChildEnded as ended:
        raise PluginError(f"The attack {source.spec!r} could not be built: {ended.reason}.") from None
    finally:
        child.close()
    facts: dict[str, Any] = header["facts"]
    return facts


def facts_of(attack: Plugin[Attack]) -> dict[str, Any]:
    """Return what others are told of an attack, as JSON values; `described` reads it.

    Args:
        attack: The attack.
    """
    instance: Mapping[str, Any] = {
        name: value for name in FACTS if _is_plain(value := getattr(attack.instance, name, None))
    }
    return {
        "name": attack.name,
        "label": attack.label,
        "row_label": attack.row_label,
        "arguments": attack.arguments,
        "inputs": attack.inputs,
        "source": attack.source,
        "fingerprint": attack.fingerprint,
        "declared": asdict(attack.declared),
        "left_out": list(attack.left_out),
        "instance": instance,
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def described(facts: Mapping[str, Any]) -> Plugin[Attack]:
    """Return a described attack as a plug-in.

    Args:
        facts: From `describe`.
    """
    fields = {**facts, "left_out": tuple(facts["left_out"]), "declared": _declaration(facts["declared"])}
    return Plugin(**{**fields, "instance": DescribedAttack(facts["instance"]), "foreign": True})


def _declaration(facts: Mapping[str, Any]) -> Declaration:
    budget = facts["budget"]
    return Declaration(
        attack=facts["attack"],
        budget=None if budget is None else Ball(**budget),
        norms=tuple(facts["norms"]),
        sees_model=facts["sees_model"],
        sees_mask=facts["sees_mask"],
        sees_prompt=facts["sees_prompt"],
    )


class Isolation:
    """The process of an attack of others, started when it is first needed and anew after it ended."""

    def __init__(self, session: Session, label: str) -> None:
        """Name the attack.

        Args:
            session: What there is to know of the evaluation.
            label: Of the attack.
        """
        self._session = replace(session, attacks={label: session.attacks[label]})
        self.label = label
        self._child: Child | None = None

    def perturb(self, work: ImmunizeWork) -> tuple[torch.Tensor, dict[str, float], tuple[str, ...]]:
        """Run the attack; see `photoguard_eval.pipeline.steps.immunize.perturb`.

        Args:
            work: The images.

        Raises:
            AttackError: If it raises, ends its process, breaks a limit or returns something else than images.
        """
        limits = self._session.limits
        try:
            child = self._opened()
            child.send(pickle.dumps(("perturb", work)))
            header, data = _answer(child, limits.seconds * len(work), limits.memory_mib)
        except ChildEnded as ended:
            self._child = None
            raise AttackError(f"The attack {self.label!r} is not finished: {ended.reason}.") from None
        return _images(self.label, work, data), _cost(self.label, header), _texts(header.get("warnings"))

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _opened(self) -> Child:
        if self._child is None:
            threads = self._session.threads
            environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
            self._child = Child(MODULE, environment)
            self._child.send(pickle.dumps(("open", (self._session, self.label))))
            _answer(self._child, START_SECONDS, None)
        return self._child


def _answer(child: Child, seconds: float, memory_mib: float | None) -> tuple[dict[str, Any], bytes]:
    """Read an answer as plain values: a header of JSON, and bytes."""
    message = child.receive(seconds, memory_mib)
    head, _, data = message.partition(b"\n")
    try:
        header = json.loads(head)
        error = header.get("error")
    except (ValueError, AttributeError, RecursionError):
        child.close()
        raise ChildEnded("its process answered with something else than was asked for") from None
    if error is not None:
        texts = {name: str(error.get(name, "")) for name in ("class", "message", "traceback", "frames")}
        raise rebuilt(texts["class"], readable(texts["message"]), texts["traceback"], AttackError).at(texts["frames"])
    return header, data


def _images(label: str, work: ImmunizeWork, data: bytes) -> torch.Tensor:
    import numpy as np
    import torch

    shape = work.images.shape
    if len(data) != 4 * work.images.size:
        raise AttackError(f"The attack {label!r} returned {len(data)} bytes; expected float32 images of shape {shape}.")
    return torch.from_numpy(np.frombuffer(data, np.float32).reshape(shape).copy())


def _cost(label: str, header: Mapping[str, Any]) -> dict[str, float]:
    cost = header.get("cost")
    if not isinstance(cost, dict) or not all(isinstance(cost.get(name), int | float) for name in COST):
        raise AttackError(f"The process of the attack {label!r} did not say what it cost.")
    return {name: float(cost[name]) for name in COST}


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(readable(str(value)) for value in values) if isinstance(values, list) else ()
