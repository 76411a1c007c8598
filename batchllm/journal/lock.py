"""One run per output folder: a kernel lock, with a note for people of who holds it."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage

LOCK_NAME = ".lock"


class FolderLock:
    """Held from construction to `close` (or the process's death). Raises `JobError` (75) if another run holds it.

    The lock is the kernel's (flock); the pid and time inside the file only serve the message, so a stale file blocks nobody.
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        path = folder / LOCK_NAME
        self._fd = storage.open(path, os.O_RDWR | os.O_CREAT)
        try:
            storage.flock(self._fd)
        except BlockingIOError:
            storage.close(self._fd)
            raise JobError(ExitCode.TRY_LATER, f"{folder} is in use by another run{_holder(path)}; nothing was sent") from None
        except OSError:
            storage.close(self._fd)
            raise
        self._note()

    def _note(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = orjson.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}) + b"\n"
        self._storage.ftruncate(self._fd, 0)
        self._storage.write(self._fd, note)

    def close(self) -> None:
        self._storage.close(self._fd)


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
