"""Where requests wait for their slot: the throttle's decisions, turned into waiting on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Protocol

from batchllm.throttle import Throttle
from batchllm.throttle.fleet import NOBODY, Fleet, Shunned, Told

TRIES = 8
"""Repeats that are passed over where they may not go to the endpoint that has room: so many, then new lines."""
_Waiters = deque[tuple[asyncio.Future[Told], float, Shunned]]


class GateClosed(Exception):  # noqa: N818 - a state, not an error
    """Nothing more is let in: the run stops or drains."""


class Door(Protocol):
    """What a pool needs of the place where its requests wait; a `Gate`, or one door of a house with several."""

    throttle: Throttle
    closed: bool
    flying: int
    """Requests that were let in here and have not left."""

    @property
    def width(self) -> int:
        """How many may be let in here at once, as things stand: there is no use in more workers."""
        ...

    async def enter(self, tokens: float = 0.0, *, again: bool = False, shunned: Shunned = NOBODY) -> Told | None:
        """Wait until one request may go and count it as sent. Raises `GateClosed` once nothing more may.

        Gives whom to tell what became of it: where there are several endpoints the member it goes to (none of those that
        are `shunned`); None is the throttle.
        """
        ...

    def leave(self) -> None:
        """One that was let in has come to its end."""
        ...

    def close(self) -> None:
        """Turn everybody away, those who wait included."""
        ...


class Gate:
    """Lets requests in as the throttle allows, and one member of the fleet where there is one; repeats mostly go before new
    lines. No slot is held while waiting."""

    def __init__(self, throttle: Throttle, fleet: Fleet | None = None) -> None:
        self.throttle = throttle
        self._fleet = fleet
        self.closed = False
        self.flying = 0
        self._loop = asyncio.get_running_loop()
        self._again: _Waiters = deque()
        self._new: _Waiters = deque()
        self._timer: asyncio.TimerHandle | None = None
        throttle.on_change = self.wake

    async def enter(self, tokens: float = 0.0, *, again: bool = False, shunned: Shunned = NOBODY) -> Told:
        """Wait until one request may go and count it as sent. Raises `GateClosed` once nothing more may."""
        if self.closed:
            raise GateClosed
        if not self._again and not self._new:
            told, _ = self._admit(self._loop.time(), tokens, shunned)
            if told is not None:
                return told
        return await self._queue(tokens, shunned, again=again)

    def _admit(self, now: float, tokens: float, shunned: Shunned) -> tuple[Told | None, float]:
        """Count one request as sent, where it may go; else the seconds until it may."""
        wait = self.throttle.wait(now, tokens)
        if wait > 0:
            return None, wait
        if self._fleet is None:
            self.throttle.sent(now, tokens)
            self.flying += 1
            return self.throttle, 0.0
        member, wait = self._fleet.choose(now, tokens, shunned)
        if member is not None:
            self._fleet.sent(member, now, tokens)
            self.flying += 1
        return member, wait

    async def _queue(self, tokens: float, shunned: Shunned, *, again: bool) -> Told:
        waiter: asyncio.Future[Told] = self._loop.create_future()
        (self._again if again else self._new).append((waiter, tokens, shunned))
        self.wake()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                now = self._loop.time()
                waiter.result().cancelled(now, now)
                self.flying -= 1
                self.wake()
            raise

    def leave(self) -> None:
        self.flying -= 1
        if self.waiting:
            self.wake()

    def wake(self) -> None:
        """Let in whoever may go now, and come back by timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, soonest, passed = self._loop.time(), inf, 0
        while queue := self._next(passed):
            waiter, tokens, shunned = queue[0]
            if waiter.done():
                queue.popleft()
                continue
            told, wait = self._admit(now, tokens, shunned)
            if told is not None:
                queue.popleft()
                waiter.set_result(told)
                continue
            soonest = min(soonest, wait)
            if not self._others_may(now, tokens, shunned):
                break
            queue.rotate(-1)
            passed += 1
        if soonest != inf:
            self._timer = self._loop.call_later(soonest, self.wake)

    def _others_may(self, now: float, tokens: float, shunned: Shunned) -> bool:
        """Whether it is this line alone that has to wait: there is room at an endpoint it may not go to."""
        return bool(shunned) and self._fleet is not None and self._fleet.choose(now, tokens)[0] is not None

    def _next(self, passed: int) -> _Waiters:
        """Whose turn it is: repeats first, so that begun lines end; in an outage lines that have not failed yet, which
        tell whether the endpoint is to blame. New ones too where so many repeats were passed over."""
        troubled = self.throttle.breaker.troubled if self._fleet is None else self._fleet.troubled
        repeats = passed < min(TRIES, len(self._again))
        return self._again if repeats and not (troubled and self._new) else self._new

    @property
    def waiting(self) -> bool:
        return bool(self._again or self._new)

    @property
    def width(self) -> int:
        return self.throttle.limiter.limit

    def close(self) -> None:
        """Turn everybody away, those who wait included."""
        self.closed = True
        for queue in (self._again, self._new):
            while queue:
                waiter = queue.popleft()[0]
                if not waiter.done():
                    waiter.set_exception(GateClosed())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
