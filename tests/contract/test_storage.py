"""Every storage, the tests' own included, does what the real one does."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from batchllm.journal.storage import Storage
from batchllm.testing import FaultyStorage, PowerLossDisk, QuickDisk, SmallDisk

APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND


@pytest.fixture(params=["Storage", "QuickDisk", "PowerLossDisk", "SmallDisk", "FaultyStorage"])
def storage(request, tmp_path):
    return {
        "Storage": Storage,
        "QuickDisk": QuickDisk,
        "PowerLossDisk": PowerLossDisk,
        "SmallDisk": lambda: SmallDisk(tmp_path, 1 << 20),
        "FaultyStorage": FaultyStorage,
    }[request.param]()


def test_what_is_written_goes_to_the_end_and_is_counted(storage, tmp_path):
    (tmp_path / "file").write_bytes(b"one\n")
    fd = storage.open(tmp_path / "file", APPEND)
    assert storage.write(fd, b"two\n") == 4
    assert storage.write(fd, memoryview(b"three\n")[:3]) == 3
    storage.fsync(fd)
    storage.ftruncate(fd, 8)
    assert storage.write(fd, b"four\n") == 5
    storage.close(fd)
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\nfour\n"


def test_a_file_is_replaced_and_the_old_name_is_gone(storage, tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    fd = storage.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    storage.write(fd, b"new")
    storage.fsync(fd)
    storage.close(fd)
    storage.replace(tmp_path / "new", tmp_path / "old")
    storage.fsync_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"new"


def test_the_lock_is_exclusive_and_free_again_once_closed(storage, tmp_path):
    first, second = (storage.open(tmp_path / "lock", APPEND) for _ in range(2))
    storage.flock(first)
    with pytest.raises(BlockingIOError):
        storage.flock(second)
    storage.close(first)
    storage.flock(second)
    storage.close(second)


def test_files_and_folders_are_nobody_elses(storage, tmp_path):
    storage.mkdir(tmp_path / "folder")
    storage.close(storage.open(tmp_path / "folder" / "file", APPEND))
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == 0o600
    storage.unlink(tmp_path / "folder" / "file")
    storage.rmdir(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_folder_that_is_there_is_not_made_again(storage, tmp_path):
    with pytest.raises(FileExistsError):
        storage.mkdir(tmp_path)


def test_a_symlink_is_not_followed(storage, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic") as caught:
        storage.open(tmp_path / "link", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


def test_a_descriptor_is_not_inherited_by_a_child(storage, tmp_path):
    fd = storage.open(tmp_path / "file", APPEND)
    assert not os.get_inheritable(fd)
    storage.close(fd)
