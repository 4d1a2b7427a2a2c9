"""A folder of immunized images after a hard stop, at every place where one can be."""

import json

import pytest

from photoguard_eval.errors import StoreError, UnreadableFileError
from photoguard_eval.pipeline.records import RECORDS, Records

FACTS = {
    "output": "out/fox.png",
    "attack": "noise",
    "sha256": "0" * 64,
    "linf_levels": 16.0,
    "rms_levels": 9.5,
    "seconds": 1.5,
    "gradient_evaluations": 0.0,
    "unet_calls": 0.0,
    "encoder_calls": 0.0,
    "peak_memory_mib": 2.5,
    "key": "1" * 64,
}


def recorded(folder, *names):
    records = Records(folder)
    records.claim(names)
    for name in names:
        records.add(name, FACTS)
    return folder / RECORDS


def test_what_was_recorded_comes_back(tmp_path):
    recorded(tmp_path / "new", "fox", "füchsin")
    assert Records(tmp_path / "new").finished == {"fox": FACTS, "füchsin": FACTS}
    assert Records(tmp_path / "none").claimed == set()
    assert not (tmp_path / "none").exists()


def test_a_record_that_is_cut_off_anywhere_keeps_what_is_before_it_and_the_claims(tmp_path):
    path = recorded(tmp_path, "fox", "füchsin")
    whole = path.read_bytes()
    claims = whole.index(b'{"name": "fox", "output"')
    last = whole.index(b'{"name": "f\\u00fcchsin", "output"')
    for length in range(claims, len(whole) - 1):
        path.write_bytes(whole[:length])
        records = Records(tmp_path)
        assert records.claimed == {"fox", "füchsin"}
        assert set(records.finished) == ({"fox"} if length >= last - 1 else set())


def test_a_record_after_one_that_was_cut_off_starts_on_a_line_of_its_own(tmp_path):
    path = recorded(tmp_path, "fox", "owl")
    path.write_bytes(path.read_bytes()[:-20])
    records = Records(tmp_path)
    assert set(records.finished) == {"fox"}
    records.claim(["fox", "owl", "panda"])
    records.add("owl", FACTS)
    assert set(Records(tmp_path).finished) == {"fox", "owl"}
    assert Records(tmp_path).claimed == {"fox", "owl", "panda"}


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "7",
        "null",
        "{}",
        "[" * 10**5,
        json.dumps({"name": ["fox"], **FACTS}),
        json.dumps({"name": "fox"}),
        json.dumps({"name": "fox", **FACTS, "seconds": "1.5"}),
        json.dumps({"name": "fox", **FACTS, "linf_levels": float("nan")}),
        json.dumps({"name": "fox", **{key: FACTS[key] for key in FACTS if key != "sha256"}}),
    ],
)
def test_a_line_of_another_shape_says_nothing_of_an_image(tmp_path, line):
    (tmp_path / RECORDS).write_text(f"{line}\n")
    assert Records(tmp_path).finished == {}
    recorded(tmp_path, "owl")
    assert set(Records(tmp_path).finished) == {"owl"}


def test_what_is_no_record_is_refused_and_left_alone(tmp_path):
    (tmp_path / RECORDS).write_bytes("notes\n".encode("utf-16"))
    with pytest.raises(StoreError, match=r"immunized\.jsonl is no record of immunized images"):
        Records(tmp_path)
    assert (tmp_path / RECORDS).read_bytes() == "notes\n".encode("utf-16")
    (tmp_path / "folder" / RECORDS).mkdir(parents=True)
    with pytest.raises(UnreadableFileError, match=r"immunized\.jsonl cannot be read"):
        Records(tmp_path / "folder")
