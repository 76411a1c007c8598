"""One run per output folder: a kernel lock, with a note for people of who holds it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage, make_folder

LOCK_NAME = ".lock"
TRIES = 3
PAUSE_S = 0.05
"""`batchllm status` takes the lock for a moment to see whether it is free; a run that meets it knocks again."""


class FolderMovedError(JobError):
    """The folder was moved or removed while its lock was waited for: what is held now is the lock of another folder."""


class FolderLock:
    """Held from construction to `close` (or the process's death). Raises `JobError` (75) if another run holds it.

    The lock is the kernel's (flock); the pid and time inside the file only serve the message, so a stale file blocks nobody.
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        self._path = folder / LOCK_NAME
        self._fd = storage.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            self._take(folder)
        except BaseException:
            self.close()
            raise
        self._note()

    def _take(self, folder: Path) -> None:
        for tries_left in reversed(range(TRIES)):
            try:
                self._storage.flock(self._fd)
            except BlockingIOError:
                if not tries_left:
                    raise _in_use(folder, self._path) from None
                time.sleep(PAUSE_S)
            else:
                break
        if not self._still_there():
            raise FolderMovedError(ExitCode.TRY_LATER, f"{folder} is being replaced by another run; nothing was sent")

    def _still_there(self) -> bool:
        """Whether the path still leads to the file that is locked: `--fresh` elsewhere may just have moved it aside."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _note(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = orjson.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}) + b"\n"
        with contextlib.suppress(OSError):  # the lock is held without it; a full disk shows soon enough
            self._storage.ftruncate(self._fd, 0)
            self._storage.write(self._fd, note)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._storage.close(self._fd)


def take_folder(storage: Storage, folder: Path) -> tuple[FolderLock, bool]:
    """The lock of a folder, made if need be; and whether this call made it. Raises `JobError` (75) and OSError."""
    made = False
    for tries_left in reversed(range(TRIES)):
        made = make_folder(storage, folder) or made
        try:
            return FolderLock(storage, folder), made
        except (FolderMovedError, FileNotFoundError):
            made = False
            if not tries_left:
                raise
    raise AssertionError


def _in_use(folder: Path, path: Path) -> JobError:
    return JobError(ExitCode.TRY_LATER, f"{folder} is in use by another run{_holder(path)}; nothing was sent")


def _holder(path: Path) -> str:
    try:
        note = orjson.loads(path.read_bytes())
        return f" (process {note['pid']} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def holder(storage: Storage, folder: Path) -> str | None:
    """Who holds the folder now, in words; None if nobody does."""
    path = folder / LOCK_NAME
    try:
        fd = storage.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        storage.flock(fd)
    except BlockingIOError:
        return _holder(path).strip(" ()") or "another process"
    finally:
        storage.close(fd)
    return None
