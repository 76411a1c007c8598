"""A file of whole lines that only grows: no reader ever sees a fused or torn line behind a good one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from batchllm.journal.storage import Storage, closing, write_all
from batchllm.strictjson import loads

TAIL_BLOCK = 1 << 16


class AppendFile:
    """Appends lines to one file through `storage`. `size` is where its last whole line ends, `synced` how much of that
    has been forced to disk. Raises OSError from any call, the file's end then rolled back (at the latest by the next one).

    After a failed fsync the file must not be used again: the kernel reports the loss once and forgets the pages.
    """

    def __init__(self, storage: Storage, path: Path) -> None:
        self._storage = storage
        self.path = path
        self._fd = storage.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.size = os.fstat(self._fd).st_size
        self.synced = -1  # what an earlier run wrote it may not have synced
        self._torn = False

    def append(self, line: bytes) -> None:
        """Write one whole line (ending in a line feed) at once, or nothing of it."""
        if self._torn:
            self._roll_back()
        self._torn = True  # until its last byte is out
        try:
            write_all(self._storage, self._fd, line)
        except OSError:
            with contextlib.suppress(OSError):
                self._roll_back()
            raise
        self._torn = False
        self.size += len(line)

    def _roll_back(self) -> None:
        """Take back what was written of a line that did not fit."""
        self._storage.ftruncate(self._fd, self.size)
        self._torn = False

    def sync(self) -> None:
        """Force to disk what has been appended so far; nothing to do where nothing has."""
        end = self.size
        if end != self.synced:
            self._storage.fsync(self._fd)
            self.synced = end

    def unsynced(self) -> bytes:
        """The whole lines behind the last sync, read back; those a failed fsync has left in the cache."""
        return os.pread(self._fd, self.size - self.synced, self.synced)

    def cut(self, size: int) -> None:
        """Take back everything behind `size`, the end of a whole line."""
        if self.size > size:
            self.size, self.synced = size, -1
            self._roll_back()

    def close(self) -> None:
        """Let go. What a close complains of, the last sync has complained of already."""
        with contextlib.suppress(OSError):
            self._storage.close(self._fd)

    def repair(self) -> str | None:
        """Make the file end in a whole line again before the first append; says what was done, None if nothing.

        Bytes behind the last line feed are kept where they are one complete document (it was paid for and lacks only
        its line feed); otherwise they are copied to `<name>.torn-<time>-<offset>` and cut off. Dying in between is
        harmless: the next repair finds the same tail.
        """
        tail = self._tail()
        if not tail:
            return None
        if _complete(tail):
            self.append(b"\n")
            return f"{self.path.name}: the last line lacked its line feed; it was complete and is kept"
        at = self.size - len(tail)
        aside = self.path.with_name(f"{self.path.name}.torn-{time.strftime('%Y%m%dT%H%M%S')}-{at}")
        self._keep_aside(aside, tail)
        self.cut(at)
        return f"{self.path.name}: {len(tail):,} bytes of a torn last line were moved to {aside.name}"

    def _tail(self) -> bytes:
        """The bytes behind the last line feed."""
        blocks: list[bytes] = []
        end = self.size
        while end > 0:
            start = max(0, end - TAIL_BLOCK)
            block = os.pread(self._fd, end - start, start)
            found = block.rfind(b"\n")
            blocks.append(block[found + 1 :])
            if found >= 0:
                break
            end = start
        return b"".join(reversed(blocks))

    def _keep_aside(self, path: Path, data: bytes) -> None:
        fd = self._storage.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with closing(self._storage, fd):
            write_all(self._storage, fd, data)
            self._storage.fsync(fd)
        self._storage.fsync_folder(path.parent)


def _complete(tail: bytes) -> bool:
    try:
        return isinstance(loads(tail), dict)
    except ValueError:
        return False


def whole_documents(data: bytes) -> Iterator[bytes]:
    """The lines of `data` that are whole and are JSON objects, with their line feeds."""
    for line in data.split(b"\n")[:-1]:
        if _complete(line):
            yield line + b"\n"
