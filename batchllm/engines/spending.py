"""Where requests wait for money and tokens: budgets as waiting and stopping. Without any it costs a comparison."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from batchllm.billing import Charge, Worst
from batchllm.budget import Budget, Budgets
from batchllm.engines.gate import GateClosed
from batchllm.errors import ExitCode, JobError
from batchllm.steps import Asked


class BudgetReached(JobError):  # noqa: N818 - an ending, not a fault
    """The next request does not fit the budget; an engine that shares one out may have more to give."""


class Spending:
    """Sets the worst case of each request aside before it is sent, and settles it after.

    A request that does not fit waits while others are in flight, since most cost less than was set aside for them, and
    those behind it wait with it. With none in flight the budget is used up and `stop` is called with the ending (75).
    """

    def __init__(self, budgets: Budgets, stop: Callable[[JobError], None]) -> None:
        self._budgets = budgets
        self._stop = stop
        self._open = 0
        self._waiting: deque[tuple[asyncio.Future[None], Worst, int]] = deque()

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return self._budgets.limited

    @property
    def passed(self) -> bool:
        """Whether replies took so much more than was set aside that nothing that still waits may go."""
        return self._budgets.passed

    async def afford(self, item: Asked) -> Worst:
        """Wait until the request fits; what was set aside for it. Raises `GateClosed` once none fits any more."""
        worst, line = item.worst(), item.request.line
        if self._unbounded(worst):
            self._stop(_no_end(item))
            raise GateClosed
        if self._waiting or self._reserve(worst) is not None:
            await self._queue(worst, line)
        return worst

    def settle(self, worst: Worst, charge: Charge | None) -> None:
        """End a reservation with what was billed; None where nobody waited to be told."""
        took = (None, None) if charge is None else (charge.usd, charge.tokens)
        self._budgets.settle((worst.usd or 0.0, worst.tokens or 0.0), took)
        self._open -= 1
        self._admit()

    def unsent(self, worst: Worst) -> None:
        """Give back what was set aside for a request that never went."""
        self.settle(worst, Charge("no"))

    def _unbounded(self, worst: Worst) -> bool:
        return worst.tokens is None or (self._budgets.money is not None and worst.usd is None)

    def _reserve(self, worst: Worst) -> Budget | None:
        full = self._budgets.reserve(worst.usd or 0.0, worst.tokens or 0.0)
        self._open += full is None
        return full

    async def _queue(self, worst: Worst, line: int) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((waiter, worst, line))
        self._admit()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.unsent(worst)
            raise

    def _admit(self) -> None:
        """Let in who has waited longest and fits now; where that one never will, the run has come to its end."""
        while self._waiting:
            waiter, worst, line = self._waiting[0]
            full = None if waiter.done() else self._reserve(worst)
            if full is not None and self._open:
                return
            self._waiting.popleft()
            if waiter.done():
                continue
            if full is None:
                waiter.set_result(None)
            else:
                self._stop(self._reached(full, worst, line))
                waiter.set_exception(GateClosed())

    def _reached(self, full: Budget, worst: Worst, line: int) -> BudgetReached:
        if full is self._budgets.money:
            spent, next_one = f"${full.limit:g} is used up: ${full.spent:.4f} spent", f"${worst.usd:.4f}"
            flag = "--max-cost"
        else:
            spent = f"{full.limit:,.0f} tokens is used up: {full.spent:,.0f} spent"
            next_one, flag = f"{worst.tokens:,.0f} tokens", "--max-total-tokens"
        return BudgetReached(
            ExitCode.TRY_LATER,
            f"the budget of {spent}, and the next request (line {line}) may take up to {next_one}; a higher {flag} goes on",
        )


def _no_end(item: Asked) -> JobError:
    return JobError(
        ExitCode.USAGE,
        f"line {item.request.line}: a budget needs a limit on the answer, and --max-cost a price for the model "
        f"'{item.body.get('model', '')}'",
    )
