"""Whether an attack leaves behind what it found: the model, torch's settings, and the code that measures it.

All rows of a run share one process, one model and one torch. So whatever an attack changes there would change the other
rows, the floor and the originals, without a word. It is found, put back and held against the attack.

What is watched of the code are the functions, classes and constants of `WATCHED`, and the functions of the classes
among them. A process of its own for each attack would hide everything else too; this one does not.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from photoguard_eval.attacks.ball import DEFAULT_BUDGET
from photoguard_eval.diffusion.integrity import ModelState, differences
from photoguard_eval.errors import InterferenceError, message_of, readable
from photoguard_eval.plugins.source_code import PACKAGE

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion

WATCHED = ("torch", "torch.nn.functional", "torch.linalg", "torch.fft", "numpy", "PIL.Image", "json", "hashlib")
"""Modules whose functions and classes are watched, besides all of this package and of piq."""

SCORING = "piq"

SHOWN = 3
"""Changes that an error names."""

_WEIGHTS: WeakKeyDictionary[LatentDiffusion, dict[str, tuple[Any, ...]]] = WeakKeyDictionary()
"""The digests that each model's weights last had, so that they are read once for each run of an attack."""


@contextmanager
def watched(name: str, model: LatentDiffusion) -> Iterator[None]:
    """Let an attack work, and hold it to leave everything as it was, also when it fails.

    The state of all random generators is put back silently: an attack may draw from them, and no other sees it.

    Args:
        name: The attack, for the error.
        model: The model that it is given.

    Raises:
        InterferenceError: If something has changed; all but the model is put back.
    """
    model_before = ModelState.of(model, _WEIGHTS.get(model, {}))
    process_before = ProcessState.take(model_before.classes)
    try:
        yield
    except Exception as error:
        changes = _changes(model, model_before, process_before)
        if changes:
            both = InterferenceError(f"{message_of(error)} {_sentence(name, changes)}")
            raise both.at(getattr(error, "frames", "")) from (error.__cause__ or error)
        raise
    changes = _changes(model, model_before, process_before)
    if changes:
        raise InterferenceError(_sentence(name, changes))


def _changes(model: LatentDiffusion, model_before: ModelState, process_before: ProcessState) -> list[str]:
    """Find what has changed, and put back what is not the model's."""
    changes = process_before.restore()
    model.forget()
    state = ModelState.of(model)
    _WEIGHTS[model] = state.weights
    return [*model_before.changes(state), *changes]


def _sentence(name: str, changes: list[str]) -> str:
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return readable(
        f"The attack {name!r} changed {', '.join(changes[:SHOWN])}{more}, which other attacks share. Leave model, "
        "torch and this package as they were; work on copies, and remove hooks."
    )


@dataclass(frozen=True)
class _Setting:
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _attribute(owner: Any, name: str, title: str) -> _Setting:
    return _Setting(title, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _settings() -> Iterator[_Setting]:
    """Name what torch and the process are set to, thread by thread where torch keeps it so."""
    import torch
    from torch.backends import cuda, cudnn

    yield _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield _Setting("the default device", torch.get_default_device, _set_default_device)
    yield _Setting("whether gradients are computed", torch.is_grad_enabled, torch.set_grad_enabled)
    yield _Setting("the number of threads", torch.get_num_threads, torch.set_num_threads)
    yield _Setting(
        "whether algorithms are deterministic", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    )
    yield _Setting("the precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision)
    yield _Setting("the search for anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly)
    yield _Setting("how denormal numbers are treated", _flushes_denormals, torch.set_flush_denormal)
    for kind in ("cpu", "cuda"):
        yield _Setting(
            f"autocast on {kind}",
            partial(torch.is_autocast_enabled, kind),
            partial(torch.set_autocast_enabled, kind),
        )
    for name in ("enabled", "benchmark", "deterministic", "allow_tf32"):
        yield _attribute(cudnn, name, f"cudnn.{name}")
    for name in ("flash", "mem_efficient", "math"):
        yield _Setting(f"{name} attention", getattr(cuda, f"{name}_sdp_enabled"), getattr(cuda, f"enable_{name}_sdp"))
    yield _Setting("the modes that torch functions run in", torch._C._len_torch_function_stack, _leave_function_modes)
    yield _Setting("the working folder", os.getcwd, os.chdir)
    yield _Setting("the board's budget", lambda: vars(DEFAULT_BUDGET).copy(), vars(DEFAULT_BUDGET).update)


def _set_default_device(device: Any) -> None:
    import torch

    # Without a default torch says that it is the processor; set, even to it, every call would pass a mode.
    torch.set_default_device(None if device.type == "cpu" else device)


def _flushes_denormals() -> bool:
    import torch

    return not (torch.tensor(1e-39, dtype=torch.float32) * 1).item()


def _leave_function_modes(count: int) -> None:
    import torch

    while torch._C._len_torch_function_stack() > count:
        torch._C._pop_torch_function_stack()


@dataclass(frozen=True)
class ProcessState:
    """Settings, code and random generators of the process at a moment.

    Attributes:
        settings: Values by the setting.
        code: What modules and classes held, by the module or class.
        hooks: What torch calls around every module: its tables, and what was in them.
        generators: Puts the state of the random generators back.
        modules: The names of the modules that were loaded.
    """

    settings: tuple[tuple[_Setting, Any], ...]
    code: tuple[tuple[Any, dict[str, Any]], ...]
    hooks: tuple[tuple[str, dict[Any, Any], dict[Any, Any]], ...]
    generators: Callable[[], None]
    modules: frozenset[str]

    @classmethod
    def take(cls, classes: Iterable[type] = ()) -> ProcessState:
        """Take the state of this process.

        Args:
            classes: Further classes to watch.
        """
        import torch.nn.modules.module as shared

        tables = [(name, table) for name, table in vars(shared).items() if name.startswith("_global_")]
        return cls(
            tuple((setting, setting.read()) for setting in _settings()),
            tuple((owner, dict(vars(owner))) for owner in (*_owners(), *classes)),
            tuple((name, table, dict(table)) for name, table in tables if isinstance(table, dict)),
            _generators(),
            frozenset(sys.modules),
        )

    def restore(self) -> list[str]:
        """Put everything back, and name what was otherwise; the random generators are no reproach."""
        changes = []
        # First, since torch replaces some of its classes with a setting.
        for setting, value in self.settings:
            if setting.read() != value:
                changes.append(setting.name)
                setting.write(value)
        for owner, content in self.code:
            changes += [_put_back(owner, name, content) for name in list(differences(owner, content, vars(owner)))]
        for name, table, content in self.hooks:
            if table != content:
                changes.append(f"the hooks of all modules ({name})")
                table.clear()
                table.update(content)
        self.generators()
        for name in sys.modules.keys() - self.modules:
            # Whoever measures imports it anew, and not what an attack may have made of it.
            if name.partition(".")[0] == SCORING:
                del sys.modules[name]
        return changes


def _put_back(owner: Any, name: str, content: dict[str, Any]) -> str:
    if name in content:
        setattr(owner, name, content[name])
    else:
        delattr(owner, name)
    return f"{owner.__name__}.{name}"


def _owners() -> Iterator[Any]:
    """Return the modules that are watched, and the classes that they define."""
    import torch

    yield torch.Tensor
    yield torch.nn.Module
    for name, module in list(sys.modules.items()):
        own = name.partition(".")[0] in (PACKAGE, SCORING)
        if isinstance(module, ModuleType) and (own or name in WATCHED):
            yield module
            if own:
                yield from (
                    value for value in vars(module).values() if isinstance(value, type) and value.__module__ == name
                )


def _generators() -> Callable[[], None]:
    import numpy as np
    import torch

    own, shared, processor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]

    def put_back() -> None:
        random.setstate(own)
        np.random.set_state(shared)
        torch.set_rng_state(processor)
        if devices:
            torch.cuda.set_rng_state_all(devices)

    return put_back
