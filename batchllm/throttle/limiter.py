"""How many requests may be in flight: additive increase, multiplicative decrease, learned from refusals."""

from __future__ import annotations

from sys import maxsize

START = 20
FLOOR = 4
GROWTH, DOUBLE = 0.05, 1.0
CUT = 0.8
SATURATED = 0.8
ROUND_S = 0.25
EPISODE_S = 5.0
EPISODE_MAX_S = 15.0


class Limiter:
    """Starts at min(cap, 20), doubles over each clean and saturated round until the first refusal, then grows by 5 % and,
    while rounds stay clean, by twice that over each further one. It grows with each success, never by a leap: what is let
    in at once is a burst to the server.

    A round is as many successes as the limit it began with, and a quarter of a second at least; it is clean without
    refusals or troubles, saturated if the pool was used to four fifths. A refusal cuts to 0.8, at most once an episode,
    and only where the limit was what held the pool back; what was sent before the cut says nothing about the limit after
    it. Times are monotonic seconds.
    """

    __slots__ = (
        "_base", "_bound", "_cut_at", "_episode_end", "_frozen", "_growth", "_limit", "_round", "_round_at", "_saturated", "cap",
        "floor", "in_flight", "limit",
    )  # fmt: skip

    def __init__(self, cap: int, start: int = START) -> None:
        self.cap = cap
        self.floor = min(FLOOR, cap)
        self.in_flight = 0
        self._bound = maxsize
        self._growth = DOUBLE
        self._cut_at = float("-inf")
        self._episode_end = float("-inf")
        self._set(float(min(cap, start)))
        self._begin_round(float("-inf"))

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.limit = min(int(limit), self._bound)

    def bind(self, bound: int) -> None:
        """Somebody else's word on how many are worth it: `limit` is the lower of both."""
        self._bound = bound
        self.limit = min(int(self._limit), bound)

    def _begin_round(self, now: float) -> None:
        self._base, self._round, self._saturated, self._round_at = self._limit, 0, False, now
        self._frozen = False

    def sent(self) -> None:
        self.in_flight += 1
        if self.in_flight >= SATURATED * self._limit:
            self._saturated = True

    def left(self) -> None:
        self.in_flight -= 1

    def succeeded(self, sent_at: float, now: float) -> None:
        """Count a success, which leaves; the limit may grow."""
        self.in_flight -= 1
        if self._limit >= self.cap or sent_at < self._cut_at:
            return
        self._round += 1
        if self._saturated and not self._frozen:
            most = max(self._base * (1 + self._growth), self._base + 1)
            self._set(min(float(self.cap), most, self._limit + max(self._growth, 1 / self._base)))
        if self._round >= self._base and now - self._round_at >= ROUND_S:
            if self._limit > self._base:
                self._growth = min(DOUBLE, self._growth * 2)
            self._begin_round(now)

    def refused(self, sent_at: float, now: float, hint: float, *, slow_ramp: bool = False) -> bool:
        """Cut for a refusal, which has `left` already; False where nothing was cut."""
        self._growth = GROWTH
        self._begin_round(now)
        if now < self._episode_end or sent_at < self._cut_at or self.in_flight + 1 < SATURATED * self.limit:
            return False
        self._cut(CUT * CUT if slow_ramp else CUT, now)
        self._episode_end = now + max(EPISODE_S, min(hint, EPISODE_MAX_S))
        return True

    def _cut(self, share: float, now: float) -> None:
        self._set(max(float(self.floor), min(self._limit, self._bound) * share))
        self._cut_at = now
        self._begin_round(now)

    def forgiven(self, now: float) -> None:
        """What it was cut for says nothing about it: grow as at the start, also where an episode is not over."""
        self._growth = DOUBLE
        self._episode_end = float("-inf")
        self._begin_round(now)

    def slow_down(self, now: float) -> None:
        """Begin again a good deal lower, whatever the episode."""
        self._growth = GROWTH
        self._cut(CUT * CUT, now)

    def troubled(self) -> None:
        """An error that is no refusal: no more growth in this round."""
        self._frozen = True

    def recap(self, cap: int) -> None:
        """Another cap, by the owner's word: a lower one counts at once, towards a higher one the limit grows as ever."""
        self.cap = cap
        self.floor = min(FLOOR, cap)
        self._set(max(float(self.floor), min(self._limit, float(cap))))
        self._begin_round(float("-inf"))

    def shrink_to(self, limit: int) -> None:
        """The machine itself bears no more (descriptors); a cap for the rest of the run."""
        self.cap = max(1, min(self.cap, limit))
        self.floor = min(self.floor, self.cap)
        self._set(min(self._limit, float(self.cap)))
