"""The operating-system calls everything durable goes through: one small facade, so that each call can be made to fail."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchllm.errors import ExitCode, JobError

FILE_MODE = 0o600  # prompts and answers are nobody else's business
FOLDER_MODE = 0o700
BUFFER = 1 << 18


class Storage:
    """The real calls. `batchllm.testing` has ones that count, fail, tear, fill up, kill, and lose power at a chosen call."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor for reading and writing, closed on exec; never through a symlink in the last place."""
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """The number of bytes taken; fewer than given is how a full disk announces itself."""
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
        """Make the names in a folder durable: what was created, renamed and removed in it."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def mkdir(self, path: Path) -> None:
        """One new folder. Raises FileExistsError where there is one: only its maker may ever remove it."""
        path.mkdir(mode=FOLDER_MODE)

    def rmdir(self, path: Path) -> None:
        path.rmdir()


def make_folder(storage: Storage, path: Path) -> bool:
    """The folder and its missing parents, their names made durable; whether this call made the folder itself."""
    if not path.parent.exists():
        make_folder(storage, path.parent)
    try:
        storage.mkdir(path)
    except FileExistsError:
        if path.is_dir():
            return False
        raise
    storage.fsync_folder(path.parent)
    return True


def write_all(storage: Storage, fd: int, data: bytes | memoryview) -> None:
    """Every byte of `data`, in as many calls as it takes. Raises OSError once the disk takes no more."""
    view = memoryview(data)
    while view:
        count = storage.write(fd, view)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[count:]


@contextmanager
def whole_file(storage: Storage, path: Path) -> Iterator[Callable[[bytes], None]]:
    """Replace a file as a whole: new file, fsync, rename, fsync of the folder. A crash leaves the old or the new one.

    Gives what takes the new content piece by piece. Where anything fails, the old file stays and the half-written one
    is removed: on a full disk it would stand in the way of what matters more.
    """
    temporary = path.with_name(f".{path.name}.new")
    fd = storage.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with closing(storage, fd):
            waiting = bytearray()

            def take(data: bytes) -> None:
                waiting.extend(data)
                if len(waiting) >= BUFFER:
                    write_all(storage, fd, bytes(waiting))
                    waiting.clear()

            yield take
            write_all(storage, fd, bytes(waiting))
            storage.fsync(fd)
        storage.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            storage.unlink(temporary)
        raise
    storage.fsync_folder(path.parent)


@contextmanager
def closing(storage: Storage, fd: int) -> Iterator[None]:
    """Closes whatever happens. What a close complains of is no loss here: the data is synced, or its error is on its way."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            storage.close(fd)


def write_whole(storage: Storage, path: Path, data: bytes) -> None:
    """Replace a file as a whole by `data`; see `whole_file`."""
    with whole_file(storage, path) as take:
        take(data)


def cannot_write(folder: Path, error: OSError) -> JobError:
    """The end of a run that has not begun: the disk said no before anything was sent."""
    return JobError(ExitCode.DISK, f"{folder}: cannot be written: {error.strerror or error}; nothing was sent")
