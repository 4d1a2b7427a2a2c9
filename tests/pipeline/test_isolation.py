"""Attacks of others run in processes of their own: what reaches the others, and what ends one alone."""

import subprocess
import sys
from dataclasses import replace

import pytest

from photoguard_eval.errors import AttackError, DuplicateNameError, PluginError, UnknownNameError
from photoguard_eval.pipeline.attacks import names_foreign_code, plan_attack
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.isolation import Isolation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.session import Limits
from photoguard_eval.pipeline.steps import immunize
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.work import Failed
from photoguard_eval.pipeline.worker import Worker

SOURCE = """
import os, signal, sys, threading, time
from photoguard_eval import Attack

class Mine(Attack):
    name = "mine"
    title = "Mine"
    paper = "Me 2030"
    sees_mask = False

    def __init__(self, what="add", level: float = 8, **options):
        super().__init__(**options)
        self.what, self.level = what, level

    def perturb(self, model, batch, generator):
        if self.what == "exit":
            os._exit(0)
        if self.what == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.what == "system":
            raise SystemExit(0)
        if self.what == "loop":
            while True:
                time.sleep(0.01)
        if self.what == "left":
            threading.Thread(target=time.sleep, args=(60,)).start()
        if self.what == "print":
            print("x" * 10**6)
            sys.stdout.flush()
        if self.what == "over":
            return batch.images + 1
        return (batch.images + self.level / 255).clamp(0, 1)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


def plan_of(make_request, *specs, **options):
    return build_plan(make_request(attacks=specs, threads=1, **options))


def test_an_attack_of_others_is_described_and_never_imported(make_request, file):
    command = (
        "import sys\n"
        "from photoguard_eval.pipeline.attacks import plan_attack\n"
        "from photoguard_eval.pipeline.presets import find_preset\n"
        f"planned = plan_attack({f'{file}:Mine,level=4'!r}, find_preset('smoke'))\n"
        "print(planned.plugin.label, any('photoguard_eval_file' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine,level=4", "False"]
    planned = plan_attack(f"{file}:Mine,level=4", find_preset("smoke"))
    trusted = plan_attack(f"{file}:Mine,level=4", find_preset("smoke"), trusted=True)
    for name in ("name", "label", "arguments", "inputs", "source", "fingerprint", "declared", "left_out"):
        assert getattr(planned.plugin, name) == getattr(trusted.plugin, name)
    for name in ("title", "paper", "sees_mask", "is_finished", "gradient_evaluations"):
        assert getattr(planned.plugin.instance, name) == getattr(trusted.plugin.instance, name)
    assert planned.source.described is not None
    assert trusted.source.described is None


def test_what_is_wrong_with_an_attack_of_others_is_said_as_if_it_were_built_here(file):
    with pytest.raises(UnknownNameError, match=r"argument of attack 'mine' 'levle'.* Did you mean 'level'"):
        plan_attack(f"{file}:Mine,levle=4", find_preset("smoke"))
    with pytest.raises(PluginError, match="There is no file"):
        plan_attack(f"{file.parent / 'none.py'}:Mine", find_preset("smoke"))
    file.write_text("raise SystemExit(0)")
    with pytest.raises(PluginError, match="could not be imported: SystemExit"):
        plan_attack(f"{file}:Mine", find_preset("smoke"))


@pytest.mark.parametrize(
    ("spec", "foreign"),
    [
        ("noise", False),
        ("encoder,target=zero", False),
        ("ensemble,attacks=encoder(steps=1)+noise", False),
        ("encoder,target=some/folder/picture.png", False),
        ("some/file.py:Mine", True),
        ("package.module:Mine,steps=3", True),
        ("ensemble,attacks=noise+some/file.py:Mine(steps=1)", True),
        ("eot,attack=package.module:Mine", True),
    ],
)
def test_code_of_others_is_known_by_its_spec(spec, foreign):
    assert names_foreign_code(spec) == foreign


DISGUISED = """
import __main__ as isolated
whole = isolated.facts_of

def as_noise(attack):
    from photoguard_eval.attacks import ATTACKS
    return {**whole(ATTACKS.create("noise")), "source": "photoguard_eval"}

isolated.facts_of = as_noise
"""


def test_an_attack_that_says_it_is_another_is_not_taken_for_it(make_request, file):
    file.write_text(SOURCE + DISGUISED)
    disguised = plan_attack(f"{file}:Mine", find_preset("smoke")).plugin
    assert (disguised.label, disguised.source) == ("noise", f"{file}:Mine")
    with pytest.raises(DuplicateNameError, match="Two attacks are named 'noise'"):
        plan_of(make_request, "noise", f"{file}:Mine")
    apart = plan_of(make_request, f"{file}:Mine").attack_rows[0].immunize[0].key
    assert apart != plan_of(make_request, "noise").attack_rows[0].immunize[0].key, (
        "its images are not those of the other"
    )


def test_what_a_trusted_attack_made_is_made_again_without_trust(make_request, file):
    plans = [plan_of(make_request, f"{file}:Mine", trusted=trusted) for trusted in (False, True)]
    apart, here = ({task.key for row in plan.attack_rows for task in row.immunize} for plan in plans)
    assert not apart & here


@pytest.fixture
def isolation_of(make_request, file):
    """Return a function that makes the isolation of an attack, and work for it."""
    opened = []

    def make(what, limits=None):
        plan = plan_of(make_request, f"{file}:Mine,what={what}")
        session = replace(plan.session, limits=limits or Limits(60))
        opened.append(Isolation(session, f"mine,what={what}"))
        return opened[-1], immunize.gather([task.inputs for task in plan.attack_rows[0].immunize], 2)

    yield make
    for isolation in opened:
        isolation.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "limits", "message"),
    [
        ("exit", None, "its process ended with exit code 0 before the work was done"),
        ("signal", None, "its process ended with the signal SIGTERM"),
        ("system", None, "raised SystemExit: 0"),
        ("loop", Limits(0.5), "it took more than 1 s and was stopped"),
        ("add", Limits(60, 50), r"its process took [\d,]+ MiB of memory, 50 are allowed"),
    ],
)
def test_whatever_ends_an_attack_is_its_own_failure(isolation_of, what, limits, message):
    isolation, work = isolation_of(what, limits)
    with pytest.raises(AttackError, match=message):
        isolation.perturb(work)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["add", "left", "print"])
def test_what_an_attack_leaves_behind_or_prints_does_not_matter(isolation_of, what):
    isolation, work = isolation_of(what)
    images, cost, warnings = isolation.perturb(work)
    assert images.shape == (2, 3, 64, 64)
    assert (images * 255).max() > 8
    assert cost["seconds"] > 0
    assert warnings == ()


@pytest.mark.slow
def test_rows_are_the_same_with_a_saboteur_beside_them_and_the_exit_code_says_so(make_request, file, tmp_path):
    plan = plan_of(make_request, "noise", f"{file}:Mine,what=exit", f"{file}:Mine,what=over")
    evaluation = Evaluation(plan, Store(tmp_path / "store"), Progress(quiet=True))
    evaluation.compute([row for row in plan.attack_rows if row.editor == "inpaint"])
    evaluation.close()
    assert {failure.attack for failure in evaluation.failures} == {"mine,what=exit", "mine,what=over"}
    (over,) = [failure.error for failure in evaluation.failures if "over" in failure.attack]
    assert "over the budget of 16.000" in over, "it is measured where the attack has no say"
    (row,) = [row for row in plan.attack_rows if (row.label, row.editor) == ("noise", "inpaint")]
    assert all(evaluation.store.image(task.key) for task in row.tasks)


def test_an_answer_that_is_none_is_that_attack_s_failure(make_request, file, monkeypatch):
    plan = plan_of(make_request, f"{file}:Mine")
    work = immunize.gather([task.inputs for task in plan.attack_rows[0].immunize], 2)

    class Lying:
        def __init__(self, *_arguments):
            self.answers = [b"{}\n", self.lie]

        def send(self, message):
            pass

        def receive(self, *_limits):
            return self.answers.pop(0)

        def close(self):
            return 0

    monkeypatch.setattr("photoguard_eval.pipeline.isolation.Child", Lying)
    for lie, message in {
        b"no json": "answered with something else",
        b'{"cost": {}}\n': r"returned 0 bytes; expected float32 images of shape \(2, 3, 64, 64\)",
        b'{"cost": {}}\n' + bytes(4 * work.images.size): "did not say what it cost",
        b"\x80\x04": "answered with something else",
    }.items():
        Lying.lie = lie
        with pytest.raises(AttackError, match=message):
            Isolation(plan.session, "mine").perturb(work)


@pytest.mark.slow
def test_a_trusted_attack_runs_here_and_makes_the_same_images(make_request, file):
    outcomes = []
    for trusted in (False, True):
        plan = plan_of(make_request, f"{file}:Mine", trusted=trusted)
        worker = Worker(plan.session)
        outcomes.append(worker.perform(immunize.gather([task.inputs for task in plan.attack_rows[0].immunize], 2)))
        worker.close()
    apart, here = outcomes
    assert not isinstance(apart, Failed)
    assert [artifact.png for artifact in apart.artifacts] == [artifact.png for artifact in here.artifacts]
