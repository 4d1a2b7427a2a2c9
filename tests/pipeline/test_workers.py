"""Processes that share an evaluation: the same result as one, each computing a part, and what happens if one fails."""

import os
import re
import subprocess
import sys
import time
from multiprocessing import Pipe
from threading import Barrier, Thread
from types import SimpleNamespace

import pytest

from photoguard_eval.app.main import main
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline import workers
from photoguard_eval.pipeline.execution import Share
from photoguard_eval.pipeline.plan import EvaluationRequest, build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.workers import WorkerError, _await_end, evaluate, worker_environments

QUIET = Progress(quiet=True)


def test_two_processes_give_the_result_of_one_and_go_on_after_an_attack_failed(make_request, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from photoguard_eval import Attack\n"
        "class Bad(Attack):\n    name = 'bad'\n"
        "    def perturb(self, model, batch, generator):\n        return batch.images * 0\n"
    )
    options = {"attacks": ("noise", "encoder,steps=2", f"{tmp_path / 'bad.py'}:Bad"), "batch_size": 2}
    alone, _ = evaluate(build_plan(make_request(**options)), Store(tmp_path / "alone"), QUIET)
    plan, store = build_plan(make_request(**options, workers=2)), Store(tmp_path / "shared")
    began = time.monotonic()
    shared, computed = evaluate(plan, store, QUIET)
    assert shared.provenance.seconds > 0.9 * (time.monotonic() - began), "the other process and the scores take time"
    # Two images and three edits of each attack, and of the originals the edits with two seeds, under two editors.
    assert computed == 2 * (2 * (2 + 3) + 3 + 3)
    assert shared.id == alone.id
    assert [failure.attack for failure in shared.failures] == ["bad"]
    assert len(shared.methods) == 4
    for method, other in zip(shared.methods, alone.methods, strict=True):
        assert method.metrics["ssim"].mean == pytest.approx(other.metrics["ssim"].mean, abs=0.005)
        assert method.cost.batch_size == other.cost.batch_size


@pytest.mark.slow
def test_a_process_that_is_killed_stops_those_that_wait_for_it(make_request, tmp_path):
    (tmp_path / "killer.py").write_text(
        "import os\nfrom photoguard_eval import Attack\n"
        "class Killer(Attack):\n    name = 'killer'\n"
        "    def perturb(self, model, batch, generator):\n"
        "        return batch.images if batch.editor.name == 'img2img' else os.kill(os.getpid(), 9)\n"
    )
    request = make_request(attacks=(f"{tmp_path / 'killer.py'}:Killer",), workers=2, batch_size=2)
    with pytest.raises(WorkerError, match=r"exit codes \[0, -9\]|exit codes \[-9, 0\]"):
        evaluate(build_plan(request), Store(tmp_path / "store"), QUIET)


ENDING = """
import os
from photoguard_eval import Attack

class Ending(Attack):
    name = "ending"

    def perturb(self, model, batch, generator):
        os._exit(0)
"""


@pytest.mark.slow
def test_an_attack_that_ends_its_process_is_no_success(make_request, tmp_path, capsys):
    (tmp_path / "ending.py").write_text(ENDING)
    command = ["run", "--preset", "smoke", "--dataset", make_request().dataset, "--quiet"]
    command += ["--attack", f"{tmp_path / 'ending.py'}:Ending", "--store", str(tmp_path / "store")]
    assert main([*command, "--reports", str(tmp_path / "reports")]) == 1
    assert re.search(r"exit codes \[0\] .* while the attack 'ending' ran", capsys.readouterr().err)
    assert Store(tmp_path / "store").results() == []


def test_attacks_of_others_run_in_a_process_of_their_own_until_their_images_are_there(
    make_request, tmp_path, monkeypatch
):
    (tmp_path / "ending.py").write_text(ENDING.replace("os._exit(0)", "return batch.images"))
    spec = f"{tmp_path / 'ending.py'}:Ending"
    asked = []
    monkeypatch.setattr(workers, "_run_workers", lambda *arguments: asked.append(arguments[2]) or [])
    for attack in (spec, f"ensemble,attacks={spec}+noise,trials=1,denoising_steps=1", "noise"):
        evaluate(build_plan(make_request(attacks=(attack,))), Store(tmp_path / "store"), QUIET)
    assert asked == [[{}], [{}]], "one process, which has all that this one has; none for attacks of the package"
    evaluate(build_plan(make_request(attacks=(spec,))), Store(tmp_path / "store"), QUIET)
    assert len(asked) == 2, "nothing was missing"


class ClosingFirst:
    """A process whose files are closed before its exit code is known, which is known once it was waited for."""

    def __init__(self, code):
        self.code, self.exitcode = code, None
        self.sentinel, self.held = os.pipe()
        self.process, self.finished = self, not code
        self.receiver, self.sender = Pipe(duplex=False)

    def hear(self):
        return False

    def close(self):
        os.close(self.held)

    def is_alive(self):
        self.join()
        return False

    def join(self):
        self.exitcode = self.code


def test_those_that_wait_for_a_killed_process_are_released_though_its_exit_code_comes_late():
    killed, waiting = ClosingFirst(-9), ClosingFirst(0)
    killed.close()
    released = []
    barrier = SimpleNamespace(abort=lambda: (released.append(killed.exitcode), waiting.close()))
    thread = Thread(target=_await_end, args=([killed, waiting], barrier), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert released == [-9]


ORPHAN = """
import multiprocessing, threading, time
from photoguard_eval.pipeline.workers import _end_with_parent

def work():
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print("working", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work, daemon=True)
    process.start()
    process.join()
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    with subprocess.Popen([sys.executable, tmp_path / "orphan.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        parent.kill()
        # The pipe is open as long as one of the two lives.
        assert parent.communicate(timeout=20)[0] == ""


def test_what_a_process_cannot_do_is_handed_back_and_stops_the_others(make_request, tmp_path):
    barrier, (receiver, sender) = Barrier(2), Pipe(duplex=False)
    request = make_request(model=str(tmp_path / "nowhere"))
    workers._work(request, tmp_path / "store", Share(1, 2), barrier, sender, quiet=True)
    worker = workers._Worker(None, receiver)
    assert worker.hear()
    assert "Unknown model" in worker.error[0]
    assert worker.error[1] == 2
    assert barrier.broken


def test_each_gpu_has_its_process(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    request = EvaluationRequest(device="cuda")
    assert worker_environments(request, {}) == [{workers.VISIBLE: number} for number in "012"]
    assert worker_environments(request, {workers.VISIBLE: "5,7"}) == [{workers.VISIBLE: "5"}, {workers.VISIBLE: "7"}]
    assert len(worker_environments(EvaluationRequest(device="cuda", workers=2), {})) == 2
    with pytest.raises(ModelError, match="4 workers were asked for, and torch sees 3 GPUs"):
        worker_environments(EvaluationRequest(device="cuda", workers=4), {})


def test_processes_share_the_processor(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert worker_environments(EvaluationRequest(), {}) == [{"OMP_NUM_THREADS": "8"}]
    assert worker_environments(EvaluationRequest(workers=3), {}) == [{"OMP_NUM_THREADS": "2"}] * 3
