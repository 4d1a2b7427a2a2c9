import json
from pathlib import Path

import pytest

from photoguard_eval.errors import StoreError
from photoguard_eval.evaluation.results import read_result

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("version", [1])
def test_results_of_every_schema_version_load(version):
    result = read_result(DATA / f"result-schema-{version}.json")
    assert result.methods[0].metrics["ssim"].std is not None


def changed(tmp_path, change):
    data = json.loads((DATA / "result-schema-1.json").read_text(encoding="utf-8"))
    change(data)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(schema_version=2), "result schema 2; this version reads 1"),
        (lambda data: data.update(surprise=1), "surprise: Extra inputs"),
        (lambda data: data.pop("methods"), "methods: Field required"),
    ],
)
def test_results_of_another_form_are_refused(tmp_path, change, message):
    with pytest.raises(StoreError, match=message):
        read_result(changed(tmp_path, change))


def test_a_damaged_result_is_refused(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(StoreError, match="no readable result"):
        read_result(tmp_path / "result.json")


def test_results_are_frozen():
    result = read_result(DATA / "result-schema-1.json")
    with pytest.raises(ValueError, match="frozen"):
        result.preset = "other"
