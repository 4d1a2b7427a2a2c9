"""One table of options behind both doors."""

import argparse
import dataclasses

import pytest

from photoguard_eval.app.commands import COMMANDS
from photoguard_eval.app.main import build_parser, main
from photoguard_eval.app.options import EVALUATION_OPTIONS, SUITE_OPTIONS, request_of
from photoguard_eval.app.pytest_plugin import destination, pytest_addoption
from photoguard_eval.pipeline.request import EvaluationRequest

FIELDS = {field.name: field for field in dataclasses.fields(EvaluationRequest)}
GIVEN = {"type": {int: "3", float: "2.5"}, "name": {"setting": "eta=0.5", "dtype": "bfloat16"}}


class SuiteParser:
    """Stands in for pytest's parser: it hands options on to argparse, as pytest's does."""

    def __init__(self):
        self.parser = argparse.ArgumentParser()

    def getgroup(self, *_names):
        return self

    def addoption(self, *names, **given):
        self.parser.add_argument(*names, **given)


@pytest.fixture(scope="module")
def suite():
    """Return a function that reads the suite's options as a request."""
    declared = SuiteParser()
    pytest_addoption(declared)

    def read(arguments):
        values = declared.parser.parse_args([text.replace("--", "--photoguard-", 1) for text in arguments])
        return request_of(lambda option: getattr(values, destination(option)))

    return read


def arguments_for(option):
    if option.is_flag:
        return [f"--{option.name}"]
    value = GIVEN["name"].get(option.name) or GIVEN["type"].get(option.type, "text")
    return [f"--{option.name}={value}"]


def test_what_is_not_given_is_as_a_request_has_it(suite):
    options = build_parser().parse_args(["run"])
    assert suite([]) == request_of(lambda option: getattr(options, option.destination)) == EvaluationRequest()
    for option in EVALUATION_OPTIONS:
        if option.field and option.default is not None:
            assert option.default == FIELDS[option.field].default, option.name


def test_every_field_of_a_request_has_one_option():
    assert sorted(option.field for option in SUITE_OPTIONS if option.field) == sorted(FIELDS)


@pytest.mark.parametrize(
    "option", [option for option in EVALUATION_OPTIONS if option.field], ids=lambda option: option.name
)
def test_both_doors_hand_every_option_on(suite, option):
    arguments = arguments_for(option)
    options = build_parser().parse_args(["run", *arguments])
    request = request_of(lambda option: getattr(options, option.destination))
    assert suite(arguments) == request
    changed = {name for name in FIELDS if getattr(request, name) != getattr(EvaluationRequest(), name)}
    assert option.field in changed


def test_a_command_has_each_option_once():
    for command in COMMANDS:
        for part in getattr(command, "commands", (command,)):
            names = [name for option in part.all_options for name in option.names]
            assert len(names) == len(set(names)), part.name


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["--attack=noise", "", "--presett=smoke"], "options.txt, line 3: photoguard-eval run has no option --presett. "
         "Did you mean --preset? Correct the line, or take it out."),
        (["--candidates=3"], "options.txt, line 1: photoguard-eval run has no option --candidates."),
        (["--batch-size 4"], "'--batch-size 4' is two arguments, and a line holds one. Write --batch-size=4."),
        (["--attack=noise", "@{path}"], "options.txt is a file of options that names itself."),
        (["@{path}.missing"], "options.txt.missing cannot be read"),
    ],
)  # fmt: skip
def test_an_option_in_a_file_that_the_command_lacks_is_refused_with_its_line(tmp_path, capsys, lines, message):
    path = tmp_path / "options.txt"
    path.write_text("".join(f"{line}\n" for line in lines).format(path=path))
    assert main(["run", "--store", str(tmp_path / "store"), f"@{path}"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("photoguard-eval: ")
    assert not (tmp_path / "store").exists()


def test_a_file_is_text_with_values_and_files_of_its_own(tmp_path):
    (tmp_path / "inner.txt").write_text("--seed\n-1\n")
    (tmp_path / "outer.txt").write_text(f"--attack\nnoise\n@{tmp_path / 'inner.txt'}\n")
    from photoguard_eval.app.option_files import expand

    known = ["--attack", "--seed"]
    assert expand([f"@{tmp_path / 'outer.txt'}", "-x"], "it", known) == ["--attack", "noise", "--seed", "-1", "-x"]


def test_a_file_in_another_encoding_is_said(tmp_path, capsys):
    (tmp_path / "options.txt").write_bytes("--dataset=Größe".encode("utf-16"))
    assert main(["run", f"@{tmp_path / 'options.txt'}"]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err
