"""The file of a baseline: its form, where it lies, and what an earlier version wrote."""

import json
import os
import shutil

import pytest

from photoguard_eval import resources
from photoguard_eval.analysis.baseline import make_baseline, read_baseline
from photoguard_eval.analysis.baseline_places import file_name, find_baseline
from photoguard_eval.analysis.gate import bless, check
from photoguard_eval.errors import BaselineError
from tests.analysis.test_gate import with_plugin_metric, with_preset_labels, with_shift


@pytest.fixture
def result(finished):
    return with_preset_labels(finished[1])


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as a wheel installs it, and a user's project as the current folder: returns both."""
    package, project = tmp_path / "site-packages" / "photoguard_eval", tmp_path / "project"
    (package / "_shared" / "baselines").mkdir(parents=True)
    project.mkdir()
    monkeypatch.setattr(resources, "PACKAGE", package)
    monkeypatch.chdir(project)
    return package / "_shared" / "baselines", project


def test_it_is_read_as_it_was_written(result, tmp_path):
    bless(result, tmp_path / "baseline.json")
    assert read_baseline(tmp_path / "baseline.json") == make_baseline(result)


def test_it_holds_the_score_of_every_case_on_one_line_for_each_threshold(result, tmp_path):
    bless(result, tmp_path / "baseline.json")
    lines = (tmp_path / "baseline.json").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if '"encoder","editor":"inpaint","metric":"ssim"' in line)
    entry = json.loads(line.strip().rstrip(","))
    scores = [case.scores["ssim"] for case in result.row("encoder", "inpaint").cases]
    assert entry["scores"] == [round(score, 6) for score in scores]
    assert not any('"metric":"fid"' in line and "scores" in line for line in lines)
    assert sum('"dog-in-a-meadow-0"' in line for line in lines) == 1, "ids stand once"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["thresholds"][0]["scores"].pop(), "is no baseline: "),
        (lambda data: data["thresholds"][0].update(scores=[0.1, 0.2]), "is not the mean of the scores"),
        (lambda data: data["thresholds"][0].update(value=float("nan")), "value: Input should be a finite number"),
        (lambda data: data["thresholds"][0].update(tolerance=-1), "tolerance: Input should be greater than or equal"),
        (lambda data: data["thresholds"].append(data["thresholds"][0]), "two thresholds of one row and metric"),
        (lambda data: data["conditions"]["cases"].pop(), "not one value for each of the 3 cases"),
        (lambda data: data["conditions"]["edit_seeds"].update(inpaint=[1]), "not one value for each of the 3 cases"),
        (lambda data: data.update(conditions=[]), "conditions: Input should be"),
        (lambda data: data.update(schema_version=1), "is no baseline: conditions"),
        (lambda data: data.update(schema_version=1, thresholds=7), "is no baseline: conditions"),
    ],
)
def test_a_damaged_one_is_one_clear_error(result, tmp_path, change, message):
    path = tmp_path / "baseline.json"
    bless(result, path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(BaselineError, match=message):
        check(result, path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "7", '{"schema_version": [1]}'])
def test_json_of_another_shape_is_one_clear_error(tmp_path, text):
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(BaselineError, match=r"cannot be read|baseline schema"):
        read_baseline(tmp_path / "baseline.json")


def schema_1(result, tolerance):
    """Return what an earlier version recorded of a result."""
    new = make_baseline(result).model_dump(mode="json")
    conditions = {name: new["conditions"][name] for name in ("model", "weights_sha256", "dataset", "dataset_sha256")}
    conditions |= {name: new["conditions"][name] for name in ("preset", "n", "editors", "extractors")}
    kept = ("attack", "editor", "metric", "value", "side")
    thresholds = [
        {**{name: entry[name] for name in kept}, "tolerance": tolerance, "reason": "half a standard error"}
        for entry in new["thresholds"]
    ]
    return {
        **{name: new[name] for name in ("package_version", "recorded", "claims")},
        **conditions,
        "schema_version": 1,
        "thresholds": thresholds,
    }


def test_means_that_an_earlier_version_recorded_are_compared_with_its_tolerance(result, tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(schema_1(result, 0.05)))
    other_seed = result.model_copy(update={"provenance": result.provenance.model_copy(update={"seed": 9})})
    assert check(other_seed, path).passed, "its seeds are not known"

    def failed_after(shift):
        outcomes = check(with_shift(result, "encoder", "ssim", shift), path).thresholds
        return [outcome for outcome in outcomes if not outcome.passed]

    assert failed_after(0.04) == []
    failed = failed_after(0.06)
    assert {(outcome.attack, outcome.metric) for outcome in failed} == {("encoder", "ssim")}
    assert {outcome.cases_text for outcome in failed} == {""}
    assert "record the baseline anew with --bless" in failed[0].reason


def test_blessing_over_it_keeps_no_row_whose_seeds_nobody_knows(result, tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(schema_1(result, 0.05)))
    only_noise = tuple(method for method in result.attack_rows if method.attack.name == "noise")
    changes = bless(result.replaced(attack_rows=only_noise), path).changes
    assert any(line.startswith("encoder / inpaint / ssim: ") and line.endswith("→ none") for line in changes)
    assert {entry.attack for entry in read_baseline(path).thresholds} == {"original", "re-roll", "noise"}


def test_the_package_s_own_baselines_can_be_read():
    paths = sorted(resources.baselines_folder().glob("*.json"))
    assert paths
    for path in paths:
        assert read_baseline(path).thresholds


def test_a_user_s_baseline_is_recorded_in_the_user_s_project(result, installed):
    carried, project = installed
    blessing = bless(with_plugin_metric(result))
    assert (project / blessing.path).resolve() == project / "baselines" / file_name(result)
    assert blessing.lines[0].endswith(f"in baselines/{file_name(result)}.")
    assert list(carried.iterdir()) == []
    assert check(with_plugin_metric(result)).baseline == f"baselines/{file_name(result)}"


def test_the_user_s_own_comes_before_the_one_that_the_package_carries(result, installed):
    carried, project = installed
    assert find_baseline(result) is None
    bless(with_shift(result, "encoder", "ssim", -0.1), carried / file_name(result))
    report = check(result)
    assert report.baseline == f"{file_name(result)}, which the package carries"
    assert not report.passed
    bless(result)
    assert check(result).passed
    elsewhere = project.parent / "given.json"
    shutil.copy(carried / file_name(result), elsewhere)
    assert check(result, elsewhere).baseline == "given.json"
    assert not check(result, elsewhere).passed


def test_the_package_s_checkout_records_the_package_s_baselines_for_who_works_there(result, tmp_path, monkeypatch):
    checkout, project = tmp_path / "checkout", tmp_path / "project"
    (checkout / "photoguard_eval").mkdir(parents=True)
    (checkout / "reports" / "baselines").mkdir(parents=True)
    (checkout / "docs").mkdir()
    (checkout / "pyproject.toml").touch()
    project.mkdir()
    monkeypatch.setattr(resources, "PACKAGE", checkout / "photoguard_eval")
    for folder, place in (
        (checkout, checkout / "reports" / "baselines"),
        (checkout / "docs", checkout / "reports" / "baselines"),
        (project, project / "baselines"),
    ):
        monkeypatch.chdir(folder)
        path = bless(result).path
        assert path.resolve() == place / file_name(result)
        path.unlink()


def test_names_that_are_no_utf_8_are_escaped(result, tmp_path, monkeypatch):
    """As those of a folder or file whose name is in another encoding."""
    monkeypatch.setattr(resources, "baselines_folder", lambda: tmp_path)
    odd = os.fsdecode(b"mod\xe8le")
    attack = result.attack_rows[1].attack.model_copy(update={"label": odd})
    methods = [method.model_copy(update={"attack": attack}) for method in result.attack_rows[1:2]]
    model, dataset = (part.model_copy(update={"name": odd}) for part in (result.model, result.dataset))
    named = result.replaced(model=model, dataset=dataset, attack_rows=tuple(methods))
    blessing = bless(named)
    blessing.path.read_text(encoding="utf-8")
    assert blessing.path.name == "mod_le-mod_le-smoke.json"
    assert check(named).passed
    assert read_baseline(blessing.path) == make_baseline(named)
