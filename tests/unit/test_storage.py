"""The storage facade: files replaced as a whole, folders made durably, and nothing written around it."""

from __future__ import annotations

import ast
import errno
import os
import random
from pathlib import Path

import pytest

import batchllm
from batchllm.errors import ExitCode
from batchllm.journal.storage import cannot_write, make_folder, whole_file, write_all, write_whole
from batchllm.testing import Fault, FaultyStorage, Killed, PowerLossDisk, QuickDisk, SmallDisk

PACKAGE = Path(batchllm.__file__).parent
WRITERS = ("journal", "sinks/ordered.py", "engines", "pipeline.py")
"""Exports are not among them: they write files the user names, outside of the folder."""
AROUND = {"write_text", "write_bytes", "unlink", "rmdir", "mkdir", "rename", "replace", "touch", "symlink_to", "truncate"}
OS_CALLS = {"open", "write", "pwrite", "fsync", "ftruncate", "remove", *AROUND}


@pytest.fixture
def rng():
    return random.Random(1)


def _modules():
    for name in WRITERS:
        path = PACKAGE / name
        yield from ([path] if path.suffix else sorted(path.glob("*.py")))


@pytest.mark.parametrize("path", [one for one in _modules() if one.name != "storage.py"], ids=lambda path: path.name)
def test_whatever_writes_to_the_output_folder_goes_through_the_facade(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        where = f"{path.name}:{node.lineno}"
        if owner in ("os", "shutil"):
            assert node.func.attr not in OS_CALLS, where
        elif node.func.attr in AROUND and "storage" not in owner:
            # dataclasses.replace, str.replace and datetime.replace take other things than one path
            assert node.func.attr == "replace", where
        elif node.func.attr == "open" and node.args and "storage" not in owner:
            mode = node.args[0]
            assert not isinstance(mode, ast.Constant) or mode.value == "rb", where


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_replacement_that_fails_leaves_the_old_file_and_no_other(tmp_path, at, number):
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    storage = FaultyStorage(Fault(at, "error", number=number), QuickDisk())
    try:
        write_whole(storage, path, b"new")
    except OSError:
        assert path.read_bytes() in (b"old", b"new")
    else:
        assert path.read_bytes() == b"new"  # a close that complains behind a sync has lost nothing
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]


def test_a_replacement_abandoned_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), whole_file(QuickDisk(), path) as take:
        take("no bytes")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["results.jsonl"]


def test_large_content_is_written_in_large_pieces(tmp_path):
    storage = FaultyStorage(inner=QuickDisk())
    with whole_file(storage, tmp_path / "file") as take:
        for number in range(10_000):
            take(b"%099d\n" % number)
    assert (tmp_path / "file").read_bytes() == b"".join(b"%099d\n" % number for number in range(10_000))
    assert sum(call.startswith("write") for call in storage.trace) < 6


def test_short_counts_are_gone_on_with_to_the_end_or_to_the_error(tmp_path):
    disk = SmallDisk(tmp_path, 5)
    fd = disk.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="space") as caught:
        write_all(disk, fd, b"123456789")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "file").read_bytes() == b"12345"
    disk.close(fd)


def test_only_who_made_a_folder_is_told_so(tmp_path):
    assert make_folder(QuickDisk(), tmp_path / "a" / "b")
    assert not make_folder(QuickDisk(), tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(QuickDisk(), tmp_path / "file")


def test_every_new_folder_on_the_way_is_made_durable(tmp_path, rng):
    disk = PowerLossDisk()
    make_folder(disk, tmp_path / "a" / "b" / "c")
    disk.lose(rng)
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_the_refusal_names_the_folder_the_reason_and_that_nothing_was_sent(tmp_path):
    refusal = cannot_write(tmp_path, OSError(errno.EROFS, os.strerror(errno.EROFS)))
    assert refusal.exit_code is ExitCode.DISK
    assert str(refusal) == f"{tmp_path}: cannot be written: Read-only file system; nothing was sent"


def test_a_dead_storage_has_no_effect_and_holds_no_lock(tmp_path):
    storage = FaultyStorage(Fault(3), QuickDisk())
    fd = storage.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    storage.flock(fd)
    with pytest.raises(Killed):
        storage.write(fd, b"x")
    for late in (
        lambda: storage.unlink(tmp_path / "lock"),
        lambda: storage.write(fd, b"x"),
        lambda: storage.replace(tmp_path / "lock", tmp_path / "other"),
        lambda: storage.open(tmp_path / "lock", os.O_RDWR),
        lambda: storage.close(fd),
    ):
        with pytest.raises(Killed):
            late()
    disk = QuickDisk()
    again = disk.open(tmp_path / "lock", os.O_RDWR)
    disk.flock(again)
    disk.close(again)
    assert (tmp_path / "lock").read_bytes() == b""


@pytest.mark.parametrize(
    ("share", "least", "part"), [(0.0, 0, 0), (0.0, 1, 1), (0.5, 0, 500), (0.999, 0, 999), (1.0, 0, 999), (0.0, 5000, 999)]
)
def test_a_torn_write_gets_its_share_through_but_never_all(tmp_path, share, least, part):
    storage = FaultyStorage(Fault(2, "torn", share=share, least=least), QuickDisk())
    fd = storage.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(Killed):
        storage.write(fd, b"x" * 1000)
    assert (tmp_path / "file").stat().st_size == part


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_lasting_fault_spares_what_needs_no_room_on_a_full_disk_only(tmp_path, number):
    storage = FaultyStorage(Fault(2, "error", number=number, lasting=True), QuickDisk())
    fd = storage.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(number)):
            storage.write(fd, b"x")
    if number in (errno.ENOSPC, errno.EDQUOT):
        storage.ftruncate(fd, 0)
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            storage.ftruncate(fd, 0)
    storage.close(fd)


def test_a_power_cut_keeps_what_was_synced_and_at_most_what_was_written(tmp_path, rng):
    lengths = set()
    for number in range(60):
        disk, path = PowerLossDisk(), tmp_path / str(number)
        fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        disk.write(fd, b"synced")
        disk.fsync(fd)
        disk.fsync_folder(tmp_path)
        disk.write(fd, b"only written")
        disk.close(fd)
        disk.lose(rng)
        assert b"syncedonly written".startswith(path.read_bytes())
        lengths.add(path.stat().st_size)
    assert min(lengths) == 6
    assert max(lengths) == 18
    assert len(lengths) > 4


def test_a_power_cut_may_undo_names_that_no_folder_sync_covered(tmp_path, rng):
    outcomes = set()
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "old").write_bytes(b"old")
        disk = PowerLossDisk()
        fd = disk.open(folder / "new", os.O_WRONLY | os.O_CREAT)
        disk.write(fd, b"new")
        disk.fsync(fd)
        disk.close(fd)
        disk.replace(folder / "new", folder / "old")
        disk.lose(rng)
        outcomes.add(tuple(sorted((path.name, path.read_bytes()) for path in folder.iterdir())))
    assert outcomes == {(("old", b"new"),), (("new", b"new"), ("old", b"old")), (("old", b"old"),)}
