"""Limits shared out among workers, so that what all of them may use together never passes the whole. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf


def fair(total: float, needs: Mapping[int, float], *, whole: bool = False) -> dict[int, float]:
    """A share for each worker, in whole numbers if they are to be: nobody gets more than it needs, and what one leaves is spread
    over the others."""
    shares: dict[int, float] = {}
    left, rest = total, len(needs)
    for worker, need in sorted(needs.items(), key=lambda one: (one[1], one[0])):
        share = min(need, max(0.0, left) / rest)
        shares[worker] = float(int(share)) if whole else share
        left -= shares[worker]
        rest -= 1
    return shares


def part(most: int, workers: int) -> int:
    """What each of so many workers may use of a limit that nobody shares out while they run; one at least."""
    return max(1, most // workers)


class Leases:
    """What each worker may use of one limit. A share goes from one worker to another in two steps: the first is told of
    less and says that it keeps to it, and only then the other is told of more.

    Of a rate a minute (`cool_s` = 60) what one gave back is of use to others only once its requests have left the minute.
    Times are seconds of one monotonic clock.
    """

    def __init__(self, *, whole: bool = False, cool_s: float = 0.0) -> None:
        self._whole = whole
        self._cool_s = cool_s
        self._granted: dict[int, float] = {}
        self._held: dict[int, float] = {}
        self._cooling: deque[tuple[float, float]] = deque()

    def grant(self, worker: int, total: float, needs: Mapping[int, float], now: float) -> float:
        """The share this worker is told of next; `needs` holds the workers there are, `inf` for all that can be had."""
        target = self._target(worker, total, needs)
        held = self._held.get(worker, 0.0)
        free = total - sum(self._held.values()) - self._cooled(now)
        granted = min(target, held + max(0.0, free))
        if self._whole:
            granted = float(int(granted + 1e-9))
        self._granted[worker] = granted
        self._held[worker] = max(held, granted)
        return granted

    def _target(self, worker: int, total: float, needs: Mapping[int, float]) -> float:
        if self._whole or any(need != inf for need in needs.values()):
            return fair(total, needs, whole=self._whole).get(worker, 0.0)
        return total / len(needs) if worker in needs else 0.0

    def confirm(self, worker: int, used: float, now: float) -> None:
        """The worker keeps to its last share; `used` is what it uses all the same, since it had begun it before."""
        self._reduce(worker, max(self._granted.get(worker, 0.0), used), now)

    def used_up(self, worker: int, amount: float) -> None:
        """Of a limit that is used up for good, so much of this worker's share is."""
        for kept in (self._granted, self._held):
            if worker in kept:
                kept[worker] -= amount

    def release(self, worker: int, now: float) -> None:
        """The worker is gone."""
        self._reduce(worker, 0.0, now)
        self._granted.pop(worker, None)
        self._held.pop(worker, None)

    def _reduce(self, worker: int, to: float, now: float) -> None:
        back = self._held.get(worker, 0.0) - to
        if back > 0:
            self._held[worker] = to
            if self._cool_s:
                self._cooling.append((now + self._cool_s, back))

    def _cooled(self, now: float) -> float:
        while self._cooling and self._cooling[0][0] <= now:
            self._cooling.popleft()
        return sum(amount for _, amount in self._cooling)
