"""One timer for all that is in flight: timers of their own would be the costliest part of a request."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Generic, Protocol, TypeVar


class Bounded(Protocol):
    """Something that may take until `due`, in the loop's time, and then is told to end."""

    due: float

    def expire(self) -> None: ...


Kind = TypeVar("Kind", bound=Bounded)


class Watch(Generic[Kind]):
    """Rings at the earliest `due`; one that has moved away by then is seen when it rings.

    Who moves a `due` to an earlier time says so (`notice`).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._look_at = inf
        self._timer: asyncio.TimerHandle | None = None
        self.flying: set[Kind] = set()

    def notice(self, due: float) -> None:
        if due < self._look_at:
            if self._timer is not None:
                self._timer.cancel()
            self._look_at = due
            self._timer = self._loop.call_at(due, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        self._look_at, self._timer = inf, None
        for one in self.flying:
            if one.due <= now:
                # Not before the loop has read its sockets once more: a reply that lies there is paid for.
                self._loop.call_soon(self._loop.call_soon, self._expire, one)
        later = min((one.due for one in self.flying if one.due > now), default=inf)
        if later != inf:
            self.notice(later)

    def _expire(self, one: Kind) -> None:
        if one not in self.flying:
            return
        if one.due <= self._loop.time():
            one.expire()
        else:
            self.notice(one.due)
