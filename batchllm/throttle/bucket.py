"""`--rpm` and `--tpm`: reserve before sending, settle once the true figure is known."""

from __future__ import annotations

MINUTE_S = 60.0
SLOT_S = 0.1


class Bucket:
    """At most `limit` units in any 60 seconds, spread evenly: refills at `limit` a minute, up to `burst_s` seconds' worth.

    The bucket alone would let one burst more than the limit into a minute; so what went in the last minute is counted
    too, in slots of a tenth of a second. `settle` may drive the level below zero (the estimate was low): later requests
    wait for it. A single amount beyond the whole limit goes when nothing else went for a minute. Times are seconds of
    one monotonic clock.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate", "_slots", "_total", "limit")

    def __init__(self, limit: float, burst_s: float, now: float) -> None:
        self.relimit(limit, burst_s)
        self._level = self._burst
        self._at = now
        self._slots: dict[int, float] = {}
        self._total = 0.0

    def relimit(self, limit: float, burst_s: float) -> None:
        """Another limit from now on; what was taken in the last minute counts against it."""
        self.limit = limit
        self._rate = limit / MINUTE_S
        self._burst = max(self._rate * burst_s, 1.0)

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken; 0 if now. More than the whole bucket waits for a full one."""
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now
        missing = min(amount, self._burst) - self._level
        wait = missing / self._rate if missing > 1e-9 else 0.0
        self._forget(now)
        if self._total + amount > self.limit + 1e-9:
            wait = max(wait, self._until_room(now, amount))
        return wait

    def take(self, now: float, amount: float) -> None:
        self._level -= amount
        self._add(_slot(now), amount)

    def settle(self, sent_at: float, difference: float) -> None:
        """Correct a reservation made then: positive if more was used than reserved."""
        self._level = min(self._burst, self._level - difference)
        slot = _slot(sent_at)
        if slot in self._slots:
            self._add(slot, difference)

    def _add(self, slot: int, amount: float) -> None:
        self._slots[slot] = self._slots.get(slot, 0.0) + amount
        self._total += amount

    def _forget(self, now: float) -> None:
        slots = self._slots
        while slots and (oldest := next(iter(slots))) * SLOT_S + MINUTE_S <= now:
            self._total -= slots.pop(oldest)
        if not slots:
            self._total = 0.0  # sums of fractions drift

    def _until_room(self, now: float, amount: float) -> float:
        room, wait = self.limit - self._total, 0.0
        for slot, taken in self._slots.items():
            if amount <= room + 1e-9:
                break
            room += taken
            wait = slot * SLOT_S + MINUTE_S - now
        return wait


def _slot(now: float) -> int:
    """The tenth of a second that ends after `now`."""
    return int(now / SLOT_S) + 1
