"""A storage that fails at a chosen call: every call of a run is a numbered place where the process may die or the disk may."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batchllm.journal.storage import Storage

NEEDS_SPACE = frozenset({"open", "write", "mkdir", "replace", "fsync", "fsync_folder"})
CHANGES = frozenset({"open", "write", "mkdir", "replace", "ftruncate", "unlink", "rmdir", "fsync", "fsync_folder"})
_SPACE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})


class Killed(BaseException):
    """The process died here, as far as the code under test can tell. No `except Exception` and no cleanup helps."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the `at`-th storage call, counted from 1.

    `kill`: the process dies at the entry of the call. `torn`: a write takes `share` of its bytes (at least `least`, never
    all), then the process dies; other calls die at their entry. `error`: the call raises `number`, once or from then on
    (`lasting`; a full disk or quota fails only what needs room). `short`: a write takes `share` of its bytes and says so;
    with a `number`, the writes after it raise that, once or lastingly.
    """

    at: int
    kind: Literal["kill", "torn", "error", "short"] = "kill"
    number: int = 0
    lasting: bool = False
    share: float = 0.0
    least: int = 0

    def part(self, size: int) -> int:
        """How many of `size` bytes still get through."""
        return min(max(int(size * self.share), self.least), max(size - 1, 0))


class FaultyStorage(Storage):
    """Hands every call to `inner`, counts it, and carries out `fault` at its number.

    Once dead, no call has any effect and every one raises `Killed`, those of `finally` blocks and other threads
    included; the descriptors are closed, as the kernel would, so that locks are free for the next run.
    `trace` names each call and the file it touched. `fired` is called when the fault strikes.
    """

    def __init__(
        self, fault: Fault | None = None, inner: Storage | None = None, fired: Callable[[], None] = lambda: None
    ) -> None:
        self.inner = inner or Storage()
        self.fault = fault
        self.trace: list[str] = []
        self.dead = False
        self.struck = False
        self._fired = fired
        self._owner = threading.get_ident()
        self._after_short = False
        self._names: dict[int, str] = {}

    @property
    def calls(self) -> int:
        return len(self.trace)

    def kill(self) -> None:
        """The process is gone: its descriptors are closed, nothing it still tries has an effect."""
        self._strike()
        self.dead = True
        self._let_go()

    def _let_go(self) -> None:
        """Close every descriptor; by the thread that opened them, lest another call is just using one."""
        if threading.get_ident() == self._owner:
            for fd in self._names:
                self.inner.close(fd)
            self._names.clear()

    def _strike(self) -> None:
        if not self.struck:
            self.struck = True
            self._fired()

    def _enter(self, call: str, name: str) -> Fault | None:
        """Count a call; raise what is due at its entry, or give the fault that the call itself has to carry out."""
        if self.dead:
            self._let_go()
            raise Killed
        self.trace.append(f"{call} {name}")
        fault = self.fault
        if fault is None or self.calls < fault.at:
            return None
        if self.calls == fault.at:
            if call == "write" and fault.kind in ("torn", "short"):
                return fault
            if fault.kind in ("kill", "torn"):
                self.kill()
                raise Killed
            if fault.kind == "error":
                self._fail(fault)
        elif self._after_short and call == "write" and fault.number:
            self._after_short = fault.lasting
            self._fail(fault)
        elif fault.kind == "error" and fault.lasting and call in _failing(fault.number):
            self._fail(fault)
        return None

    def _fail(self, fault: Fault) -> None:
        self._strike()
        raise OSError(fault.number, os.strerror(fault.number))

    def open(self, path: Path, flags: int) -> int:
        if flags & os.O_CREAT:
            self._enter("open", path.name)
        elif self.dead:
            raise Killed
        fd = self.inner.open(path, flags)
        self._names[fd] = path.name
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        fault = self._enter("write", self._name(fd))
        if fault is None:
            return self.inner.write(fd, data)
        part = fault.part(len(data))
        written = self.inner.write(fd, data[:part]) if part else 0
        if fault.kind == "torn":
            self.kill()
            raise Killed
        self._strike()
        self._after_short = True
        return written

    def fsync(self, fd: int) -> None:
        self._enter("fsync", self._name(fd))
        self.inner.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        self._enter("ftruncate", self._name(fd))
        self.inner.ftruncate(fd, size)

    def replace(self, source: Path, target: Path) -> None:
        self._enter("replace", target.name)
        self.inner.replace(source, target)

    def flock(self, fd: int) -> None:
        self._enter("flock", self._name(fd))
        self.inner.flock(fd)

    def unlink(self, path: Path) -> None:
        self._enter("unlink", path.name)
        self.inner.unlink(path)

    def fsync_folder(self, path: Path) -> None:
        self._enter("fsync_folder", path.name)
        self.inner.fsync_folder(path)

    def close(self, fd: int) -> None:
        try:
            self._enter("close", self._name(fd))
        finally:  # a close that fails has closed all the same
            if self._names.pop(fd, None) is not None:
                self.inner.close(fd)

    def mkdir(self, path: Path) -> None:
        self._enter("mkdir", path.name)
        self.inner.mkdir(path)

    def rmdir(self, path: Path) -> None:
        self._enter("rmdir", path.name)
        self.inner.rmdir(path)

    def _name(self, fd: int) -> str:
        return self._names.get(fd, "?")


def _failing(number: int) -> frozenset[str]:
    """The calls that keep failing while a fault lasts."""
    return NEEDS_SPACE if number in _SPACE_ERRORS else CHANGES
