"""The rate a server bears, learned from its refusals and kept to: so that the next refusal is rare."""

from __future__ import annotations

from math import sqrt

MARK_S = 0.5
RECENT_S = 2.0  # a clock that jumped says nothing of the rate
STEP_S = 1.0
STEP_SENT = 10
STEP_MAX_S = 20.0
HOLD_S = 20.0
HOLD_SENT = 200
HOLD_MAX_S = 60.0
BELOW = 0.98
CUT = 0.5
TIGHT = 0.8
WARY, BOLD, BOLDEST = 0.01, 0.1, 0.5
MEASURED = 10
MEASURED_S = 0.5
MEASURED_ENOUGH_S = 2.0
BURST_S = 0.1
LEAST = 1 / 60
USED = 0.9


class Pace:
    """Idle until the first refusal. `rate` is requests a second, None while nothing was learned; times are monotonic seconds.

    Between two refusals a token bucket lets through its rate times the time, whatever its burst: so (let through - 1) /
    seconds is a floor under the true rate, and the rate sent at was above it. A refusal sets the pace just below that
    floor, or to half where the floor is further down (nothing was measured yet, or the limit fell); whatever was sent
    before a cut says nothing about the pace after it. Where floor and ceiling are close the rate is known: it is held
    for a while. Then, and at once where it is not known, it grows in steps that double until the next refusal.
    """

    __slots__ = (
        "_accepted", "_anchor", "_cut_at", "_earlier", "_earlier_accepted", "_growth", "_held", "_held_before",
        "_hold_until", "_last_mark", "_level", "_level_at", "_mark", "_step_at", "_step_sent", "rate", "watch_at",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.rate: float | None = None
        self.watch_at = now + MARK_S
        self._mark = self._last_mark = (now, 0)
        self._cut_at = float("-inf")
        self._anchor = self._earlier = float("-inf")
        self._accepted = self._earlier_accepted = 0
        self._level = 1.0
        self._level_at = now
        self._growth = WARY
        self._hold_until = now
        self._step_at = now
        self._step_sent = 0
        self._held = self._held_before = False

    @property
    def holding(self) -> bool:
        """Whether it is this pace that holds the pool back lately."""
        return self._held or self._held_before

    def wait(self, now: float) -> float:
        """Seconds until the pace lets one more go; 0 if now. Meaningless before a rate is learned."""
        rate = self.rate
        assert rate is not None
        self._level = min(1.0 + rate * BURST_S, self._level + (now - self._level_at) * rate)
        self._level_at = now
        if self._level >= 1.0 - 1e-9:
            return 0.0
        self._held = True
        return (1.0 - self._level) / rate

    def sent(self, now: float, count: int) -> None:
        """To be told from `watch_at` on; `count` is how many were sent so far."""
        if self.rate is None:
            self._last_mark, self._mark = self._mark, (now, count)
            self.watch_at = now + MARK_S
            return
        self._level -= 1.0
        self._accepted += 1
        self._earlier_accepted += 1
        self._step_sent += 1
        elapsed = now - self._step_at
        if elapsed >= STEP_MAX_S or (elapsed >= STEP_S and self._step_sent >= STEP_SENT):
            self._step(now, self.rate)

    def _step(self, now: float, rate: float) -> None:
        used = self._step_sent >= USED * rate * (now - self._step_at)
        if used and now >= self._hold_until:
            self.rate = rate * (1 + self._growth)
            self._growth = min(BOLDEST, self._growth * 2)
        self._held_before = self._held
        self._step_at, self._step_sent, self._held = now, 0, False

    def refused(self, sent_at: float, now: float, count: int, hint: float, *, slow_ramp: bool = False) -> None:
        if sent_at >= self._anchor:
            self._accepted -= 1
        if sent_at >= self._earlier:
            self._earlier_accepted -= 1
        if sent_at < self._cut_at:
            return
        rate = self.rate if self.rate is not None else self._recent(now, count)
        floor = self._floor(now)
        known = floor >= rate * TIGHT
        cut = max(sqrt(floor * rate) * BELOW, rate * (CUT * CUT if slow_ramp else CUT))
        self.rate = cut = max(LEAST, min(cut, rate * BELOW))
        self.watch_at = float("-inf")
        self._growth = WARY if known else BOLD
        if known:
            self._hold_until = now + min(HOLD_MAX_S, max(HOLD_S, HOLD_SENT / cut, 2 * hint))
        self._measure_anew(now)
        self._cut_at = self._step_at = self._level_at = now
        self._held_before = self._held
        self._step_sent, self._held, self._level = 0, False, 0.0

    def lately(self, count: int) -> int:
        """How many were sent in the last second or so."""
        return count - self._last_mark[1] if self.rate is None else self._step_sent

    def _recent(self, now: float, count: int) -> float:
        """The rate sent at lately, before any was learned."""
        at, sent = self._last_mark
        return max(1.0, count - sent) / max(MARK_S, min(now - at, RECENT_S))

    def _floor(self, now: float) -> float:
        elapsed, earlier = now - self._anchor, now - self._earlier
        if self._anchor == float("-inf"):
            return 0.0
        if self._measured(now) or self._earlier == float("-inf"):
            return _rate(self._accepted, elapsed)
        return _rate(self._earlier_accepted, earlier)

    def _measured(self, now: float) -> bool:
        elapsed = now - self._anchor
        return elapsed >= MEASURED_ENOUGH_S or (self._accepted >= MEASURED and elapsed >= MEASURED_S)

    def _measure_anew(self, now: float) -> None:
        if self._measured(now):
            if self._anchor > float("-inf"):
                self._earlier, self._earlier_accepted = self._anchor, self._accepted
            self._anchor, self._accepted = now, 0


def _rate(accepted: int, elapsed: float) -> float:
    """The one that a bucket may have had left weighs where few were let through."""
    return max(0.0, (accepted - (accepted < MEASURED)) / max(elapsed, 1e-3))
