import errno
import json
import os
import resource
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoguard_eval.errors import StoreError, UnreadableFileError
from photoguard_eval.files import (
    canonical_json,
    locked,
    parse_json,
    read_text,
    require_writable,
    sha256_of_bytes,
    sha256_of_file,
    write_atomically,
)


def test_a_file_is_written_with_missing_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert sha256_of_file(path) == sha256_of_bytes(b"content")


def test_a_full_disk_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"The disk is full: .*file\.bin could not be written \(3 bytes\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_breaks_off_in_the_middle_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreError, match=r"file\.bin could not be written: File too large"):
            write_atomically(path, bytes(2_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_is_readable_by_others(tmp_path):
    write_atomically(tmp_path / "file.bin", b"")
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="Choose a folder"):
        write_atomically(tmp_path / "file" / "inside", b"x")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)))
def test_canonical_json_has_one_form(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_does_not_depend_on_order():
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == canonical_json({"a": [1.5, "é"], "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.bin", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [sha256_of_file, read_text])
def test_a_file_that_cannot_be_read_is_named(tmp_path, read):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UnreadableFileError, match=rf"{path} cannot be read"):
            read(path)


def test_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "x.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(UnreadableFileError, match=r"x\.txt is not UTF-8 text .*at byte 0"):
        read_text(tmp_path / "x.txt")


def test_json_that_is_nested_without_end_is_an_error_of_its_value():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 10**5)


def test_a_folder_that_cannot_be_written_is_named_with_the_option(tmp_path):
    require_writable(tmp_path / "a" / "b", "--reports")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"file cannot be written: .*--reports"):
        require_writable(tmp_path / "file", "--reports")


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    inside, most = [], []

    def work(number):
        with locked(tmp_path / "lock") as file:
            inside.append(number)
            most.append(len(inside))
            seen = file.read()
            file.truncate(0)
            file.write(f"{seen}x")
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), (tmp_path / "lock").read_text()) == (1, "x" * 8)
