"""Files that are rewritten: compaction keeps one record a line and loses no paid answer; where a folder lies."""

from __future__ import annotations

import errno
import json

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.journal.compaction import SUPERSEDED, compact
from batchllm.journal.errors_file import read_errors, write_errors
from batchllm.journal.filesystem import kind_of, network_warning
from batchllm.journal.index import JobIndex, State
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.testing import Fault, FaultyStorage, QuickDisk

DIGEST = "0" * 32


def _index(**states):
    index = JobIndex()
    for line, (custom_id, state) in enumerate(states.items(), 1):
        index.add(line, custom_id, DIGEST, state)
    return index


def _results(folder, *records):
    lines = [json.dumps({"custom_id": custom_id, "n": n}) + "\n" for custom_id, n in records]
    (folder / "results.jsonl").write_text("".join(lines))


def _kept(folder, name="results.jsonl"):
    return [tuple(json.loads(line).values()) for line in (folder / name).read_text().splitlines()]


def _always(line, record):
    return True


def test_of_several_records_of_a_line_the_last_stays_in_its_place(tmp_path):
    _results(tmp_path, ("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 2))
    assert compact(QuickDisk(), tmp_path, _index(a=State.DONE, b=State.DONE, c=State.DONE), _always) == 3
    assert _kept(tmp_path) == [("c", 1), ("a", 3), ("b", 2)]


def test_records_of_lines_the_job_no_longer_has_stay(tmp_path):
    _results(tmp_path, ("gone", 1), ("a", 1), ("gone", 2), ("a", 2))
    compact(QuickDisk(), tmp_path, _index(a=State.DONE), _always)
    assert _kept(tmp_path) == [("gone", 1), ("gone", 2), ("a", 2)]


def test_the_old_answer_of_a_changed_line_that_has_failed_is_no_result_but_is_kept(tmp_path):
    _results(tmp_path, ("a", 1), ("b", 1))
    assert compact(QuickDisk(), tmp_path, _index(a=State.FAILED, b=State.DONE), _always) == 1
    assert _kept(tmp_path) == [("b", 1)]
    assert _kept(tmp_path, SUPERSEDED) == [("a", 1)]


def test_a_rewrite_without_room_leaves_everything_as_it_was(tmp_path):
    _results(tmp_path, ("a", 1), ("a", 2))
    before = (tmp_path / "results.jsonl").read_bytes()
    storage = FaultyStorage(Fault(2, "error", number=errno.ENOSPC), QuickDisk())
    with pytest.raises(OSError, match="space"):
        compact(storage, tmp_path, _index(a=State.DONE), _always)
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".*.new"))


@pytest.mark.parametrize("line", ["{", "[]", '{"custom_id": 1}', "\0\0"])
def test_a_damaged_line_is_never_rewritten_away(tmp_path, line):
    _results(tmp_path, ("a", 1))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(line + "\n")
    before = (tmp_path / "results.jsonl").read_bytes()
    with pytest.raises(JobError, match="line 2 is damaged") as caught:
        compact(QuickDisk(), tmp_path, _index(a=State.DONE), _always)
    assert caught.value.exit_code is ExitCode.BAD_DATA
    assert (tmp_path / "results.jsonl").read_bytes() == before


def test_errors_hold_the_last_word_of_each_line_that_is_failed_now(tmp_path):
    notes = [("a", 1), ("b", 1), ("a", 2), ("done", 1)]
    lines = [{"custom_id": name, "line": 0, "record": {"custom_id": name, "n": n}} for name, n in notes]
    lines.insert(1, {"custom_id": "a", "line": 1, "kind": "refused"})
    (tmp_path / "attempts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    write_errors(QuickDisk(), tmp_path, _index(a=State.FAILED, b=State.FAILED, done=State.DONE), ())
    assert [(one["custom_id"], one["n"]) for one in read_errors(tmp_path)] == [("b", 1), ("a", 2)]


def test_a_manifest_that_cannot_be_written_is_74_before_anything_is_sent(tmp_path):
    manifest = Manifest({}, {}, {}, (), "1", "now")
    manifest.write(QuickDisk(), tmp_path)
    for at in range(1, 7):
        storage = FaultyStorage(Fault(at, "error", number=errno.EDQUOT), QuickDisk())
        if at == 4:  # a close: the data was synced before
            manifest.write(storage, tmp_path)
            continue
        with pytest.raises(JobError) as caught:
            manifest.write(storage, tmp_path)
        assert caught.value.exit_code is ExitCode.DISK
    assert read_manifest(tmp_path) == manifest


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /data rw,relatime shared:5 - nfs4 server:/export rw,vers=4.2
31 30 0:26 / /data/fast rw - xfs /dev/vdb rw
32 22 0:27 / /with\\040space rw - cifs //server/share rw
33 22 0:28 / /over rw - ext4 /dev/vdc rw
34 33 0:29 / /over rw - fuse.sshfs host: rw
not a mount
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/x", "ext4"),
        ("/data/out", "nfs4"),
        ("/data", "nfs4"),
        ("/database", "ext4"),
        ("/data/fast/out", "xfs"),
        ("/with space/out", "cifs"),
        ("/over/out", "fuse.sshfs"),
    ],
)
def test_a_folder_is_on_the_file_system_of_the_longest_mount_above_it(tmp_path, folder, kind):
    assert kind_of(type(tmp_path)(folder), MOUNTS) == kind


def test_a_network_file_system_is_warned_of_and_a_local_one_not(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("batchllm.journal.filesystem.MOUNTS", mounts)
    assert network_warning(tmp_path) is None, "where nobody can tell"
    mounts.write_text("22 1 254:0 / / rw - ext4 /dev/vda rw\n")
    assert network_warning(tmp_path) is None
    mounts.write_text("22 1 254:0 / / rw - nfs server:/ rw\n")
    assert "(nfs)" in network_warning(tmp_path)
