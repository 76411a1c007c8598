"""Where retries wait that the budget has no token for: first come, first served, outside every slot."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.throttle.budget import RetryBudget


class Deferral:
    """Lets budgeted retries through as tokens come back, or one at a time while nothing else is in flight."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()

    async def take(self, cost: float, *, idle: bool) -> None:
        """Wait for a token of this cost; `idle` says that nothing is in flight."""
        if not self._waiting and self._budget.take(cost):
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((waiter, cost))
        if idle:
            self.release(idle=True)
        await waiter

    def release(self, *, idle: bool) -> None:
        """Something has ended: let through whom the budget now pays for, or the first where nothing is in flight."""
        waiting = self._waiting
        while waiting:
            waiter, cost = waiting[0]
            if not waiter.done():
                if not self._budget.take(cost) and not idle:
                    return
                idle = False
                waiter.set_result(None)
            waiting.popleft()

    def __len__(self) -> int:
        return len(self._waiting)
