"""The operating-system calls everything durable goes through: one small facade, so that each call can be made to fail."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FILE_MODE = 0o600  # prompts and answers are nobody else's business
FOLDER_MODE = 0o700


class Storage:
    """The real calls. `batchllm.testing` has one that counts, fails, tears and kills at a chosen call."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor for reading and writing, closed on exec; never through a symlink in the last place."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone stops at the drive's cache
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)  # noqa: PTH105 - the facade names the system's own calls

    def flock(self, fd: int) -> None:
        """Take the exclusive lock or raise BlockingIOError at once; the kernel drops it when its holder dies."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def fsync_folder(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def write_whole(storage: Storage, path: Path, data: bytes) -> None:
    """Replace a file as a whole: new file, fsync, rename, fsync of the folder. A crash leaves the old or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    fd = storage.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        view = memoryview(data)
        while view:
            view = view[storage.write(fd, view) :]
        storage.fsync(fd)
    finally:
        storage.close(fd)
    storage.replace(temporary, path)
    storage.fsync_folder(path.parent)
