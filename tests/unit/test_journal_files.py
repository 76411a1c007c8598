"""Append-only files: whole lines only, torn tails cut, paid ones kept."""

from __future__ import annotations

import contextlib
import errno
import os

import pytest

from batchllm.journal.append_file import AppendFile, whole_documents
from batchllm.testing import Fault, FaultyStorage, Killed, QuickDisk, SmallDisk

WHOLE = '{"custom_id": "a", "said": "回答"}'.encode()


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_a_tail_torn_anywhere_inside_a_character_included_is_moved_aside(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    path.write_bytes(WHOLE + b"\n" + WHOLE[:cut])
    file = AppendFile(QuickDisk(), path)
    said = file.repair()
    file.append(WHOLE + b"\n")
    file.close()
    assert path.read_bytes() == (WHOLE + b"\n") * 2
    (aside,) = (one for one in tmp_path.iterdir() if one != path)
    assert aside.read_bytes() == WHOLE[:cut]
    assert aside.name in said


@pytest.mark.parametrize("before", [b"", WHOLE + b"\n"])
def test_a_last_line_that_lacks_only_its_line_feed_was_paid_for_and_is_kept(tmp_path, before):
    path = tmp_path / "results.jsonl"
    path.write_bytes(before + WHOLE)
    file = AppendFile(QuickDisk(), path)
    assert "is kept" in file.repair()
    file.append(WHOLE + b"\n")
    file.close()
    assert path.read_bytes() == before + (WHOLE + b"\n") * 2
    assert _names(tmp_path) == ["results.jsonl"]


@pytest.mark.parametrize("tail", [b"1", b'"text"', b"[1]", b"null", b"\0\0\0", b" ", b"\xff\xfe", b"{}x"])
def test_a_tail_that_is_no_record_is_moved_aside_whatever_it_is(tmp_path, tail):
    path = tmp_path / "results.jsonl"
    path.write_bytes(WHOLE + b"\n" + tail)
    file = AppendFile(QuickDisk(), path)
    assert "torn" in file.repair()
    file.close()
    assert path.read_bytes() == WHOLE + b"\n"


@pytest.mark.parametrize("data", [b"", WHOLE + b"\n", WHOLE + b"\n" + WHOLE + b"\n"])
def test_a_whole_file_is_left_as_it_is(tmp_path, data):
    path = tmp_path / "results.jsonl"
    path.write_bytes(data)
    storage = FaultyStorage(inner=QuickDisk())
    file = AppendFile(storage, path)
    assert file.repair() is None
    file.close()
    assert storage.trace == ["open results.jsonl", "close results.jsonl"]


def test_a_torn_tail_larger_than_a_block_is_found_whole(tmp_path):
    path = tmp_path / "results.jsonl"
    tail = b'{"said": "' + b"x" * 300_000
    path.write_bytes(WHOLE + b"\n" + tail)
    file = AppendFile(QuickDisk(), path)
    file.repair()
    file.close()
    assert path.read_bytes() == WHOLE + b"\n"
    assert any(one.read_bytes() == tail for one in tmp_path.iterdir())


@pytest.mark.parametrize("at", range(2, 9))
def test_dying_between_the_steps_of_a_repair_only_repeats_it(tmp_path, at):
    path = tmp_path / "results.jsonl"
    path.write_bytes(WHOLE + b"\n" + WHOLE[:9])
    with contextlib.suppress(Killed):
        file = AppendFile(FaultyStorage(Fault(at), QuickDisk()), path)
        file.repair()
        file.sync()
    file = AppendFile(QuickDisk(), path)
    file.repair()
    file.close()
    assert path.read_bytes() == WHOLE + b"\n"


@pytest.mark.parametrize("room", range(len(WHOLE) + 1))
def test_a_line_that_does_not_fit_leaves_nothing_of_itself(tmp_path, room):
    disk = SmallDisk(tmp_path, len(WHOLE) + 1 + room)
    file = AppendFile(disk, tmp_path / "results.jsonl")
    file.append(WHOLE + b"\n")
    with pytest.raises(OSError, match="space"):
        file.append(WHOLE + b"\n")
    assert (tmp_path / "results.jsonl").read_bytes() == WHOLE + b"\n"
    disk.capacity *= 2
    file.append(WHOLE + b"\n")
    file.close()
    assert (tmp_path / "results.jsonl").read_bytes() == (WHOLE + b"\n") * 2


def test_a_part_that_could_not_be_taken_back_is_taken_back_by_the_next_line(tmp_path):
    class Stubborn(SmallDisk):
        refusals = 1

        def ftruncate(self, fd, size):
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().ftruncate(fd, size)

    disk = Stubborn(tmp_path, 10)
    file = AppendFile(disk, tmp_path / "results.jsonl")
    with pytest.raises(OSError, match="space"):
        file.append(WHOLE + b"\n")
    assert (tmp_path / "results.jsonl").stat().st_size == 10
    disk.capacity = 1000
    file.append(WHOLE + b"\n")
    file.close()
    assert (tmp_path / "results.jsonl").read_bytes() == WHOLE + b"\n"


def test_a_file_is_synced_only_where_something_was_appended(tmp_path):
    storage = FaultyStorage(inner=QuickDisk())
    file = AppendFile(storage, tmp_path / "results.jsonl")
    for appended in (False, True, True, False):
        if appended:
            file.append(WHOLE + b"\n")
        file.sync()
    file.close()
    assert storage.trace.count("fsync results.jsonl") == 3  # the first one covers what an earlier run left


def test_of_the_lines_behind_a_failed_sync_only_whole_documents_count():
    data = WHOLE + b"\n" + b"\0" * 20 + b"\n" + WHOLE[:5] + b"\n" + WHOLE + b"\n" + WHOLE
    assert list(whole_documents(data)) == [WHOLE + b"\n"] * 2
