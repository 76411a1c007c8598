"""What a server gets done at one number in flight, and how sure that is. Times are seconds of one monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import hypot, inf, sqrt

BLOCK_S = 0.5
KEEP = 0.97
"""The smallest limit with this share of the best goodput is the one: beyond the knee more in flight only wait longer."""
DOUBT_MOST = 0.05
"""The most that errors may add to what a lower limit is allowed to lose: noise alone never halves the limit."""
PROMPT_WEIGHT = 0.05
"""A prompt's tokens are read many at a time, an answer's written one by one."""


def work_of(prompt_tokens: int | None, completion_tokens: int | None) -> float:
    """What a request made the server do, in tokens of an answer; 1 where the reply did not say."""
    return (completion_tokens or 0) + PROMPT_WEIGHT * (prompt_tokens or 0) or 1.0


@dataclass(slots=True)
class _Residue:
    """What is left of pairs (work, seconds) when work is taken for a speed times seconds: the sum of its squares."""

    _work: float = 0.0
    _seconds: float = 0.0
    _both: float = 0.0

    def add(self, work: float, seconds: float) -> None:
        self._work += work * work
        self._seconds += seconds * seconds
        self._both += work * seconds

    def squared(self, speed: float) -> float:
        return self._work - 2 * speed * self._both + speed * speed * self._seconds


@dataclass(slots=True)
class Window:
    """What ended of the requests that were sent after the pool was full, and how full it was since then (`since`).

    Goodput follows from Little's law: requests in flight, times the work that is done per second that one spends there.
    Lengths that vary cancel out of that quotient, and answers that come in waves do not matter to it. A block is a quarter of
    the `level` that comes to its end, and half a second at least: by blocks it shows whether the server itself is steady.
    """

    level: int
    full: bool = False
    since: float = inf
    count: int = 0
    work: float = 0.0
    seconds: float = 0.0
    blocks: int = 0
    _each: _Residue = field(default_factory=lambda: _Residue())
    _by_block: _Residue = field(default_factory=lambda: _Residue())
    _block: tuple[int, float, float] = (0, 0.0, 0.0)
    _block_at: float = 0.0
    _waited: float = 0.0
    _streams: int = 0
    _area: float = 0.0
    _area_at: float = 0.0
    _in_flight: int = 0

    def begin(self, now: float, in_flight: int) -> None:
        self.since = self._area_at = self._block_at = now
        self._in_flight = in_flight

    def holds(self, in_flight: int, now: float) -> None:
        """From now on so many are in flight."""
        self._area += self._in_flight * (now - self._area_at)
        self._area_at, self._in_flight = now, in_flight

    def add(self, work: float, seconds: float, ttft: float | None, now: float) -> None:
        self.count += 1
        self.work += work
        self.seconds += seconds
        self._each.add(work, seconds)
        count, of_work, of_seconds = self._block
        self._block = count + 1, of_work + work, of_seconds + seconds
        if 4 * (count + 1) >= self.level and now - self._block_at >= BLOCK_S:
            self._by_block.add(of_work + work, of_seconds + seconds)
            self._block, self._block_at = (0, 0.0, 0.0), now
            self.blocks += 1
        if ttft is not None:
            self._waited += ttft
            self._streams += 1

    def goodput(self) -> float:
        """Work a second."""
        return self.mean_in_flight * self.work / self.seconds if self.seconds else 0.0

    @property
    def mean_in_flight(self) -> float:
        elapsed = self._area_at - self.since
        return self._area / elapsed if elapsed > 0 else 0.0

    @property
    def error(self) -> float:
        """The standard error of the goodput, as a share of it: of a quotient of sums, by its residuals.

        By single requests or by blocks, whichever is more: a server that others use too is slow for all of them at a time.
        """
        if self.work <= 0 or self.seconds <= 0:
            return inf
        speed = self.work / self.seconds
        return sqrt(max(0.0, self._each.squared(speed), self._by_block.squared(speed))) / self.work

    @property
    def ttft(self) -> float | None:
        """Mean seconds to the first token, where most replies were streams."""
        return self._waited / self._streams if self._streams * 2 > self.count else None


@dataclass(slots=True)
class Known:
    """The goodput at one level, how sure it is, and the share of a request's time that was spent in the server's queue.

    To be forgotten when `until` windows have been seen.
    """

    goodput: float
    error: float
    until: int
    queued: float

    def as_good_as(self, best: Known) -> bool:
        """Whether it has nearly the goodput of the best, as far as their errors let anybody say."""
        return self.goodput >= (KEEP - min(DOUBT_MOST, hypot(self.error, best.error))) * best.goodput
