import errno
import os

import pytest

from photoguard_eval.errors import StoreError
from photoguard_eval.evaluation.store import Store

KEY = "ab" + "0" * 62


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_an_image_comes_back_with_its_facts(store):
    store.put_image(KEY, b"png", {"seconds": 1.5})
    assert store.image(KEY) == b"png"
    assert store.facts(KEY) == {"seconds": 1.5}
    assert Store(store.path).image(KEY) == b"png"


def test_numbers_come_back_exactly(store):
    values = {"values": [0.1 + 0.2, 1e-300, -0.0]}
    store.put_values(KEY, values)
    assert store.values(KEY) == values


def test_what_is_not_there_is_missing(store):
    assert store.image(KEY) is None
    assert store.values(KEY) is None
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
    assert store.values(KEY) is None


def test_an_artifact_under_another_key_is_noticed(store):
    other = "ab" + "1" * 62
    store.put_values(KEY, {"values": [1]})
    folder = store.path / "artifacts" / "ab"
    (folder / f"{KEY}.json").rename(folder / f"{other}.json")
    assert store.values(other) is None


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


def test_a_damaged_marker_is_refused(tmp_path):
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path)


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
