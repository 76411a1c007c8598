"""Who ships to an address: one object with an owner, renewed while its run lives. Best effort: object stores have no locks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import orjson

from batchllm.cloud.bucket import Bucket, TakenError
from batchllm.errors import ExitCode, JobError
from batchllm.types import Json

NAME = "lease.json"
BEAT_S = 15.0
"""Seconds between renewals."""
DEAD_S = 50.0
"""A lease that was not renewed for so long, by the watch of who looks, is nobody's any more: clocks of machines differ."""
LOOK_S = 2.5
LONG_AGO_S = 900.0
"""One that says it is so old is nobody's without waiting."""


class Lease:
    """One owner's. Blocking; `sleep` and `clock` are there for tests."""

    def __init__(
        self,
        bucket: Bucket,
        owner: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._bucket = bucket
        self._owner = owner
        self._sleep, self._clock, self._wall = sleep, clock, wall
        self.renewed_at = -BEAT_S

    def await_free(self, tell: Callable[[str], None]) -> None:
        """Return once nobody else seems to be there. Raises `JobError` (75) where somebody is."""
        first = self._bucket.read_marked(NAME)
        if first is None or self._is_mine(first[0]) or self._is_old(first[0]):
            return
        tell(f"{self._bucket.at} was last used by {_who(first[0])}; waiting up to {DEAD_S:.0f} s to see whether it still is")
        until = self._clock() + DEAD_S
        while self._clock() < until:
            self._sleep(LOOK_S)
            now = self._bucket.read_marked(NAME)
            if now is None:
                return
            if now[0] != first[0]:
                raise self._taken(now[0])

    def take(self) -> None:
        """Be the owner from now on. Raises `JobError` (75) where somebody else was quicker."""
        try:
            self._write(self._bucket.read_marked(NAME))
        except TakenError:
            raise self._taken((self._bucket.read_marked(NAME) or (b"{}", None))[0]) from None

    def renew(self) -> None:
        """Where it is due. Raises `TakenError` where it is another's by now."""
        if self._clock() < self.renewed_at + BEAT_S:
            return
        found = self._bucket.read_marked(NAME)
        if found is not None and not self._is_mine(found[0]):
            raise TakenError
        self._write(found)

    def _write(self, found: tuple[bytes, str | None] | None) -> None:
        """Raises `TakenError`, but not over a write of its own that a library sent again because its answer was lost."""
        try:
            if found is None:
                self._bucket.create(NAME, self._text())
            else:
                self._bucket.replace(NAME, self._text(), found[1])
        except TakenError:
            now = self._bucket.read_marked(NAME)
            if now is None or not self._is_mine(now[0]):
                raise
        self.renewed_at = self._clock()

    def release(self) -> None:
        found = self._bucket.read_marked(NAME)
        if found is not None and self._is_mine(found[0]):
            self._bucket.remove(NAME)

    def _text(self) -> bytes:
        return orjson.dumps({"owner": self._owner, "host": socket.gethostname(), "pid": os.getpid(), "at": self._wall()})

    def _is_mine(self, text: bytes) -> bool:
        return bool(_read(text).get("owner") == self._owner)

    def _is_old(self, text: bytes) -> bool:
        at = _read(text).get("at")
        return not isinstance(at, int | float) or at < self._wall() - LONG_AGO_S

    def _taken(self, text: bytes) -> JobError:
        return JobError(ExitCode.TRY_LATER, f"{self._bucket.at} is in use by {_who(text)}; nothing was sent")


def at_work(bucket: Bucket, wall: float) -> str | None:
    """Who ships there, in words, where a lease was renewed lately by the clock of this machine. Raises what the bucket raises."""
    try:
        text = bucket.read(NAME)
    except FileNotFoundError:
        return None
    at = _read(text).get("at")
    if not isinstance(at, int | float) or at < wall - DEAD_S:
        return None
    return f"{_who(text)}, seen {max(0.0, wall - at):.0f} s ago"


def _read(text: bytes) -> Json:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _who(text: bytes) -> str:
    found = _read(text)
    return f"process {found.get('pid', '?')} on {found.get('host', 'an unknown machine')}"
