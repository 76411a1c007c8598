"""How many requests may be in flight: additive increase, multiplicative decrease, learned from refusals."""

from __future__ import annotations

START = 20
FLOOR = 4
GROWTH = 1.05
CUT = 0.8
SATURATED = 0.8
EPISODE_S = 5.0
EPISODE_MAX_S = 15.0


class Limiter:
    """Starts at min(cap, 20), doubles each clean and saturated round until the first refusal, then grows by 5 %.

    A round is as many successes as the limit; it is clean without refusals or troubles, saturated if the pool was
    used to four fifths. A refusal cuts to 0.8, at most once an episode; what was sent before the cut says nothing
    about the limit after it. Times are monotonic seconds.
    """

    __slots__ = ("_cut_at", "_episode_end", "_limit", "_round", "_saturated", "_slow_start", "cap", "floor", "in_flight")

    def __init__(self, cap: int, start: int = START) -> None:
        self.cap = cap
        self.floor = min(FLOOR, cap)
        self.in_flight = 0
        self._limit = float(min(cap, start))
        self._slow_start = True
        self._round = 0
        self._saturated = False
        self._cut_at = float("-inf")
        self._episode_end = float("-inf")

    @property
    def limit(self) -> int:
        return int(self._limit)

    def sent(self) -> None:
        self.in_flight += 1
        if self.in_flight >= SATURATED * self._limit:
            self._saturated = True

    def left(self) -> None:
        self.in_flight -= 1

    def succeeded(self, sent_at: float) -> bool:
        """Count a success; True if the limit grew."""
        if sent_at < self._cut_at or self._limit >= self.cap:
            return False
        self._round += 1
        if self._round < self._limit:
            return False
        grew = self._saturated
        if grew:
            self._limit = min(float(self.cap), self._grown())
        self._round, self._saturated = 0, False
        return grew

    def _grown(self) -> float:
        if self._slow_start:
            return self._limit * 2
        return max(self._limit + 1, self._limit * GROWTH)

    def refused(self, sent_at: float, now: float, hint: float, *, slow_ramp: bool = False) -> bool:
        """Cut for a refusal; False where the episode was cut already, or it answers something sent before the cut."""
        self._slow_start = False
        self._round = 0
        if now < self._episode_end or sent_at < self._cut_at:
            return False
        self._limit = max(float(self.floor), self._limit * (CUT * CUT if slow_ramp else CUT))
        self._cut_at = now
        self._episode_end = now + max(EPISODE_S, min(hint, EPISODE_MAX_S))
        return True

    def troubled(self) -> None:
        """An error that is no refusal: no growth from this round."""
        self._round = 0

    def shrink_to(self, limit: int) -> None:
        """The machine itself bears no more (descriptors); a cap for the rest of the run."""
        self.cap = max(1, min(self.cap, limit))
        self.floor = min(self.floor, self.cap)
        self._limit = min(self._limit, float(self.cap))
