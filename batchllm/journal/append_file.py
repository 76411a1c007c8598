"""A file of whole lines that only grows: no reader ever sees a fused or torn line behind a good one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from batchllm.journal.storage import Storage
from batchllm.strictjson import loads

TAIL_BLOCK = 1 << 16


class AppendFile:
    """Appends lines to one file through `storage`. Raises OSError from any call, the file's end then rolled back.

    After a failed fsync the file must not be used again: the kernel reports the loss once and forgets the pages.
    """

    def __init__(self, storage: Storage, path: Path) -> None:
        self._storage = storage
        self.path = path
        self._fd = storage.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.size = os.fstat(self._fd).st_size
        self._torn = False

    def append(self, line: bytes) -> None:
        """Write one whole line (ending in a line feed) at once, or nothing of it."""
        if self._torn:
            self._roll_back()
        written = self._storage.write(self._fd, line)
        if written != len(line):
            self._finish(line, written)
        self.size += len(line)

    def _finish(self, line: bytes, written: int) -> None:
        """A short count is how a full disk announces itself: go on to the real error, then take the part back."""
        self._torn = True
        view = memoryview(line)
        try:
            while written < len(line):
                count = self._storage.write(self._fd, view[written:])
                if not count:
                    raise OSError(28, "no space left on the device")
                written += count
        except OSError:
            self._roll_back()
            raise
        self._torn = False

    def _roll_back(self) -> None:
        self._storage.ftruncate(self._fd, self.size)
        self._torn = False

    def sync(self) -> None:
        self._storage.fsync(self._fd)

    def close(self) -> None:
        self._storage.close(self._fd)

    def repair(self) -> str | None:
        """Make the file end in a whole line again before the first append; says what was done, None if nothing.

        Bytes behind the last line feed are kept where they are one complete document (it was paid for and lacks only
        its line feed); otherwise they are copied to `<name>.torn-<time>` and cut off.
        """
        tail = self._tail()
        if not tail:
            return None
        if _complete(tail):
            self.append(b"\n")
            self.sync()
            return f"{self.path.name}: the last line lacked its line feed; it was complete and is kept"
        aside = self.path.with_name(f"{self.path.name}.torn-{time.strftime('%Y%m%dT%H%M%S')}-{self.size}")
        self._keep_aside(aside, tail)
        self._storage.ftruncate(self._fd, self.size - len(tail))
        self.size -= len(tail)
        self.sync()
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
        try:
            view = memoryview(data)
            while view:
                view = view[self._storage.write(fd, view) :]
            self._storage.fsync(fd)
        finally:
            self._storage.close(fd)


def _complete(tail: bytes) -> bool:
    try:
        return isinstance(loads(tail), dict)
    except ValueError:
        return False
