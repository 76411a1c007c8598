"""What a few lines say of all of them: means, shares and their 95 % intervals. Pure.

Wilson's interval for a share (Wilson 1927; it also holds for 0 of 5), Student's for a mean, and for the sum of what is still
to come the interval of a prediction, which is wider: the lines to come scatter too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

Z = 1.959964
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t at 97.5 % for 1 to 10 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds it lies between in 95 of 100 cases."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, amount: float) -> Interval:
        return Interval(self.value + amount, self.low + amount, self.high + amount)


def student(freedom: int) -> float:
    """Student's t at 97.5 %; beyond ten degrees of freedom by Cornish and Fisher's expansion (within 0.01)."""
    if freedom < 1:
        return inf
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return Z + (Z**3 + Z) / (4 * freedom) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)


def wilson(count: int, of: int) -> Interval:
    """The share that `count` of `of` make. Nothing is known of none."""
    if not of:
        return Interval(0.0, 0.0, 1.0)
    share, spread = count / of, Z * Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


class Moments:
    """Mean and variance of values as they come (Welford)."""

    __slots__ = ("_squares", "count", "mean")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        away = value - self.mean
        self.mean += away / self.count
        self._squares += away * (value - self.mean)

    @property
    def variance(self) -> float:
        return self._squares / (self.count - 1) if self.count > 1 else inf

    def sum_of(self, more: int) -> Interval | None:
        """The sum of `more` values like these that are still to come, none of them negative; None without any to go by."""
        if not self.count or not more:
            return Interval(0.0, 0.0, 0.0) if not more else None
        if self.count == 1:
            return Interval(self.mean * more, 0.0, inf)
        half = student(self.count - 1) * sqrt(self.variance * (1 / self.count + 1 / more)) * more
        return Interval(self.mean * more, max(0.0, self.mean * more - half), self.mean * more + half)
