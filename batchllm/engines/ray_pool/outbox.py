"""What a worker has to tell, kept until the driver has it in the journal."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.engines.ray_pool.wire import Outcome

FULL = 256
"""Outcomes that are sent without waiting for more."""
LINGER_SHARE = 0.04
LINGER_LEAST_S, LINGER_MOST_S = 0.004, 0.1
"""An outcome waits for others for so much of the time a request takes: a worker's slots stay used to 95 %, and the driver is
asked seldom."""
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
        self._latency_s = 0.0

    def add(self, outcome: Outcome) -> None:
        self._kept.append(outcome)
        self._last += 1
        self._news.set()

    def took(self, seconds: float) -> None:
        """How long a request took, from which follows how long outcomes may wait for each other."""
        self._latency_s += (seconds - self._latency_s) * FORGETS

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
        if not self._kept:
            self._news.clear()
            try:
                async with asyncio.timeout(bound_s):
                    await self._news.wait()
            except TimeoutError:
                return
        if len(self._kept) < FULL:
            await asyncio.sleep(min(max(self._latency_s * LINGER_SHARE, LINGER_LEAST_S), LINGER_MOST_S))

    def wake(self) -> None:
        """Something other than an outcome is to be told."""
        self._news.set()

    @property
    def first(self) -> int:
        return self._acked + 1

    def kept(self) -> list[Outcome]:
        """Everything that is not acked."""
        return list(self._kept)
