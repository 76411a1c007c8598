"""Who is at work in a folder, asked without getting into anybody's way."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batchllm.journal.lock import LOCK_NAME, holder
from batchllm.journal.storage import Storage
from batchllm.strictjson import loads


@dataclass(frozen=True, slots=True)
class Presence:
    """The run that holds a folder: in words, and since when (None where its note does not say)."""

    words: str
    since: datetime | None


def at_work(folder: Path, storage: Storage | None = None) -> Presence | None:
    """The run that holds the folder's lock now; None if nobody does.

    The kernel's lock can only be asked about by trying to take it, and a run that starts in the very microseconds in
    which it is taken would be turned away. So it is not even tried where the note in the file names a process of
    this machine that is gone: a folder at rest is never locked by asking.
    """
    pid, host, since = _note(folder / LOCK_NAME)
    if pid is None or (host == socket.gethostname() and not _alive(pid)):
        return None
    words = holder(storage or Storage(), folder)
    return None if words is None else Presence(words, since)


def _note(path: Path) -> tuple[int | None, str, datetime | None]:
    try:
        note = loads(path.read_bytes())
        return int(note["pid"]), str(note["host"]), datetime.fromisoformat(note["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, "", None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False
    except PermissionError:
        return True
    return True
