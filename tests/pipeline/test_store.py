import errno
import os
import threading
import time

import pytest

from photoguard_eval.errors import StoreError
from photoguard_eval.files import canonical_json, remove_stale_temporaries, sha256_of_json
from photoguard_eval.pipeline.artifacts import CaseScores, EditFacts, Facts, ImmunizedFacts, SetScore
from photoguard_eval.pipeline.boards import read_board
from photoguard_eval.pipeline.store import Store
from photoguard_eval.results.rows import Cost

COST = Cost(seconds=1.5, gradient_evaluations=10, unet_calls=0, encoder_calls=10, peak_memory_mib=1.0, batch_size=1)
IMMUNIZED = ImmunizedFacts(linf_levels=16, rms_levels=7.5, cost=COST)

KEY = "ab" + "0" * 62


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_an_image_comes_back_with_its_facts(store):
    store.put_image(KEY, b"png", IMMUNIZED.model_dump(mode="json"))
    assert store.image(KEY) == store.image(KEY, ImmunizedFacts) == b"png"
    assert store.facts(KEY, ImmunizedFacts) == IMMUNIZED
    assert Store(store.path).image(KEY) == b"png"


def test_numbers_come_back_exactly(store):
    values = [0.1 + 0.2, 1e-300, -0.0]
    store.put_values(KEY, {"values": values})
    assert store.values(KEY, CaseScores).values == values


def test_what_is_not_there_is_missing(store):
    assert store.image(KEY) is None
    assert store.values(KEY, CaseScores) is None
    assert store.damaged == []


@pytest.mark.parametrize("suffix", ["png", "json"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: bytes([data[0] ^ 1]) + data[1:], lambda _: b""]
)
def test_a_damaged_artifact_is_noticed_and_missing(store, suffix, damage):
    store.put_image(KEY, b"a picture", {"seconds": 1})
    path = store.path / "artifacts" / "ab" / f"{KEY}.{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    assert store.image(KEY) is None
    assert store.damaged == [KEY]


def test_an_image_without_its_picture_is_missing(store):
    store.put_image(KEY, b"a picture", {})
    (store.path / "artifacts" / "ab" / f"{KEY}.png").unlink()
    assert store.image(KEY) is None


def test_a_changed_number_is_noticed(store):
    store.put_values(KEY, {"values": [0.25]})
    path = store.path / "artifacts" / "ab" / f"{KEY}.json"
    path.write_text(path.read_text().replace("0.25", "0.75"))
    assert store.values(KEY, CaseScores) is None


def test_an_artifact_under_another_key_is_noticed(store):
    other = "ab" + "1" * 62
    store.put_values(KEY, {"values": [1]})
    folder = store.path / "artifacts" / "ab"
    (folder / f"{KEY}.json").rename(folder / f"{other}.json")
    assert store.values(other, CaseScores) is None


def test_a_store_of_another_schema_is_refused_and_left_alone(tmp_path):
    (tmp_path / "store.json").write_text('{"store_schema": 99}')
    with pytest.raises(StoreError, match="store schema 99, this version uses 1"):
        Store(tmp_path)
    assert (tmp_path / "store.json").read_text() == '{"store_schema": 99}'


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="not empty and no store"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"store_schema": "1"}', b"[" * 10**5, b"\xff\xfe"])
def test_a_damaged_marker_is_written_again_where_there_are_artifacts(store, content, capsys):
    store.put_image(KEY, b"png", {})
    (store.path / "store.json").write_bytes(content)
    again = Store(store.path)
    assert again.image(KEY) == b"png"
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "store.json was damaged and is written again" in said
    assert Store.existing(store.path).image(KEY) == b"png"
    assert capsys.readouterr().err == ""


def test_a_missing_marker_is_written_again_where_there_are_artifacts(store, capsys):
    store.put_values(KEY, {"value": 1})
    (store.path / "store.json").unlink()
    assert Store.existing(store.path).values(KEY, SetScore).value == 1
    assert "store.json was missing and is written again" in capsys.readouterr().err
    (store.path / "store.json").unlink()
    with pytest.raises(StoreError, match="holds no result"):
        read_board(store.path)


def test_a_damaged_marker_alone_says_nothing(tmp_path):
    (tmp_path / "store.json").write_text("{")
    (tmp_path / "artifacts" / "ab").mkdir(parents=True)
    (tmp_path / "artifacts" / "ab" / f"{KEY}.json").write_text("{}")
    with pytest.raises(StoreError, match=r"not empty and no store .* store\.json is damaged"):
        Store(tmp_path)


def test_a_file_in_the_place_of_a_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot be read as the folder of a store"):
        Store(tmp_path / "file")


def test_runs_that_start_together_on_a_new_store_are_all_served(tmp_path):
    errors = []

    def begin(path, barrier):
        barrier.wait()
        try:
            Store(path).put_values(KEY, {"value": 1})
        except StoreError as error:
            errors.append(error)

    for number in range(12):
        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=begin, args=(tmp_path / str(number) / "store", barrier)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_a_folder_that_holds_a_marker_half_written_is_no_foreign_one(tmp_path):
    (tmp_path / ".store.json.ab12_xyz.tmp").write_text("{")
    assert Store(tmp_path).values(KEY, SetScore) is None
    (tmp_path / "other" / ".store.json.swp").mkdir(parents=True)
    with pytest.raises(StoreError, match="not empty and no store"):
        Store(tmp_path / "other")


def nested(depth):
    return b'{"facts":' * depth + b"1" + b"}" * depth


def record(**changes):
    body = {"key": KEY, "sha256": None, "facts": {}, **changes}
    return canonical_json({**body, "checksum": sha256_of_json(body)})


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b'"text"',
        b"7",
        b"null",
        b"{}",
        b'{"checksum": NaN, "key": NaN}',
        b'{"checksum": "\\ud800", "key": "\\ud800"}',
        nested(10**5),
        record(key=7),
        record(facts=[1]),
        record(facts=None),
        record(sha256=5),
        record(more=1),
    ],
)
def test_a_record_of_another_shape_is_damaged(store, content):
    path = store.path / "artifacts" / "ab" / f"{KEY}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.image(KEY) is None
    assert store.facts(KEY, EditFacts) is None
    assert store.damaged == [KEY, KEY]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (EditFacts, {"seconds": 1}),
        (ImmunizedFacts, {}),
        (ImmunizedFacts, {**IMMUNIZED.model_dump(), "linf_levels": "16"}),
        (ImmunizedFacts, {**IMMUNIZED.model_dump(), "linf_levels": -1}),
        (ImmunizedFacts, {**IMMUNIZED.model_dump(), "cost": {}}),
        (ImmunizedFacts, {**IMMUNIZED.model_dump(), "cost": {**COST.model_dump(), "seconds": "1.5"}}),
        (CaseScores, {"values": ["0.5"]}),
        (CaseScores, {"values": [None]}),
        (CaseScores, {"values": 0.5}),
        (CaseScores, {}),
        (SetScore, {"value": "0.5"}),
        (SetScore, {"value": True}),
        (SetScore, {"values": [0.5]}),
    ],
)
def test_facts_of_another_shape_are_damaged(store, kind: type[Facts], facts):
    store.put_image(KEY, b"png", facts)
    assert store.facts(KEY, kind) is None
    assert store.image(KEY, kind) is None
    assert store.damaged == [KEY, KEY]


def test_a_folder_in_the_place_of_an_artifact_is_damaged(store):
    path = store.path / "artifacts" / "ab" / f"{KEY}.json"
    path.mkdir(parents=True)
    assert store.image(KEY) is None
    with pytest.raises(StoreError, match="could not be written"):
        store.put_image(KEY, b"png", {})


def test_a_damaged_result_is_named(store):
    (store.path / "results").mkdir()
    (store.path / "results" / "0123.json").write_text("{")
    with pytest.raises(StoreError, match=r"0123\.json"):
        store.latest_result()


def test_what_a_killed_run_left_is_removed_when_it_is_old(store):
    store.put_image(KEY, b"png", {})
    folder, old = store.path / "artifacts" / "ab", time.time() - 2 * 24 * 3600
    names = (f".{KEY}.png.abcd1234.tmp", f".{KEY}.json.zzzz____.tmp", ".notes.tmp", "x.png.abcd1234.tmp")
    for name in (*names, ".live.png.abcd1234.tmp"):
        (folder / name).write_bytes(b"half")
    for name in names:
        os.utime(folder / name, (old, old))
    remove_stale_temporaries(store.path, names=["other.png"])
    assert (folder / names[0]).exists()
    remove_stale_temporaries(store.path)
    left = {path.name for path in folder.iterdir()}
    assert left == {f"{KEY}.png", f"{KEY}.json", ".notes.tmp", "x.png.abcd1234.tmp", ".live.png.abcd1234.tmp"}


def test_a_store_that_must_exist(tmp_path):
    with pytest.raises(StoreError, match="There is no store"):
        Store.existing(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_full_disk_leaves_what_was_there(store, monkeypatch):
    store.put_image(KEY, b"old", {})

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="The disk is full"):
        store.put_image(KEY, b"new", {})
    assert store.image(KEY) == b"old"
    assert not list(store.path.rglob("*.tmp"))
