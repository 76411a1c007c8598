"""The journal: nothing raised for a full disk, nothing lost by a failed sync, the folder left as it was found."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.journal.fresh import move_aside
from batchllm.journal.group_sync import GROUP_RECORDS, GroupSync
from batchllm.journal.journal import RESERVE_BYTES, Journal
from batchllm.journal.lock import FolderLock, FolderMovedError, holder
from batchllm.journal.rescue import NAME as RESCUE
from batchllm.testing import Fault, FaultyStorage, Killed, QuickDisk, SmallDisk


def _line(number, size=10):
    return b'{"n": %d, "x": "%s"}\n' % (number, b"x" * size)


def _opened(folder, storage=None, durability="each"):
    journal = Journal(folder, storage or QuickDisk())
    journal.open(durability)
    return journal


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def _failing_at(tmp_path, call, number, nth=1, *, lasting=False):
    """A storage whose nth `call` after opening fails."""
    probe = FaultyStorage(inner=QuickDisk())
    journal = _opened(tmp_path / "probe", probe)
    opened = probe.calls
    for one in range(3):
        journal.result(_line(one))
    at = [i for i, name in enumerate(probe.trace, 1) if i > opened and name == call][nth - 1]
    journal.close()
    return FaultyStorage(Fault(at, "error", number=number, lasting=lasting), QuickDisk())


def test_a_full_disk_is_told_once_and_nothing_in_flight_is_lost(tmp_path):
    disk = SmallDisk(tmp_path, RESERVE_BYTES + 2000)
    journal, told = _opened(tmp_path / "out", disk), []
    journal.on_fault = lambda: told.append(1)
    for number in range(60):
        journal.result(_line(number, 100))
    assert told == [1]
    assert journal.fault.errno == errno.ENOSPC
    assert journal.unwritten == 0
    with pytest.raises(JobError) as caught:
        journal.settle()
    assert caught.value.exit_code is ExitCode.DISK
    journal.close()
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == b"".join(_line(number, 100) for number in range(60))


def test_behind_a_line_that_does_not_fit_a_smaller_one_is_still_written(tmp_path):
    disk = SmallDisk(tmp_path, RESERVE_BYTES + 5000)
    journal = _opened(tmp_path / "out", disk)
    journal.result(_line(1, 2 * RESERVE_BYTES))
    journal.attempt(_line(2))
    journal.result(_line(3))
    assert journal.unwritten == 1
    disk.capacity *= 4
    with pytest.raises(JobError):
        journal.settle()
    journal.close()
    assert journal.unwritten == 0
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == _line(3) + _line(1, 2 * RESERVE_BYTES)
    assert (tmp_path / "out" / "attempts.jsonl").read_bytes() == _line(2)


@pytest.mark.parametrize("durability", ["none", "batch", "each"])
def test_results_that_come_together_are_written_in_one_piece(tmp_path, durability):
    storage = FaultyStorage(inner=QuickDisk())
    journal = _opened(tmp_path / "out", storage, durability)
    before = storage.calls
    journal.results([_line(number) for number in range(50)])
    journal.settle()
    journal.close()
    assert storage.trace[before:].count("write results.jsonl") == 1
    assert ("fsync results.jsonl" in storage.trace[before:]) is True
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == b"".join(_line(number) for number in range(50))


def test_of_results_that_come_together_what_fits_is_kept(tmp_path):
    journal, told = _opened(tmp_path / "out", SmallDisk(tmp_path, RESERVE_BYTES + 2000)), []
    journal.on_fault = lambda: told.append(1)
    journal.results([_line(1, 100), _line(2, 2 * RESERVE_BYTES), _line(3, 100), _line(4, 100)])
    assert (told, journal.unwritten) == ([1], 1)
    journal.results([_line(5, 100), _line(6, 100)])
    assert journal.unwritten == 1
    with pytest.raises(JobError, match="1 answers could not be written and will be asked again"):
        journal.settle()
    journal.close()
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == b"".join(_line(number, 100) for number in (1, 3, 4, 5, 6))


FAULTS = {
    "killed": {"kind": "kill"},
    "torn": {"kind": "torn", "share": 0.6},
    "full once": {"kind": "error", "number": errno.ENOSPC},
    "full for good": {"kind": "error", "number": errno.ENOSPC, "lasting": True},
    "short, then full": {"kind": "short", "share": 0.6, "number": errno.ENOSPC},
    "broken": {"kind": "error", "number": errno.EIO},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("after", range(1, 7))
def test_results_that_come_together_stand_there_once_or_not_at_all_whatever_the_disk_does(tmp_path, fault, after):
    groups = [[_line(10 * group + one, 40) for one in range(5)] for group in range(2)]
    probe = FaultyStorage(inner=QuickDisk())
    opened = _opened(tmp_path / "probe", probe)
    storage = FaultyStorage(Fault(probe.calls + after, **fault), QuickDisk())
    opened.close()
    journal = _opened(tmp_path / "out", storage)
    with contextlib.suppress(Killed, JobError):
        for group in groups:
            journal.results(group)
        journal.settle()
    with contextlib.suppress(Killed):
        journal.close()
    again = _opened(tmp_path / "out")
    again.close()
    found = (tmp_path / "out" / "results.jsonl").read_bytes().splitlines(keepends=True)
    assert len(set(found)) == len(found)
    assert set(found) <= {line for group in groups for line in group}
    if fault["kind"] in ("kill", "torn"):
        assert found == [line for group in groups for line in group][: len(found)]
    else:
        assert len(found) == 10 - journal.unwritten


def test_what_never_fits_is_counted_and_said(tmp_path):
    journal = _opened(tmp_path / "out", SmallDisk(tmp_path, RESERVE_BYTES + 500))
    journal.result(_line(1, 2 * RESERVE_BYTES))
    with pytest.raises(JobError, match="1 answers could not be written and will be asked again"):
        journal.settle()
    journal.close()
    assert _names(tmp_path / "out") == [".lock", "attempts.jsonl", "results.jsonl"]


class Bounded(QuickDisk):
    """Lets no file grow beyond so many bytes, as a limit on file sizes does; another file is another matter."""

    limit = RESERVE_BYTES + 10

    def write(self, fd, data):
        room = self.limit - os.fstat(fd).st_size
        if room <= 0:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return super().write(fd, data[:room])


def test_where_one_file_may_not_grow_another_takes_what_is_in_flight(tmp_path):
    journal = _opened(tmp_path / "out", Bounded())
    for number in range(4):
        journal.result(_line(number, RESERVE_BYTES // 3))
    assert journal.unwritten == 2
    with pytest.raises(JobError, match=r"2 answers are in \.rescue"):
        journal.settle()
    journal.close()
    Journal(tmp_path / "out", QuickDisk()).close()
    written = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert written == b"".join(_line(number, RESERVE_BYTES // 3) for number in range(4))


def test_the_reserve_is_there_while_the_run_lasts_and_gone_afterwards(tmp_path):
    for _ in range(2):
        journal = _opened(tmp_path / "out")
        assert (tmp_path / "out" / ".reserve").stat().st_size == RESERVE_BYTES
        journal.settle()
        journal.close()
        journal.close()
        assert _names(tmp_path / "out") == [".lock", "attempts.jsonl", "results.jsonl"]


def test_a_reserve_left_by_a_killed_run_is_filled_up_and_used(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".reserve").write_bytes(b"x" * 1000)
    journal = _opened(tmp_path / "out")
    assert (tmp_path / "out" / ".reserve").stat().st_size == RESERVE_BYTES
    journal.close()


def test_what_a_killed_run_was_rewriting_is_removed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".results.jsonl.new").write_bytes(b"half")
    journal = _opened(tmp_path / "out")
    assert ".results.jsonl.new" not in _names(tmp_path / "out")
    journal.close()


@pytest.mark.parametrize("durability", ["each", "none"])
def test_a_failed_sync_is_final_and_what_it_may_have_lost_comes_back(tmp_path, durability):
    storage = _failing_at(tmp_path, "fsync results.jsonl", errno.EIO, 2)
    journal = _opened(tmp_path / "out", storage)
    for number in range(4):
        journal.result(_line(number))
    calls = storage.trace.count("fsync results.jsonl")
    with pytest.raises(JobError, match=r"2 answers are in \.rescue and will be taken back"):
        journal.settle()
    journal.close()
    assert storage.trace.count("fsync results.jsonl") == calls, "never synced again"
    path = tmp_path / "out" / "results.jsonl"
    path.write_bytes(_line(0) + b"\0" * 30)  # the pages that the disk has dropped
    again = Journal(tmp_path / "out", QuickDisk())
    assert path.read_bytes() == b"".join(_line(number) for number in range(4)), "before anything reads the file"
    assert "taken back" in again.open(durability)[0]
    again.close()
    assert RESCUE not in _names(tmp_path / "out")


def test_a_failed_sync_on_a_disk_that_takes_nothing_says_what_is_lost(tmp_path):
    storage = _failing_at(tmp_path, "fsync results.jsonl", errno.EIO, lasting=True)
    journal = _opened(tmp_path / "out", storage)
    for number in range(3):
        journal.result(_line(number))
    with pytest.raises(JobError, match="2 answers could not be written and will be asked again"):
        journal.settle()
    journal.close()
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == _line(0)
    assert RESCUE not in _names(tmp_path / "out")


def test_a_rescue_file_that_nobody_can_read_stops_the_run_before_anything_is_sent(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / RESCUE).write_bytes(b"what?\n")
    for _ in range(2):  # and the lock is free again
        with pytest.raises(JobError) as caught:
            Journal(tmp_path / "out", QuickDisk())
        assert caught.value.exit_code is ExitCode.BAD_DATA


def test_a_fault_told_to_a_loop_that_has_ended_does_not_hide_the_fault(tmp_path):
    journal = _opened(tmp_path / "out", SmallDisk(tmp_path, RESERVE_BYTES + 100))

    def ended():
        raise RuntimeError("Event loop is closed")

    journal.on_fault = ended
    journal.result(_line(1, 1000))
    with pytest.raises(JobError, match="No space left"):
        journal.settle()
    journal.close()


@pytest.mark.parametrize("made", [True, False])
def test_a_run_that_is_refused_leaves_the_folder_as_it_found_it(tmp_path, made):
    folder = tmp_path / "out"
    if not made:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    journal = _opened(folder)
    journal.abandon()
    assert folder.exists() is not made
    if not made:
        assert (folder / "notes.txt").read_text() == "mine"
    Journal(folder, QuickDisk()).close()


def test_a_refused_run_never_removes_records(tmp_path):
    journal = _opened(tmp_path / "out")
    journal.result(_line(1))
    journal.abandon()
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == _line(1)


def _refusal(folder, storage):
    journal = None
    try:
        journal = Journal(folder, storage)
        journal.open("each")
    except JobError as error:
        return error
    finally:
        if journal is not None:
            journal.abandon()
    return None


@pytest.mark.parametrize("at", range(1, 20))
def test_a_disk_that_fails_while_opening_is_74_nothing_was_sent_and_no_lock_is_kept(tmp_path, at):
    storage = FaultyStorage(Fault(at, "error", number=errno.EROFS, lasting=True), QuickDisk())
    refusal = _refusal(tmp_path / "out", storage)
    assert refusal is None or (refusal.exit_code is ExitCode.DISK and "nothing was sent" in str(refusal))
    assert refusal is not None or at > 15
    Journal(tmp_path / "out", QuickDisk()).close()


def test_a_file_where_the_folder_should_be_is_74(tmp_path):
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(JobError) as caught:
        Journal(tmp_path / "outputs" / "job", QuickDisk())
    assert caught.value.exit_code is ExitCode.DISK


# -- the lock ------------------------------------------------------------------------------------------------------


def test_a_second_run_is_turned_away_with_the_name_of_the_first(tmp_path):
    journal = _opened(tmp_path / "out")
    assert "process" in holder(QuickDisk(), tmp_path / "out")
    with pytest.raises(JobError, match="in use by another run \\(process") as caught:
        Journal(tmp_path / "out", QuickDisk())
    assert caught.value.exit_code is ExitCode.TRY_LATER
    journal.close()
    assert holder(QuickDisk(), tmp_path / "out") is None


class Meddling(QuickDisk):
    """Lets something happen between the opening of the lock file and the lock, as another process may."""

    def __init__(self, meddle):
        self.meddle = meddle

    def flock(self, fd):
        meddle, self.meddle = self.meddle, lambda: None
        meddle()
        super().flock(fd)


def test_the_lock_of_a_folder_that_was_just_moved_aside_is_not_taken_for_the_new_ones(tmp_path):
    folder = tmp_path / "out"
    _opened(folder).close()
    (folder / "results.jsonl").write_bytes(_line(1))
    holders = []

    def fresh_start():
        move_aside(folder, QuickDisk())
        holders.append(_opened(folder))

    with pytest.raises(JobError) as caught:
        Journal(folder, Meddling(fresh_start))
    assert caught.value.exit_code is ExitCode.TRY_LATER
    holders[0].close()


def test_a_folder_that_vanishes_while_its_lock_is_waited_for_is_made_again(tmp_path):
    folder = tmp_path / "out"
    journal = Journal(folder, Meddling(lambda: _gone(folder)))
    assert folder.is_dir()
    with pytest.raises(JobError, match="in use"):
        Journal(folder, QuickDisk())
    journal.close()


def _gone(folder):
    (folder / ".lock").unlink()
    folder.rmdir()


def test_a_moved_folder_is_not_moved_again(tmp_path):
    folder = tmp_path / "out"
    _opened(folder).close()
    with pytest.raises(FolderMovedError):
        FolderLock(Meddling(lambda: folder.rename(tmp_path / "aside")), folder)


def test_fresh_keeps_everything_and_refuses_while_a_run_writes(tmp_path):
    folder = tmp_path / "out"
    journal = _opened(folder)
    journal.result(_line(1))
    with pytest.raises(JobError) as caught:
        move_aside(folder, QuickDisk())
    assert caught.value.exit_code is ExitCode.TRY_LATER
    journal.close()
    move_aside(folder, QuickDisk())
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("out.")
    assert (aside / "results.jsonl").read_bytes() == _line(1)


def test_a_lock_file_that_is_a_symlink_is_refused_and_its_target_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(JobError) as caught:
        Journal(tmp_path / "out", QuickDisk())
    assert caught.value.exit_code is ExitCode.DISK
    assert (tmp_path / "precious").read_bytes() == b"precious"


# -- the thread that syncs ----------------------------------------------------------------------------------------


class Syncs:
    """Counts calls and lets a test hold them up or fail them."""

    def __init__(self):
        self.count = 0
        self.happened = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.error = None

    def __call__(self):
        self.go_on.wait(10)
        self.count += 1
        self.happened.release()
        if self.error is not None:
            raise self.error


def test_a_single_record_is_synced_within_the_groups_time():
    syncs = Syncs()
    group = GroupSync(syncs, lambda error: None)
    group.wrote()
    assert syncs.happened.acquire(timeout=10)
    group.close()
    assert syncs.count == 1


def test_records_written_while_a_sync_is_under_way_are_synced_next():
    syncs = Syncs()
    syncs.go_on.clear()
    group = GroupSync(syncs, lambda error: None)
    for _ in range(GROUP_RECORDS):
        group.wrote()
    group.wrote()
    syncs.go_on.set()
    assert syncs.happened.acquire(timeout=10)
    for _ in range(GROUP_RECORDS - 1):
        group.wrote()
    assert syncs.happened.acquire(timeout=10)
    group.close()


def test_records_written_together_that_make_a_group_are_synced_at_once():
    syncs = Syncs()
    group = GroupSync(syncs, lambda error: None)
    group.wrote(GROUP_RECORDS // 2)
    group.wrote(GROUP_RECORDS)
    assert syncs.happened.acquire(timeout=10)
    group.close()
    assert group._waiting == 0


def test_no_record_is_left_unsynced_however_writes_and_syncs_fall_together():
    syncs = Syncs()
    group = GroupSync(syncs, lambda error: None)
    for _ in range(20_000):
        group.wrote()
    while group._waiting:
        assert syncs.happened.acquire(timeout=10)
    group.close()


def test_a_failed_sync_is_told_once_and_ends_the_thread():
    syncs, told = Syncs(), []
    syncs.error = OSError(errno.EIO, "input/output error")
    group = GroupSync(syncs, told.append)
    group.wrote()
    assert syncs.happened.acquire(timeout=10)
    group._thread.join(10)
    group.wrote()
    group.close()
    group.close()
    assert told == [syncs.error]
    assert syncs.count == 1


def test_a_defect_in_the_thread_is_not_swallowed():
    syncs = Syncs()
    syncs.error = ZeroDivisionError()
    group = GroupSync(syncs, lambda error: None)
    group.wrote()
    assert syncs.happened.acquire(timeout=10)
    with pytest.raises(ZeroDivisionError):
        group.close()
