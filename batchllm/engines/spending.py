"""Where requests wait for money: `--max-cost` as waiting and stopping. Without a budget it costs a comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchllm.billing import READS_ONLY, worst_cost
from batchllm.budget import Budget
from batchllm.engines.gate import GateClosed
from batchllm.errors import ExitCode, JobError
from batchllm.route import Route
from batchllm.steps import Asked


class Spending:
    """Sets the worst case of each request aside before it is sent, and settles it after.

    A request that does not fit waits while others are in flight, since most cost less than was set aside for them; with
    none in flight the budget is used up and `stop` is called with the ending (75).
    """

    def __init__(self, budget: Budget | None, route: Route, ceiling: int | None, stop: Callable[[JobError], None]) -> None:
        self._budget = budget
        self._route = route
        self._ceiling = ceiling
        self._stop = stop
        self._open = 0
        self._settled = asyncio.Event()

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return self._budget is not None

    async def afford(self, item: Asked) -> float:
        """Wait until the request fits; what was set aside for it. Raises `GateClosed` once none fits any more."""
        budget = self._budget
        assert budget is not None
        ceiling = 0 if item.request.url.endswith(READS_ONLY) else self._ceiling
        amount = worst_cost(item.body, self._route.prices(item.body.get("model", "")), ceiling)
        if amount is None:
            self._stop(_unbounded(item))
            raise GateClosed
        while not budget.reserve(amount):
            if not self._open:
                self._stop(_reached(budget))
                raise GateClosed
            self._settled.clear()
            await self._settled.wait()
        self._open += 1
        return amount

    def settle(self, amount: float, cost: float | None) -> None:
        """End a reservation: with what it cost, None where nobody told."""
        if self._budget is not None:
            self._budget.settle(amount, cost)
            self._open -= 1
            self._settled.set()

    def unsent(self, amount: float) -> None:
        """Give back what was set aside for a request that never went."""
        self.settle(amount, 0.0)


def _unbounded(item: Asked) -> JobError:
    return JobError(
        ExitCode.USAGE,
        f"line {item.request.line}: --max-cost needs a price for the model '{item.body.get('model', '')}' and a limit on the answer",
    )


def _reached(budget: Budget) -> JobError:
    return JobError(
        ExitCode.TRY_LATER,
        f"the budget of ${budget.limit:g} is used up: ${budget.spent:.4f} spent, and the next request might pass it; "
        "a higher --max-cost goes on",
    )
