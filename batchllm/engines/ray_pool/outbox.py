"""What a worker has to tell, kept until the driver has it in the journal."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.engines.ray_pool.wire import Outcome

LINGER_SHARE = 0.06
LINGER_LEAST_S, LINGER_MOST_S = 0.02, 0.15
"""An outcome waits for others for so much of the time a request takes: a report costs the driver half a millisecond, whatever it
holds, and a worker's slots stay used to nine tenths."""
ENOUGH = 8
FORGETS = 0.1


class Outbox:
    """Outcomes in order, numbered from 1. A line's slot is free again only when its outcome is `acked`: so no more requests are
    lost with a worker, or with the driver, than may be in flight."""

    def __init__(self) -> None:
        self._kept: deque[Outcome] = deque()
        self._last = 0
        self._acked = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._news = asyncio.Event()
        self._many = asyncio.Event()
        self._ended = 0
        self.slots = 0
        """How many requests may be in flight: once half of them wait to be told, they are told."""
        self._latency_s = 0.0

    def add(self, outcome: Outcome) -> None:
        self._kept.append(outcome)
        self._last += 1
        self._news.set()

    def took(self, seconds: float) -> None:
        """A request has ended, and how long it took: from which follows how long outcomes may wait for each other."""
        self._latency_s += (seconds - self._latency_s) * FORGETS
        self._ended += 1
        if self._ended >= max(ENOUGH, self.slots // 2):
            self._many.set()

    def ack(self, number: int) -> None:
        """Outcomes up to this one stand in the journal."""
        while self._acked < min(number, self._last):
            self._kept.popleft()
            self._acked += 1
        while self._waiting and self._waiting[0][0] <= self._acked:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    async def acked(self) -> None:
        """Wait until everything that stands here now is in the journal."""
        if self._acked < self._last:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append((self._last, waiter))
            await waiter

    async def gathered(self, bound_s: float) -> None:
        """Return once there is something to tell and others had time to join it, or after `bound_s`."""
        if not self._kept and not await _within(bound_s, self._news):
            return
        await _within(min(max(self._latency_s * LINGER_SHARE, LINGER_LEAST_S), LINGER_MOST_S), self._many)

    def wake(self) -> None:
        """Something other than an outcome is to be told, and soon."""
        self._news.set()
        self._many.set()

    @property
    def first(self) -> int:
        return self._acked + 1

    def kept(self) -> list[Outcome]:
        """Everything that is not acked; the next gathering begins."""
        self._ended = 0
        self._news.clear()
        self._many.clear()
        return list(self._kept)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
