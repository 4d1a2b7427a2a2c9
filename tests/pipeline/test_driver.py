"""The driver, on an executor that computes nothing: what starts when, and what becomes of failures."""

import io

import pytest
import torch

from photoguard_eval.errors import ModelError, UnfinishedError
from photoguard_eval.images.arrays import encode_png
from photoguard_eval.pipeline.batching import cut, halves
from photoguard_eval.pipeline.driver import Driver, OnFailure
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.work import Artifact, EditWork, Failed, Finished

COST = {"seconds": 1, "gradient_evaluations": 0, "unet_calls": 0, "encoder_calls": 0, "peak_memory_mib": 0}
FACTS = {"linf_levels": 16, "rms_levels": 8, "cost": {**COST, "batch_size": 1}}


class Paper:
    """An executor on paper: the originals come back, the last work taken first, or what a test says instead."""

    def __init__(self, slots=1, instead=lambda work: None):
        self.slots, self.instead = slots, instead
        self.taken, self.done = [], []

    def submit(self, number, work):
        assert len(self.taken) < self.slots
        self.taken.append((number, work))

    def next(self):
        number, work = self.taken.pop()
        self.done.append(work)
        facts = {} if isinstance(work, EditWork) else FACTS
        images = tuple(Artifact(encode_png(torch.from_numpy(image)), facts) for image in work.images)
        return number, self.instead(work) or Finished(images)


@pytest.fixture
def plan(make_request):
    return build_plan(make_request(attacks=("noise", "encoder,steps=4")))


def batches_of(plan, size=2):
    return [batch for step in ("immunize", "edit") for row in plan.rows for batch in cut(row, step, size, size)]


def drive(plan, tmp_path, executor, stream=None, **on_failure):
    driver = Driver(Store(tmp_path / "store"), executor, Progress(stream or io.StringIO()), OnFailure(**on_failure))
    missing = {task.key for row in plan.rows for task in row.tasks}
    driver.run(batches_of(plan), missing)
    return driver


def test_all_images_are_computed_and_stored_wherever_they_end(plan, tmp_path):
    for slots in (1, 3):
        driver = drive(plan, tmp_path / str(slots), Paper(slots))
        keys = {task.key: task.facts for row in plan.rows for task in row.tasks}
        assert driver.computed == sum(len(row.tasks) for row in plan.rows)
        assert all(driver.store.image(key, kind) is not None for key, kind in keys.items())


def test_an_edit_starts_as_soon_as_its_images_are_there_and_not_before(plan, tmp_path):
    """Beside one attack that takes for ever everything else is done that does not need its images."""

    def takes_for_ever(work):
        return (getattr(work, "attack", ""), work.editor) == ("encoder,steps=4", "inpaint")

    class Slow(Paper):
        def next(self):
            self.taken.sort(key=lambda taken: not takes_for_ever(taken[1]))
            return super().next()

    executor = Slow(2)
    drive(plan, tmp_path, executor)
    slowest = [takes_for_ever(work) for work in executor.done].index(True)
    after = [(type(work), work.editor, len(work)) for work in executor.done[slowest + 1 :]]
    assert sorted(after, key=str) == [(EditWork, "inpaint", 1), (EditWork, "inpaint", 2)]


def test_an_attack_that_fails_is_stopped_alone_and_is_not_run_again(plan, tmp_path):
    failed = Failed("attack", "It broke.", "  mine.py:3", "Traceback …", "AttackError")
    executor, stream = Paper(1, lambda work: failed if getattr(work, "attack", "") == "noise" else None), io.StringIO()
    driver = drive(plan, tmp_path, executor, stream)
    assert [failure.error for failure in driver.failures.values()] == ["It broke."]
    assert sum(getattr(work, "attack", "") == "noise" for work in executor.done) == 1
    assert stream.getvalue().count("noise is stopped: It broke.\n  mine.py:3") == 1
    assert "Traceback" not in stream.getvalue()
    standing = {row.label for row in plan.rows if all(driver.store.image(task.key) for task in row.tasks)}
    assert standing == {"original", "re-roll", "encoder,steps=4"}


def test_a_run_may_end_at_the_first_failure_and_show_all_of_it(plan, tmp_path):
    failed = Failed("attack", "It broke.", "", "Traceback …", "AttackError")
    executor, stream = Paper(1, lambda work: failed), io.StringIO()
    with pytest.raises(UnfinishedError, match=r"noise failed, and the run was to end there.* It broke\."):
        drive(plan, tmp_path, executor, stream, fail_fast=True, debug=True)
    assert len(executor.done) == 1
    assert "Traceback …" in stream.getvalue()


def test_what_no_attack_is_to_blame_for_ends_the_run_as_the_error_that_it_was(plan, tmp_path):
    with pytest.raises(ModelError, match="no such model") as caught:
        drive(plan, tmp_path, Paper(1, lambda work: Failed("run", "no such model", "", "there", "ModelError")))
    assert "in another process\nthere" in str(caught.value.__cause__)


def test_a_batch_that_memory_does_not_hold_goes_on_in_halves_once(plan, tmp_path):
    executor = Paper(1, lambda work: Failed("memory", "CUDA out of memory") if len(work) > 1 else None)
    driver = drive(plan, tmp_path, executor)
    assert driver.computed == sum(len(row.tasks) for row in plan.rows)
    with pytest.raises(ModelError, match=r"memory does not hold 1 images at once\. Run with a smaller --batch-size"):
        drive(plan, tmp_path / "less", Paper(1, lambda work: Failed("memory", "CUDA out of memory")))


def test_halves_are_of_the_same_tasks_and_no_larger(plan):
    (batch,) = [batch for batch in batches_of(plan, 12) if batch.name == "original: edit by inpaint"]
    parts = halves(batch)
    assert [task for part in parts for task in part.tasks] == list(batch.tasks)
    assert [len(part) for part in parts] == [1, 1, 1]
    assert all(part.at_once <= len(part) for part in parts)


@pytest.mark.slow
def test_planning_and_driving_a_task_takes_less_than_a_millisecond(plan, tmp_path):
    """Of a hundred thousand tasks that are there already but one; reading the store is what it takes."""
    import time
    from dataclasses import replace

    row = plan.attack_rows[0]
    started = time.perf_counter()
    rows = [
        replace(row, edits=tuple(replace(task, inputs=replace(task.inputs, seed=seed)) for task in row.edits))
        for seed in range(3334)
    ]
    keys = {task.key for own in rows for task in own.tasks}
    batches = [batch for own in rows for batch in cut(own, "edit", 12, 12)]
    assert len(keys) > 10_000
    assert (time.perf_counter() - started) / len(keys) < 1e-3
    assert len(batches) == 3334


def test_a_row_that_was_too_large_once_goes_on_in_halves(plan, tmp_path):
    too_large = Failed("memory", "CUDA out of memory")
    executor = Paper(1, lambda work: too_large if len(work) > 1 else None)
    driver = Driver(Store(tmp_path / "store"), executor, Progress(io.StringIO()), OnFailure())
    missing = {task.key for row in plan.rows for task in row.tasks}
    batches = batches_of(plan)
    driver.run(batches * 2, missing)
    assert sum(len(work) > 1 for work in executor.done) == sum(len(batch) > 1 for batch in batches)
