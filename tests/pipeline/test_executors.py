"""Executors: the same images bit by bit wherever they are computed, and what becomes of processes that end."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from random import Random

import pytest

from photoguard_eval.errors import ConfigurationError, ModelError, UnknownNameError
from photoguard_eval.pipeline.child import Child, ChildEnded
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.executors import EXECUTORS, ProcessesExecutor, SerialExecutor, default_executor, places
from photoguard_eval.pipeline.executors.base import ATTEMPTS
from photoguard_eval.pipeline.executors.places import worker_environments
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.steps import immunize
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.work import Failed, Finished
from tests.pipeline.test_execution import pictures

QUIET = Progress(quiet=True)
OPTIONS = {"attacks": ("noise", "encoder,steps=2"), "batch_size": 2, "threads": 1}


def computed_by(request, folder):
    """Compute all images of a request, without scores."""
    plan = build_plan(request)
    evaluation = Evaluation(plan, Store(folder), QUIET)
    try:
        evaluation.compute(plan.rows)
    finally:
        evaluation.close()
    return pictures(folder)


@pytest.fixture(scope="module")
def alone(make_request, tmp_path_factory):
    return computed_by(make_request(**OPTIONS), tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_every_executor_makes_the_same_images(make_request, tmp_path, alone, executor):
    request = make_request(**OPTIONS, executor=executor, workers=2)
    assert computed_by(request, tmp_path / "store") == alone
    assert alone


def kill_a_process(executor, chance):
    """Kill one that works; none under which two others ended, whose work would be given up."""
    lanes = [lane for lane in executor._lanes if lane._child and lane.task and lane.task.begun < ATTEMPTS]
    for lane in chance.sample(lanes, min(1, len(lanes))):
        os.kill(lane._child.process.pid, signal.SIGKILL)
        return True
    return False


def kill_an_actor(executor, chance):
    """Kill one of Ray's that works, as above."""
    running = [each for each in list(executor._running.values()) if each.begun < ATTEMPTS]
    for each in chance.sample(running, min(1, len(running))):
        executor._ray.kill(executor._actors[each.actor])
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("executor", "kill", "times"), [("processes", kill_a_process, 10), ("ray", kill_an_actor, 2)])
def test_whoever_is_killed_is_started_anew_and_the_images_are_the_same(
    make_request, tmp_path, alone, executor, kill, times
):
    plan, chance, killed = build_plan(make_request(**OPTIONS, executor=executor, workers=2)), Random(0), []

    def kill_at_random(executor):
        while len(killed) < times:
            time.sleep(chance.uniform(0, 0.7))
            # What has ended in between cannot be killed.
            with suppress(ProcessLookupError, AttributeError, ValueError):
                killed.extend([True] if kill(executor, chance) else [])

    with closing(Evaluation(plan, Store(tmp_path / "store"), QUIET)) as evaluation:
        threading.Thread(target=kill_at_random, args=(evaluation.executor,), daemon=True).start()
        evaluation.compute(plan.rows)
        times_killed = len(killed)
    assert times_killed == times
    assert pictures(tmp_path / "store") == alone


class Ending:
    """A child that answers when it is opened, and ends when it is asked for more."""

    started = 0

    def __init__(self, *_arguments):
        type(self).started += 1
        self.connection, writer = Pipe(duplex=False)
        writer.close()

    def send(self, message):
        pass

    def receive(self, *_limits):
        raise ChildEnded("its process ended with the signal SIGKILL before the work was done")

    def close(self):
        pass


def test_work_under_which_processes_end_again_and_again_is_given_up(make_request, monkeypatch):
    monkeypatch.setattr("photoguard_eval.pipeline.executors.processes.Child", Ending)
    plan = build_plan(make_request(**OPTIONS))
    with ProcessesExecutor(plan.session, plan.request) as executor:
        executor.submit(7, immunize.gather([plan.attack_rows[0].immunize[0].inputs], 1))
        number, outcome = executor.next()
    assert number == 7
    assert isinstance(outcome, Failed)
    assert f"Processes ended {ATTEMPTS} times under the same work: its process ended with the sig" in outcome.message
    assert "the same command resumes" in outcome.message
    assert Ending.started == ATTEMPTS


def test_a_model_that_cannot_be_loaded_is_said_by_whoever_should_load_it(make_request, tmp_path):
    plan = build_plan(make_request(**OPTIONS))
    nowhere = replace(plan.session, model=replace(plan.session.model, name=str(tmp_path / "nowhere")))
    with SerialExecutor(nowhere, plan.request) as executor, pytest.raises(UnknownNameError, match="Unknown model"):
        executor.prepare([], [])


@pytest.mark.slow
def test_an_error_of_another_process_keeps_its_class(make_request, tmp_path):
    plan = build_plan(make_request(**OPTIONS, workers=2))
    nowhere = replace(plan.session, model=replace(plan.session.model, name=str(tmp_path / "nowhere")))
    with ProcessesExecutor(nowhere, plan.request) as executor, pytest.raises(UnknownNameError, match="Unknown model"):
        executor.prepare([], [])


def test_serial_work_is_done_in_the_order_it_was_given(make_request):
    plan = build_plan(make_request(attacks=("noise",)))
    with SerialExecutor(plan.session, plan.request) as executor:
        for number in range(2):
            executor.submit(number, immunize.gather([plan.attack_rows[0].immunize[number].inputs], 1))
        outcomes = [executor.next() for _ in range(2)]
    assert [number for number, _ in outcomes] == [0, 1]
    assert all(isinstance(outcome, Finished) for _, outcome in outcomes)


def test_the_executor_follows_from_the_workers_if_none_is_named(make_request):
    assert default_executor(make_request()) == "serial"
    assert default_executor(make_request(workers=1)) == "serial"
    assert default_executor(make_request(workers=2)) == "processes"
    assert {"serial", "processes", "ray"} <= set(EXECUTORS.names())


def test_an_executor_that_is_not_there_is_said(make_request, monkeypatch):
    with pytest.raises(UnknownNameError, match="Did you mean 'processes'"):
        build_plan(make_request(executor="process"))
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = build_plan(make_request(executor="ray"))
    with pytest.raises(ConfigurationError, match=r"needs Ray, which is not installed .* pip install 'photoguard-eval"):
        Evaluation(plan, None, QUIET).executor  # noqa: B018


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_said(make_request, address):
    pytest.importorskip("ray")
    plan = build_plan(make_request(executor="ray", address=address))
    with pytest.raises(ConfigurationError, match=r"There is no Ray cluster at '.*127.0.0.1:1'"):
        Evaluation(plan, None, QUIET).executor  # noqa: B018


def test_each_gpu_has_its_process(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    request = EvaluationRequest(device="cuda")
    assert worker_environments(request, {}) == [{places.VISIBLE: number} for number in "012"]
    assert worker_environments(request, {places.VISIBLE: "5,7"}) == [{places.VISIBLE: "5"}, {places.VISIBLE: "7"}]
    assert len(worker_environments(EvaluationRequest(device="cuda", workers=2), {})) == 2
    with pytest.raises(ModelError, match="4 workers were asked for, and torch sees 3 GPUs"):
        worker_environments(EvaluationRequest(device="cuda", workers=4), {})


def test_processes_share_the_processor(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert worker_environments(EvaluationRequest(), {}) == [{"OMP_NUM_THREADS": "8"}]
    assert worker_environments(EvaluationRequest(workers=3), {}) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert worker_environments(EvaluationRequest(workers=3, threads=1), {}) == [{"OMP_NUM_THREADS": "1"}] * 3


ORPHAN = """
import sys, time
from photoguard_eval.pipeline.child import Child, serve

if len(sys.argv) > 2:
    print("working", flush=True)
    serve(lambda connection: time.sleep(60))
else:
    sys.path.insert(0, sys.argv[1])
    child = Child("orphan")
    child.process.wait()
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, tmp_path / "orphan.py", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        parent.kill()
        # The pipe is open as long as one of the two lives.
        assert parent.communicate(timeout=20)[0] == ""


ANSWERING = """
import os, sys, time
from photoguard_eval.pipeline.child import serve

def answer(connection):
    what = connection.recv_bytes()
    if what == b"end":
        os._exit(0)
    if what == b"fork":
        if os.fork() == 0:
            time.sleep(60)
        os._exit(7)
    if what == b"fill":
        held = bytearray(200 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(60)
    if what == b"wait":
        time.sleep(60)
    connection.send_bytes(what)

serve(answer)
"""


def living_in_group(group):
    """Return the processes of a group that have not ended; those that nobody has waited for have."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(stat.parent.name)
    return found


@pytest.mark.parametrize(
    ("asked", "limits", "reason"),
    [
        (b"end", {}, "its process ended with exit code 0 before the work was done"),
        (b"fork", {}, "exit code 7"),
        (b"wait", {"seconds": 0.1}, "it took more than 0.1 s and was stopped"),
        (b"fill", {"memory_mib": 150}, r"its process took [\d,]+ MiB of memory, 150 are allowed"),
    ],
)
def test_what_ends_a_child_is_said(tmp_path, monkeypatch, asked, limits, reason):
    (tmp_path / "answering.py").write_text(ANSWERING)
    monkeypatch.syspath_prepend(str(tmp_path))
    child = Child("answering")
    child.send(b"hello")
    assert child.receive() == b"hello"
    child.send(asked)
    with pytest.raises(ChildEnded, match=reason):
        child.receive(**limits)
    assert child.process.poll() is not None
    end = time.monotonic() + 10
    while living_in_group(child.process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not living_in_group(child.process.pid)


EXECUTOR = """
from photoguard_eval.pipeline.executors import SerialExecutor

class Counting(SerialExecutor):
    name = "counting"
    taken = 0

    def submit(self, number, work):
        type(self).taken += 1
        super().submit(number, work)
"""


def test_one_more_executor_is_one_file(make_request, tmp_path):
    file = tmp_path / "counting.py"
    file.write_text(EXECUTOR)
    plan = build_plan(make_request(attacks=("noise",), executor=f"{file}:Counting"))
    with closing(Evaluation(plan, Store(tmp_path / "store"), QUIET)) as evaluation:
        evaluation.compute(plan.attack_rows[:1])
        assert type(evaluation.executor).taken == 2, "a batch is immunized, and one is edited"
    assert len(pictures(tmp_path / "store")) == sum(len(row.tasks) for row in plan.attack_rows[:1])
