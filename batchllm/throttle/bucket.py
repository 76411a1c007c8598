"""Token buckets for `--rpm` and `--tpm`: reserve before sending, settle once the true figure is known."""

from __future__ import annotations


class Bucket:
    """Refills at `rate` units a second up to `burst`; times are seconds of one monotonic clock.

    `settle` may drive the level below zero (the estimate was low): later requests then wait for it.
    """

    __slots__ = ("_at", "_burst", "_level", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self._burst = max(burst, 1.0)
        self._level = self._burst
        self._at = now

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken; 0 if now. More than the whole bucket waits for a full one."""
        self._refill(now)
        missing = min(amount, self._burst) - self._level
        return missing / self.rate if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        self._level -= amount

    def settle(self, difference: float) -> None:
        """Correct a reservation: positive if more was used than reserved."""
        self._level = min(self._burst, self._level - difference)

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self.rate)
            self._at = now
