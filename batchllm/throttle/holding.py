"""One limit as a process knows it that shares it with others: in the place of a `Bucket`. Pure.

It takes from what it holds. What it holds, and for how long, is told by `granted`, after `ask` has told the others what
was taken; `on_need` is called as soon as it is worth while to go and ask.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from batchllm.throttle.pool import TINY, Ask, Grant, slot_of

LATE_S = 1.0
"""A grant wakes whoever waits; this is for one that never comes."""
LOW = 0.5
"""Below this share of what it had, more is asked for before anybody has to wait."""
GROWTH = 2.0
"""So many times what was used since the last visit is wanted at the next."""


class Holding:
    """`limit` is the one that holds among all processes; None where none of them set any. Times are monotonic seconds."""

    __slots__ = ("_had", "_held", "_need", "_settled", "_taken", "_until", "limit", "on_need", "told")

    def __init__(self, limit: float | None) -> None:
        self.told = self.limit = limit
        self.on_need: Callable[[], None] | None = None
        self._held = self._had = 0.0
        self._until = -inf
        self._need = 0.0
        self._taken: dict[int, float] = {}
        self._settled: dict[int, float] = {}

    def wait(self, now: float, amount: float) -> float:
        """0 where `amount` may be taken now; else the need is noted and `granted` will tell more."""
        if self.limit is None or amount <= 0 or (now < self._until and amount <= self._held + TINY):
            return 0.0
        self._need = amount
        self._wanted()
        return LATE_S

    def take(self, now: float, amount: float) -> None:
        slot = slot_of(now)
        self._taken[slot] = self._taken.get(slot, 0.0) + amount
        if self.limit is None:
            return
        self._held = max(0.0, self._held - amount)
        if self._held < LOW * self._had:
            self._wanted()

    def settle(self, sent_at: float, difference: float) -> None:
        """Correct a reservation made then: positive if more was used than reserved."""
        slot = slot_of(sent_at)
        self._settled[slot] = self._settled.get(slot, 0.0) + difference

    def relimit(self, limit: float | None) -> None:
        """This process's own word from now on; the lowest of all processes counts."""
        self.told = limit
        self._wanted()

    def ask(self, now: float) -> Ask:
        """What to tell the others, who have to hear it: it is told once."""
        used = sum(self._taken.values())
        kept = self._held if now < self._until else 0.0
        if not self._need and not used:
            kept = 0.0
        need = max(0.0, self._need - kept)
        want = max(need, GROWTH * used - kept) if self._need or used else 0.0
        made = Ask(self.told, self._taken, self._settled, self._held - kept, need, want)
        self._taken, self._settled, self._need, self._held = {}, {}, 0.0, kept
        return made

    def leave(self) -> Ask:
        """The last word: everything that is left goes back."""
        made = Ask(self.told, self._taken, self._settled, self._held)
        self._taken, self._settled, self._held = {}, {}, 0.0
        return made

    def granted(self, grant: Grant, until: float) -> None:
        """What came of asking; all that is held is good until then."""
        self.limit = grant.limit
        self._held += grant.amount
        self._had = self._held
        self._until = until

    def _wanted(self) -> None:
        if self.on_need is not None:
            self.on_need()
