"""What is said of an attack that fails: where in its own code, no more than a page, and all of it if asked for."""

import io
from dataclasses import replace

import pytest

from photoguard_eval.app.main import main
from photoguard_eval.attacks import ATTACKS
from photoguard_eval.errors import PAGE, PluginError, UnfinishedError, readable
from photoguard_eval.pipeline.driver import OnFailure
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from photoguard_eval.plugins.registry import Registry

CRASHING = """
from photoguard_eval.attacks import GradientAttack

def helper(images):
    return images @ undefined_name

class Crashing(GradientAttack):
    name = "crashing"

    def objective(self, model, batch, generator):
        return lambda images: helper(images)
"""


@pytest.fixture
def immunized(make_request, tmp_path):
    """Return a function that runs an attack of some source after the noise, and returns evaluation and report."""

    def run(source, **on_failure):
        (tmp_path / "mine.py").write_text(source)
        name = source.partition("class ")[2].partition("(")[0]
        plan = build_plan(make_request(attacks=(f"{tmp_path / 'mine.py'}:{name}", "noise")))
        stream = io.StringIO()
        store = Store(tmp_path / "store")
        evaluation = Evaluation(plan, store, Progress(stream), on_failure=OnFailure(**on_failure))
        try:
            evaluation.compute([replace(row, edits=()) for row in plan.attack_rows])
        except UnfinishedError as error:
            return evaluation, stream.getvalue(), error
        finally:
            evaluation.close()
        return evaluation, stream.getvalue(), None

    return run


def test_a_crash_is_shown_in_the_attack_s_own_code(immunized):
    evaluation, report, _ = immunized(CRASHING)
    (line,) = [line for line in report.splitlines() if "in helper" in line]
    assert line.endswith("mine.py:5, in helper: return images @ undefined_name")
    assert "mine.py:11, in <lambda>: return lambda images: helper(images)" in report
    assert "descent.py" not in report
    (failure,) = evaluation.failures
    assert "raised NameError: name 'undefined_name' is not defined" in failure.error
    assert "mine.py:5" not in failure.error, "the result holds the short form"
    assert any(evaluation.store.image(cell.key) for cell in evaluation.plan.attack_rows[1].immunize), "the others go on"


def test_the_whole_traceback_is_shown_if_asked_for(immunized):
    _, report, _ = immunized(CRASHING, debug=True)
    assert "Traceback (most recent call last)" in report
    assert "descent.py" in report


def test_a_run_ends_at_the_first_attack_that_fails_if_asked_to(immunized):
    evaluation, _, error = immunized(CRASHING, fail_fast=True)
    assert error.exit_code == 1
    assert "crashing failed, and the run was to end there" in str(error)
    assert not any(evaluation.store.image(cell.key) for cell in evaluation.plan.attack_rows[1].immunize)


def test_an_error_of_megabytes_is_cut_to_a_page_and_control_characters_are_escaped(immunized):
    raised = "raise ValueError('\\x1b[31m\\udcff' + 'very long ' * 10**6)"
    evaluation, report, _ = immunized(CRASHING.replace("return images @ undefined_name", raised))
    (failure,) = evaluation.failures
    assert r"raised ValueError: \x1b[31m\udcffvery long" in failure.error
    assert "more characters)" in failure.error
    assert len(failure.error) < 2 * PAGE
    assert len(report) < 4 * PAGE


def test_lines_are_cut_to_a_page_too():
    assert readable("line\n" * 300).count("line") == 40
    assert readable("é – ε\t×") == "é – ε\t×"


def test_what_cannot_be_imported_or_built_is_shown_in_its_own_code(tmp_path, capsys):
    file = tmp_path / "broken.py"
    file.write_text("import json\n\nvalue = json.loads('no')\n")
    with pytest.raises(PluginError) as caught:
        Registry("attack", object, "none").create(f"{file}:Broken")
    assert caught.value.frames == f"  {file}:3, in <module>: value = json.loads('no')"
    assert main(["run", "--attack", f"{file}:Broken", "--store", str(tmp_path / "store")]) == 2
    assert f"{file}:3, in <module>" in capsys.readouterr().err
    assert main(["run", "--attack", f"{file}:Broken", "--store", str(tmp_path / "store"), "--debug"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_that_a_plug_in_ends_is_no_success(monkeypatch, capsys, code):
    def end(*_arguments):
        raise SystemExit(code)

    monkeypatch.setattr("photoguard_eval.resources.embedded_checkpoints", end)
    assert main(["info"]) == 1
    assert f"ended the command with SystemExit({code})" in capsys.readouterr().err


def test_a_file_that_an_attack_reads_and_does_not_name_is_said_once(immunized, tmp_path):
    (tmp_path / "level.txt").write_text("2")
    reading = """
from pathlib import Path
from photoguard_eval import Attack

class Reading(Attack):
    name = "reading"

    def perturb(self, model, batch, generator):
        return batch.images + float((Path(__file__).parent / "level.txt").read_text()) / 255 * 0
"""
    _, report, _ = immunized(reading)
    assert report.count("reading reads level.txt, which does not count in its results") == 1
    named = reading.replace("    name =", "    inputs = {'level': Path(__file__).parent / 'level.txt'}\n    name =")
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "level.txt").write_text("2")
    (tmp_path / "named" / "mine.py").write_text(named)
    assert (
        ATTACKS.create(f"{tmp_path / 'named' / 'mine.py'}:Reading").undeclared({str(tmp_path / "named" / "level.txt")})
        == []
    )
