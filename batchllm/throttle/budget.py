"""A budget for retries, so that a failing endpoint is not asked much more often than a healthy one (gRPC's rule)."""

from __future__ import annotations

FULL = 100.0
REFILL = 0.1


class RetryBudget:
    """100 tokens; a budgeted retry takes one, two after a time-out; each success gives back a tenth.

    Without a token a retry is put off until successes refill the budget, or until `deferred_s` has passed: a batch can wait.
    """

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens = FULL

    def succeeded(self) -> None:
        if self._tokens < FULL:
            self._tokens += REFILL

    def take(self, cost: float) -> bool:
        """Take a retry's cost; False if the budget is used up."""
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True
