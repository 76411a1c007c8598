"""A bucket in memory that behaves as S3's does, whose calls can be made to fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

CALLS = ("info", "cat_file", "pipe_file", "put_file", "rm_file", "get_file")


class AwayError(Exception):
    """What a library raises of its own."""


class Objects:
    """The part of fsspec that is used. `fails(name, number)` says whether this call fails; `late` fails after its work.

    `after_write` is called with every object that was written, whatever is answered; `before_read` before one is read, and
    `read` names those that were.
    """

    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.fails: Callable[[str, int], bool] = lambda name, number: False
        self.late = False
        self.after_write: Callable[[str], None] = lambda path: None
        self.before_read: Callable[[str], None] = lambda path: None
        self.read: list[str] = []
        self._lock = RLock()

    def _begin(self, name: str, path: str) -> bool:
        """Whether it fails at its end; raises where it fails before."""
        self.calls.append(name)
        failing = self.fails(name, len(self.calls))
        if failing and not self.late:
            raise AwayError(f"{name} {path}: the service is away")
        return failing

    def info(self, path: str) -> dict[str, Any]:
        with self._lock:
            self._begin("info", path)
            if path not in self.store:
                raise FileNotFoundError(path)
            return {"size": len(self.store[path]), "ETag": self._etag(path), "type": "file"}

    def cat_file(self, path: str) -> bytes:
        with self._lock:
            self._begin("cat_file", path)
            self.read.append(path)
            self.before_read(path)
            if path not in self.store:
                raise FileNotFoundError(path)
            return self.store[path]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", IfMatch: str | None = None) -> dict[str, Any]:  # noqa: N803
        with self._lock:
            late = self._begin("pipe_file", path)
            if mode == "create" and path in self.store:
                raise FileExistsError(path)
            if IfMatch is not None and (path not in self.store or self._etag(path) != IfMatch):
                raise OSError(22, "At least one of the pre-conditions you specified did not hold")
            self.store[path] = bytes(value)
            self.after_write(path)
            if late:
                raise AwayError(f"{path}: the answer was lost")
            return {"ETag": self._etag(path)}

    def put_file(self, local: str, path: str) -> None:
        with self._lock:
            self._begin("put_file", path)
            self.store[path] = Path(local).read_bytes()

    def get_file(self, path: str, local: str) -> None:
        with self._lock:
            self._begin("get_file", path)
            Path(local).write_bytes(self.store[path])

    def rm_file(self, path: str) -> None:
        with self._lock:
            self._begin("rm_file", path)
            self.store.pop(path, None)

    def _etag(self, path: str) -> str:
        return hashlib.md5(self.store[path]).hexdigest()
