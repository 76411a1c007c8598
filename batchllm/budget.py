"""`--max-cost` and `--max-total-tokens`: reserve the worst case before sending, settle with what the reply says. Pure."""

from __future__ import annotations

from dataclasses import dataclass


class Budget:
    """An amount for all runs into one folder together, in any unit; `spent` is what earlier ones took.

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
        if self.spent + self._reserved + amount > self.limit + 1e-12 * max(1.0, self.limit):
            return False
        self._reserved += amount
        return True

    @property
    def committed(self) -> float:
        """What is spent or set aside."""
        return self.spent + self._reserved

    @property
    def passed(self) -> bool:
        """Whether what was spent and what is set aside come to more than there is: replies took more than was set aside."""
        return self.spent + self._reserved > self.limit + 1e-12 * max(1.0, self.limit)

    def settle(self, reserved: float, cost: float | None) -> None:
        """End a reservation: `cost` is what it really took, None if nobody told."""
        self._reserved -= reserved
        self.spent += reserved if cost is None else cost


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets of a run: US dollars, and tokens of prompts and answers together. None is no limit."""

    money: Budget | None = None
    tokens: Budget | None = None

    @property
    def limited(self) -> bool:
        """Whether there is any."""
        return self.money is not None or self.tokens is not None

    @property
    def passed(self) -> bool:
        """Whether any of them is."""
        return any(one is not None and one.passed for one in (self.money, self.tokens))

    def reserve(self, usd: float, tokens: float) -> Budget | None:
        """Set both amounts aside, or nothing: then the budget is given that has no room for its own."""
        if self.money is not None and not self.money.reserve(usd):
            return self.money
        if self.tokens is not None and not self.tokens.reserve(tokens):
            if self.money is not None:
                self.money.settle(usd, 0.0)
            return self.tokens
        return None

    def settle(self, reserved: tuple[float, float], took: tuple[float | None, float | None]) -> None:
        """End a reservation: dollars and tokens that it took, None where nobody told."""
        if self.money is not None:
            self.money.settle(reserved[0], took[0])
        if self.tokens is not None:
            self.tokens.settle(reserved[1], took[1])


def budgets(max_cost: float | None, max_tokens: int | None, spent_usd: float = 0.0, spent_tokens: float = 0.0) -> Budgets:
    """The budgets that are set, with what earlier runs took of them."""
    return Budgets(
        None if max_cost is None else Budget(max_cost, spent_usd),
        None if max_tokens is None else Budget(max_tokens, spent_tokens),
    )
