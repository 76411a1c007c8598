"""`--max-cost`: reserve the worst case before sending, settle with what the reply says. Pure; US dollars."""

from __future__ import annotations


class Budget:
    """Money for all runs into one folder together; `spent` is what earlier ones cost.

    `reserve` says whether a request may still be sent. Each reservation is settled once: with its cost where that is
    known, in full where the outcome is not, so that the sum of what was sent never passes `limit` by more than what
    reservations were too low for the requests in flight.
    """

    __slots__ = ("_reserved", "limit", "spent")

    def __init__(self, limit: float, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self._reserved = 0.0

    def reserve(self, amount: float) -> bool:
        """Set `amount` aside for one request; False if it would not fit any more."""
        if self.spent + self._reserved + amount > self.limit + 1e-12:
            return False
        self._reserved += amount
        return True

    def settle(self, reserved: float, cost: float | None) -> None:
        """End a reservation: `cost` is what it really took, None if nobody told."""
        self._reserved -= reserved
        self.spent += reserved if cost is None else cost
