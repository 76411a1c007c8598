"""Disks with a character: one that forces nothing, one that is small, one that loses what was not forced."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from batchllm.journal.storage import Storage


class QuickDisk(Storage):
    """Real files, but nothing is forced to the platter: a killed process loses nothing by that, and tests win much time."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)

    def fsync_folder(self, path: Path) -> None:
        path.stat()


class SmallDisk(QuickDisk):
    """Holds `capacity` bytes below `folder`: a write takes what still fits, and the next one raises ENOSPC.

    What is unlinked, truncated or replaced makes room again.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self.folder = folder
        self.capacity = capacity
        self.full = False

    def room(self) -> int:
        used = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return max(0, self.capacity - used)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        fitting = data[: self.room()]
        if len(fitting) < len(data):
            self.full = True
        if not fitting:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, fitting)


class PowerLossDisk(QuickDisk):
    """Remembers of every file what its last fsync covered, and of every folder which names its last fsync covered.

    `lose` then does what POSIX allows a power cut to do: each file ends at a random point between its synced and its
    written end, and a random number of the latest creations, renames and removals in each folder never happened.
    """

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, bytes] = {}
        self._undo: dict[Path, list[Callable[[], None]]] = {}

    def synced(self, path: Path) -> bytes:
        """The content that the last fsync of this file covered."""
        if path not in self._synced and path.exists():
            return path.read_bytes()  # not opened since the beginning: on the platter long since
        return self._synced.get(path, b"")

    def open(self, path: Path, flags: int) -> int:
        existed = path.exists()
        if existed and path not in self._synced:
            self._synced[path] = path.read_bytes()  # from before our time: on the platter long since
        fd = super().open(path, flags)
        self._paths[fd] = path
        if not existed:
            self._synced[path] = b""
            self._later(path.parent, lambda: self._remove(path))
        return fd

    def fsync(self, fd: int) -> None:
        path = self._paths[fd]
        self._synced[path] = path.read_bytes()

    def fsync_folder(self, path: Path) -> None:
        self._undo.pop(path, None)

    def replace(self, source: Path, target: Path) -> None:
        if source.is_dir():
            super().replace(source, target)
            self._later(target.parent, lambda: os.rename(target, source))  # noqa: PTH104 - gives None, as an undo should
            return
        old = self._saved(target)
        new_content, new_synced = self._saved(source) or (b"", b"")
        super().replace(source, target)
        self._synced[target] = self._synced.pop(source, new_synced)

        def undo() -> None:
            self._remove(target)
            self._restore(source, (new_content, new_synced))
            if old is not None:
                self._restore(target, old)

        self._later(target.parent, undo)

    def unlink(self, path: Path) -> None:
        saved = self._saved(path)
        super().unlink(path)
        self._synced.pop(path, None)
        if saved is not None:
            kept = saved
            self._later(path.parent, lambda: self._restore(path, kept))

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self._later(path.parent, lambda: shutil.rmtree(path, ignore_errors=True))

    def rmdir(self, path: Path) -> None:
        super().rmdir(path)
        self._later(path.parent, lambda: path.mkdir(exist_ok=True))

    def lose(self, rng: random.Random) -> None:
        """The power goes. Every descriptor must be closed (the process is dead)."""
        for folder in sorted(self._undo, key=lambda one: -len(one.parts)):
            latest = self._undo[folder]
            for undo in reversed(latest[rng.randint(0, len(latest)) :]):
                undo()
        for path, synced in self._synced.items():
            if path.is_file():
                path.write_bytes(_left(path.read_bytes(), synced, rng))
        self._undo.clear()
        self._synced.clear()

    def _later(self, folder: Path, undo: Callable[[], None]) -> None:
        self._undo.setdefault(folder, []).append(undo)

    def _saved(self, path: Path) -> tuple[bytes, bytes] | None:
        """A file's content now and at its last fsync; None if there is none."""
        if not path.exists():
            return None
        content = path.read_bytes()
        return content, self._synced.get(path, content)

    def _restore(self, path: Path, saved: tuple[bytes, bytes]) -> None:
        if path.parent.exists():
            path.write_bytes(saved[0])
            self._synced[path] = saved[1]

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._synced.pop(path, None)


def _left(written: bytes, synced: bytes, rng: random.Random) -> bytes:
    """What a power cut leaves of a file: the synced content, grown or shrunk part of the way to what was written."""
    longer, shorter = (written, synced) if len(written) >= len(synced) else (synced, written)
    if longer.startswith(shorter):
        return longer[: rng.choice((len(shorter), len(longer), rng.randint(len(shorter), len(longer))))]
    return rng.choice((written, synced))
