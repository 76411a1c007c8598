"""Where retries wait that the budget has no token for: first come, first served, outside every slot."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.throttle.budget import RetryBudget


class Deferral:
    """Lets budgeted retries through as tokens come back. While nothing is in flight the first goes without one: such a
    free pass is given back with `ended`, before the next is given out."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[bool], float]] = deque()
        self._pass_is_out = False

    async def take(self, cost: float, *, idle: bool) -> bool:
        """Wait for tokens of this cost, or the free pass: True for the latter. `idle` says that nothing is in flight."""
        if not self._waiting and self._budget.take(cost):
            return False
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append((waiter, cost))
        self.release(idle=idle)
        return await waiter

    def release(self, *, idle: bool) -> None:
        """Something has ended: let through whom the budget now pays for, or the first where nothing is in flight."""
        waiting = self._waiting
        while waiting:
            waiter, cost = waiting[0]
            if not waiter.done():
                paid = self._budget.take(cost)
                if not paid and (self._pass_is_out or not idle):
                    return
                self._pass_is_out |= not paid
                waiter.set_result(not paid)
            waiting.popleft()

    def ended(self, *, idle: bool) -> None:
        """The retry that went on the free pass has come to its end."""
        self._pass_is_out = False
        self.release(idle=idle)

    def __len__(self) -> int:
        return len(self._waiting)
