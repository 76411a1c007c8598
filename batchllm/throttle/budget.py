"""A budget for retries, so that a failing endpoint is not asked much more often than a healthy one (gRPC's rule)."""

from __future__ import annotations

FULL = 100.0
REFILL = 0.1


class RetryBudget:
    """100 tokens; a budgeted retry takes one, two after a time-out; each success gives back a tenth.

    Without a token a retry is put off, not failed: until successes have refilled the budget, or until nothing else is in
    flight, since one request at a time is no storm.
    """

    __slots__ = ("_tokens", "full")

    def __init__(self) -> None:
        self._tokens = FULL
        self.full = True

    def succeeded(self) -> None:
        self._tokens = min(FULL, self._tokens + REFILL)
        self.full = self._tokens >= FULL

    def take(self, cost: float) -> bool:
        """Take a retry's cost; False if the budget is used up."""
        if self._tokens < cost - 1e-9:
            return False
        self._tokens -= cost
        self.full = False
        return True
