import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoguard_eval.analysis.board_rows import leaderboard_rows
from photoguard_eval.analysis.gate import check
from photoguard_eval.errors import StoreError
from photoguard_eval.reports import gate_report, leaderboard_report
from photoguard_eval.results.facts import AttackInfo, FailedAttack, Provenance, budget_levels
from photoguard_eval.results.files import read_result, write_result
from photoguard_eval.results.rows import Budget
from photoguard_eval.results.schema import without_pictures

DATA = Path(__file__).parent / "data"
RECORDED = json.loads((DATA / "result-schema-2.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("version", [1, 2])
def test_results_of_every_schema_version_load(version):
    result = read_result(DATA / f"result-schema-{version}.json")
    assert result.attack_rows[0].metrics["ssim"].std is not None
    assert result == read_result(DATA / "result-schema-2.json")


def test_the_budget_of_an_earlier_result_is_an_axis_and_no_part_of_its_labels(tmp_path):
    def write(data):
        attack = data["methods"][0]["attack"]
        attack["label"] = "noise,epsilon=8/255,norm=l2"
        attack["threat_model"] |= {"epsilon": 8 / 255, "norm": "l2"}

    row = read_result(changed(tmp_path, write)).attack_rows[0]
    assert (row.label, str(row.id.budget)) == ("noise", "l2 8/255")
    assert not {"epsilon", "norm"} & set(row.attack.arguments)


def test_rows_are_selected_by_axis():
    result = read_result(DATA / "result-schema-2.json")
    budget = Budget(norm="linf", levels=16)
    (row,) = result.select(attack="noise", editor="img2img", budget=budget, model="inpaint-a", seeds="own")
    assert result.select(attack=None, editor="img2img") == (result.original("img2img"),)
    assert row.id.reference == result.original("img2img").id
    assert result.select(budget=Budget(norm="l2", levels=16)) == ()
    assert len(result.select(purification=None)) == len(result.rows)


def test_budgets_that_differ_print_otherwise():
    texts = [str(Budget(norm=norm, levels=budget_levels(e))) for norm, e in (("linf", 16 / 255), ("linf", 0.06275))]
    assert texts == ["16/255", "16.001/255"]


def changed(tmp_path, change):
    data = json.loads((DATA / "result-schema-1.json").read_text(encoding="utf-8"))
    change(data)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(schema_version=3), "result schema 3; this version reads 1 to 2"),
        (lambda data: data.update(surprise=1), "surprise: Extra inputs"),
        (lambda data: data.pop("methods"), "it lacks what schema 1 has .*methods"),
    ],
)
def test_results_of_another_form_are_refused(tmp_path, change, message):
    with pytest.raises(StoreError, match=message):
        read_result(changed(tmp_path, change))


def test_a_damaged_result_is_refused(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(StoreError, match="no readable result"):
        read_result(tmp_path / "result.json")


ROW = ("rows", 2)
MISSING = object()
BROKEN = {
    "negative budget": ((*ROW, "attack", "threat_model", "epsilon"), -0.1, "greater than 0"),
    "not a number": (("provenance", "seconds"), float("nan"), "seconds: Input should be a finite number"),
    "negative time": (("provenance", "seconds"), -1, "greater than or equal to 0"),
    "no date": (("provenance", "started"), "yesterday", "'yesterday' is no date and time"),
    "no time zone": (("provenance", "started"), "2030-01-02T03:04:05", "has no time zone"),
    "text for a number": ((*ROW, "cases", 0, "linf_levels"), "16", "linf_levels: Input should be a valid number"),
    "negative change": ((*ROW, "cases", 0, "linf_levels"), -16, "greater than or equal to 0"),
    "infinite score": ((*ROW, "cases", 0, "scores", "ssim"), float("inf"), "finite number"),
    "a score beyond all statistics": (
        (*ROW, "cases", 0, "scores", "ssim"),
        1e308,
        "less than or equal to 1000000000000",
    ),
    "negative count": (("dataset", "n"), -3, "greater than or equal to 1"),
    "another count": (("dataset", "n"), 4, "n is 4, and there are 3 cases"),
    "another count of a row": ((*ROW, "n"), 2, "n is 2, and there are 3 cases"),
    "no batch": ((*ROW, "cost", "batch_size"), 0, "greater than or equal to 1"),
    "an unknown metric": ((*ROW, "metrics", "beauty"), {"mean": 1.0}, "beauty, which is not among the metrics"),
    "a score that is not summed up": ((*ROW, "cases", 0, "scores", "beauty"), 1.0, "differ in beauty"),
    "a case that is there twice": (
        ("cases", 1, "id"),
        "dog-in-a-meadow-0",
        "the case dog-in-a-meadow-0 is there twice",
    ),
    "another case": ((*ROW, "cases", 0, "case_id"), "cat-0", "are not those of the evaluation"),
    "a row that is there twice": (
        ("rows", 3, "attack", "label"),
        "noise",
        "noise at 16/255 under inpaint .* is there twice",
    ),
    "a row of an unknown editor": ((*ROW, "editor"), "outpaint", "no row of unprotected images to be compared with"),
    "an attack's row without attack": ((*ROW, "attack"), None, "is there twice"),
    "half of the quartiles": ((*ROW, "metrics", "ssim", "median"), None, "all three quartiles, or none"),
    "no rows of originals": (("rows", 0), MISSING, "one row of the originals for each editor"),
    "a value too few": ((*ROW, "cases", 0, "scores", "ssim"), MISSING, "differ in ssim"),
    "a summary too few": ((*ROW, "metrics", "ssim"), MISSING, "differ in ssim"),
    "a set metric too few": ((*ROW, "metrics", "fid"), MISSING, "some rows of attacks have values of fid, others"),
    "a case too few": ((*ROW, "cases", 2), MISSING, "n is 3, and there are 2 cases"),
    "a list": ((), [], "no readable result"),
    "nothing": ((), {}, "result schema None"),
    "a version that is a truth value": (("schema_version",), True, "result schema True"),
    "settings that no file can hold": (("editors", "inpaint"), {"strength": float("nan")}, "values that JSON can hold"),
}


def replaced(data, path, value):
    """A copy of JSON data with another value in one place, or without it."""
    if not path:
        return value
    copy = data.copy()
    if len(path) == 1 and value is MISSING:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(copy[path[0]] if len(path) > 1 else None, path[1:], value)
    return copy


@pytest.mark.parametrize(("path", "value", "message"), BROKEN.values(), ids=BROKEN)
def test_results_that_cannot_be_true_are_refused(tmp_path, path, value, message):
    (tmp_path / "result.json").write_text(json.dumps(replaced(RECORDED, path, value)))
    with pytest.raises(StoreError, match=message):
        read_result(tmp_path / "result.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        '{"schema_version": ' * 50_000,
        '{"schema_version": 1, "id": "\\ud800"}',
        '{"schema_version": ' + "9" * 5000 + "}",
        "\ufeff{}",
    ],
    ids=["empty", "deep list", "deep object", "lone surrogate", "long number", "byte order mark"],
)
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError) as refusal:
        read_result(tmp_path / "result.json")
    assert len(str(refusal.value)) < 1000


def places(data, path=()):
    """All places of JSON data, from the whole to single values."""
    yield path
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


PLACES = list(places(RECORDED))
VALUES = st.sampled_from(
    [MISSING, None, True, 0, -1, 3, 0.5, 1e308, float("nan"), float("inf"), 10**25, "", "1", "x", [], {}]
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_what_is_read_can_be_shown_compared_and_written_and_all_else_is_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    data = RECORDED
    for place, value in changes:
        with contextlib.suppress(LookupError, TypeError, AttributeError):
            data = replaced(data, place, value)
    path.write_text(json.dumps({} if data is MISSING else data))
    try:
        result = read_result(path)
    except StoreError:
        return
    write_result(path, without_pictures(result))
    assert json.dumps(leaderboard_rows([result]), allow_nan=False)
    assert leaderboard_report([read_result(path)])
    assert gate_report(result, check(result))


def test_names_that_are_no_unicode_are_written_as_escapes(tmp_path):
    """A command line that is not UTF-8 reaches labels and the command; what was computed is not lost for it."""
    recorded = read_result(DATA / "result-schema-1.json")
    name = "folder,path=caf\udce9"
    row = recorded.attack_rows[0]
    attack = AttackInfo(**{**dict(row.attack), "label": name, "arguments": {"path": "caf"}})
    methods = (row.model_copy(update={"attack": attack}), *recorded.attack_rows[1:])
    provenance = Provenance(**{**dict(recorded.provenance), "command": f"photoguard-eval run --attack {name}"})
    failure = FailedAttack(attack=name, editor="inpaint", error="cannot say \ud800")
    path = tmp_path / "result.json"
    write_result(path, recorded.replaced(attack_rows=methods, provenance=provenance, failures=(failure,)))
    read = read_result(path)
    assert read.attack_rows[0].label == r"folder,path=caf\udce9"
    assert read.provenance.command.endswith(r"caf\udce9")
    assert read.failures[0].error == r"cannot say \ud800"


def test_results_are_frozen():
    result = read_result(DATA / "result-schema-1.json")
    with pytest.raises(ValueError, match="frozen"):
        result.preset = "other"
