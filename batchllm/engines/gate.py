"""Where requests wait for their slot: the throttle's decisions, turned into waiting on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from batchllm.throttle import Throttle


class GateClosed(Exception):  # noqa: N818 - a state, not an error
    """Nothing more is let in: the run stops or drains."""


class Gate:
    """Lets requests in as the throttle allows; repeats mostly go before new lines. No slot is held while waiting."""

    def __init__(self, throttle: Throttle) -> None:
        self.throttle = throttle
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._again: deque[tuple[asyncio.Future[None], float]] = deque()
        self._new: deque[tuple[asyncio.Future[None], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, tokens: float = 0.0, *, again: bool = False) -> None:
        """Wait until one request may go and count it as sent. Raises `GateClosed` once nothing more may."""
        if self.closed:
            raise GateClosed
        if not self._again and not self._new:
            now = self._loop.time()
            if self.throttle.wait(now, tokens) <= 0:
                self.throttle.sent(now, tokens)
                return
        await self._queue(tokens, again=again)

    async def _queue(self, tokens: float, *, again: bool) -> None:
        waiter = self._loop.create_future()
        (self._again if again else self._new).append((waiter, tokens))
        self.wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                now = self._loop.time()
                self.throttle.cancelled(now, now)
                self.wake()
            raise

    def wake(self) -> None:
        """Let in whoever may go now, and come back by timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while queue := self._next():
            waiter, tokens = queue[0]
            if waiter.done():
                queue.popleft()
                continue
            wait = self.throttle.wait(now, tokens)
            if wait > 0:
                if wait != inf:
                    self._timer = self._loop.call_later(wait, self.wake)
                return
            queue.popleft()
            self.throttle.sent(now, tokens)
            waiter.set_result(None)

    def _next(self) -> deque[tuple[asyncio.Future[None], float]]:
        """Whose turn it is: repeats first, so that begun lines end; in an outage lines that have not failed yet, which
        tell whether the endpoint is to blame."""
        if self._new and self.throttle.breaker.troubled:
            return self._new
        return self._again or self._new

    @property
    def waiting(self) -> bool:
        return bool(self._again or self._new)

    def close(self) -> None:
        """Turn everybody away, those who wait included."""
        self.closed = True
        for queue in (self._again, self._new):
            while queue:
                waiter, _ = queue.popleft()
                if not waiter.done():
                    waiter.set_exception(GateClosed())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
