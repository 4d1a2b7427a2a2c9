"""Batches: cut once, by the plan alone, so that every executor and every interrupted run computes the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from photoguard_eval.pipeline.rows import EditTask, ImmunizeTask, PurifyTask, Row, Step, Task
from photoguard_eval.pipeline.steps import edit, immunize, purify
from photoguard_eval.pipeline.work import Work


@dataclass(frozen=True)
class Batch:
    """Tasks of one row, one step and one size that run at once.

    Attributes:
        row: Their row.
        step: What is done.
        tasks: What to.
        at_once: How many edits run at once where an attack repeats them.
        halved: Whether it is a part of one that a GPU's memory did not hold.
    """

    row: Row
    step: Step
    tasks: tuple[Task, ...]
    at_once: int
    halved: bool = False

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def name(self) -> str:
        """What is done, for progress and messages."""
        purified = f", purified by {self.row.id.purification}" if self.row.purifier else ""
        does = {"immunize": "immunize for", "purify": "purify for", "edit": "edit by"}[self.step]
        return f"{self.row.label}{'' if self.step == 'immunize' else purified}: {does} {self.row.editor}"

    def work(self, image_of: Callable[[str], bytes]) -> Work:
        """Read what the batch is computed from: whoever computes gets no path.

        Args:
            image_of: Returns the file of an image that it needs, by its key.
        """
        if self.step == "immunize":
            return immunize.gather([task.inputs for task in self.tasks if isinstance(task, ImmunizeTask)], self.at_once)
        images = [image_of(key) for key in self.needs]
        if self.step == "purify":
            return purify.gather([task.inputs for task in self.tasks if isinstance(task, PurifyTask)], images)
        return edit.gather([task.inputs for task in self.tasks if isinstance(task, EditTask)], images)

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the images that must be there before it can run."""
        return tuple(task.needs for task in self.tasks if task.needs)


def cut(row: Row, step: Step, size: int, at_once: int) -> Iterator[Batch]:
    """Cut a row's tasks of one step into batches of images of one size.

    Args:
        row: The row.
        step: The step.
        size: How many images a batch has at most.
        at_once: See `Batch`.
    """
    for part in _parts(row.tasks_of(step), size):
        yield Batch(row, step, part, at_once)


def halves(batch: Batch) -> tuple[Batch, ...]:
    """Return the two halves of a batch that a GPU's memory does not hold.

    Args:
        batch: Of at least two images.
    """
    size = len(batch) // 2
    starts = range(0, len(batch), size)
    return tuple(
        Batch(batch.row, batch.step, batch.tasks[start : start + size], min(batch.at_once, size), True)
        for start in starts
    )


def _parts(tasks: Sequence[Task], size: int) -> Iterator[tuple[Task, ...]]:
    groups: dict[tuple[int, int], list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.case.size(), []).append(task)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield tuple(group[start : start + size])
