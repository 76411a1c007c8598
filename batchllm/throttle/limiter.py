"""How many requests may be in flight: additive increase, multiplicative decrease, learned from refusals."""

from __future__ import annotations

START = 20
FLOOR = 4
GROWTH, FASTEST = 0.05, 0.4
CUT = 0.8
SATURATED = 0.8
ROUND_S = 0.25
EPISODE_S = 5.0
EPISODE_MAX_S = 15.0


class Limiter:
    """Starts at min(cap, 20), doubles each clean and saturated round until the first refusal, then grows by 5 % and,
    while rounds stay clean, by twice that in each further one.

    A round is as many successes as the limit, and a quarter of a second at least; it is clean without refusals or
    troubles, saturated if the pool was used to four fifths. A refusal cuts to 0.8, at most once an episode, and only
    where the limit was what held the pool back; what was sent before the cut says nothing about the limit after it.
    Times are monotonic seconds.
    """

    __slots__ = (
        "_cut_at", "_episode_end", "_growth", "_limit", "_round", "_round_at", "_saturated", "_slow_start", "cap", "floor",
        "in_flight", "limit",
    )  # fmt: skip

    def __init__(self, cap: int, start: int = START) -> None:
        self.cap = cap
        self.floor = min(FLOOR, cap)
        self.in_flight = 0
        self._slow_start = True
        self._growth = GROWTH
        self._round = 0
        self._round_at = float("-inf")
        self._saturated = False
        self._cut_at = float("-inf")
        self._episode_end = float("-inf")
        self._set(float(min(cap, start)))

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.limit = int(limit)

    def sent(self) -> None:
        self.in_flight += 1
        if self.in_flight >= SATURATED * self._limit:
            self._saturated = True

    def left(self) -> None:
        self.in_flight -= 1

    def succeeded(self, sent_at: float, now: float) -> bool:
        """Count a success; True if the limit grew."""
        if self._limit >= self.cap or sent_at < self._cut_at:
            return False
        self._round += 1
        if self._round < self._limit or now - self._round_at < ROUND_S:
            return False
        grew = self._saturated
        if grew:
            self._grow()
        self._round, self._saturated, self._round_at = 0, False, now
        return grew

    def _grow(self) -> None:
        if self._slow_start:
            grown = self._limit * 2
        else:
            grown = max(self._limit + 1, self._limit * (1 + self._growth))
            self._growth = min(FASTEST, self._growth * 2)
        self._set(min(float(self.cap), grown))

    def refused(self, sent_at: float, now: float, hint: float, *, slow_ramp: bool = False) -> bool:
        """Cut for a refusal, which has `left` already; False where nothing was cut."""
        self._slow_start = False
        self._growth = GROWTH
        self._round = 0
        if now < self._episode_end or sent_at < self._cut_at or self.in_flight + 1 < SATURATED * self._limit:
            return False
        self._set(max(float(self.floor), self._limit * (CUT * CUT if slow_ramp else CUT)))
        self._cut_at = now
        self._episode_end = now + max(EPISODE_S, min(hint, EPISODE_MAX_S))
        return True

    def slow_down(self) -> None:
        """Begin again a good deal lower, whatever the episode."""
        self._slow_start = False
        self._growth = GROWTH
        self._set(max(float(self.floor), self._limit * CUT * CUT))

    def troubled(self) -> None:
        """An error that is no refusal: no growth from this round."""
        self._round = 0

    def shrink_to(self, limit: int) -> None:
        """The machine itself bears no more (descriptors); a cap for the rest of the run."""
        self.cap = max(1, min(self.cap, limit))
        self.floor = min(self.floor, self.cap)
        self._set(min(self._limit, float(self.cap)))
