"""One training loop for all checkpoints: resumable, deterministic for a seed and a number of threads."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from photoguard_eval.files import write_atomically

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel

STATE, LOG, RECORD = "state", "losses.jsonl", "training.json"

LOG_EVERY = 25
"""Steps between two lines of the log."""

SAVE_EVERY_SECONDS = 240
"""Time between two checkpoints: what an interruption costs at most."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train. The rate rises, stays and falls to zero, so the length can be decided late.

    Attributes:
        steps: Optimiser steps in all.
        batch_size: Images a step.
        learning_rate: Rate between rise and fall.
        warmup: Steps of the rise.
        decay: Steps of the fall, at the end.
        seed: What all random numbers are derived from.
        average: Decay of the running average of the weights, which is what is exported.
        weight_decay: AdamW's.
        precision: "no" for float32; "bf16" computes in bfloat16, many times slower where the processor lacks it.
        compiled: Whether a UNet is compiled, which takes a C++ compiler.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    decay: int
    seed: int
    average: float = 0.998
    weight_decay: float = 1e-3
    precision: str = "no"
    compiled: bool = False


class Task(Protocol):
    """What is trained: modules, and a loss of a step."""

    modules: nn.ModuleDict

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """Return the loss under "loss", and beside it what is worth logging, all scalars."""
        ...

    def draw_grid(self, path: Path) -> None:
        """Write a picture of samples from the modules as they are."""
        ...


def train(task: Task, settings: Settings, folder: Path) -> None:
    """Train, or go on where an earlier run stopped, and leave the averaged weights in the task's modules.

    Args:
        task: What to train; its modules are changed.
        settings: How.
        folder: Takes checkpoints, `losses.jsonl`, sample grids and, at the end, `training.json`.
    """
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel
    from transformers import get_wsd_schedule

    folder.mkdir(parents=True, exist_ok=True)
    parameters = [value for value in task.modules.parameters() if value.requires_grad]
    accelerator = Accelerator(cpu=True, mixed_precision=settings.precision)
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay, foreach=True
    )
    schedule = get_wsd_schedule(
        optimizer,
        settings.warmup,
        settings.decay,
        num_stable_steps=settings.steps - settings.warmup - settings.decay,
        decay_type="1-sqrt",
    )
    average = EMAModel(parameters, decay=settings.average)
    state = TrainingState(folder / STATE, task.modules, optimizer, schedule, average)
    step, seconds = state.load()
    threads = sorted({*state.threads, torch.get_num_threads()})
    _cut_log(folder / LOG, step)
    started = saved = time.monotonic()
    while step < settings.steps:
        with accelerator.autocast():
            losses = task.losses(step)
        accelerator.backward(losses["loss"])
        norm = accelerator.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.step(parameters)
        step += 1
        now = time.monotonic()
        if step % LOG_EVERY == 0 or step == settings.steps:
            numbers = {name: round(float(value.detach()), 5) for name, value in {**losses, "norm": norm}.items()}
            _log(folder / LOG, {"step": step, "seconds": round(seconds + now - started), **numbers})
        if now - saved > SAVE_EVERY_SECONDS or step == settings.steps:
            state.save(step, seconds + now - started)
            saved = now
            average.store(parameters)
            average.copy_to(parameters)
            task.draw_grid(folder / "samples.png")
            average.restore(parameters)
    average.copy_to(parameters)
    if (folder / RECORD).exists():
        return
    record = {"settings": asdict(settings), "hours": round((seconds + time.monotonic() - started) / 3600, 2)}
    record |= {"threads": threads, "torch": torch.__version__}
    write_atomically(folder / RECORD, json.dumps(record, indent=1).encode())


class TrainingState:
    """A checkpoint on disk, whole or absent.

    Attributes:
        threads: Numbers of threads that the training has run with.
    """

    def __init__(
        self,
        folder: Path,
        modules: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        average: EMAModel,
    ) -> None:
        """Name what is kept, and where."""
        self.folder = folder
        self.threads: list[int] = []
        self.parts = {"modules": modules, "optimizer": optimizer, "schedule": schedule, "average": average}

    def load(self) -> tuple[int, float]:
        """Put back what was saved; return the steps and seconds that were behind it, zeros where nothing was."""
        previous = self.folder.with_suffix(".previous")
        if not self.folder.exists() and previous.exists():
            previous.rename(self.folder)
        if not self.folder.exists():
            return 0, 0.0
        state = torch.load(self.folder / "state.pt", weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.threads = state["threads"]
        return state["step"], state["seconds"]

    def save(self, step: int, seconds: float) -> None:
        """Write a checkpoint beside the last one, then put it in its place."""
        fresh, previous = self.folder.with_suffix(".fresh"), self.folder.with_suffix(".previous")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        self.threads = sorted({*self.threads, torch.get_num_threads()})
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save({"step": step, "seconds": seconds, "threads": self.threads, **parts}, fresh / "state.pt")
        shutil.rmtree(previous, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(previous)
        fresh.rename(self.folder)
        shutil.rmtree(previous, ignore_errors=True)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of a step, so that a resumed run draws what the uninterrupted one would."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def _log(path: Path, line: Mapping[str, float]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _cut_log(path: Path, step: int) -> None:
    """Forget lines that were logged after the checkpoint from which the training goes on."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_atomically(path, "".join(line + "\n" for line in kept).encode())
