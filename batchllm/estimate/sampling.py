"""Tokens of a whole job from the tokens of some of its lines. Pure, seeded: the same job gives the same figures."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import sqrt

from batchllm.intervals import Interval, student

SIZE = 2000
"""Lines whose tokens are counted; jobs with no more are counted whole."""


class RatioSample:
    """Tokens per byte, from a sample drawn evenly while the lines go by (Vitter's algorithm R).

    A line's tokens are counted when it is drawn: for a job of n lines that is `size * (1 + ln(n / size))` times.
    """

    def __init__(self, size: int = SIZE, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._drawn: list[tuple[float, float]] = []
        self.lines = 0
        self.bytes = 0.0

    def offer(self, size: float, tokens: Callable[[], tuple[float, float]]) -> None:
        """A line of so many bytes; `tokens` gives the bytes and tokens of the part of it that is counted."""
        self.lines += 1
        self.bytes += size
        if len(self._drawn) < self._size:
            self._drawn.append(tokens())
            return
        place = self._random.randrange(self.lines)
        if place < self._size:
            self._drawn[place] = tokens()

    @property
    def drawn(self) -> int:
        return len(self._drawn)

    def ratio(self) -> Interval:
        """Tokens a byte, with the interval that comes of having counted only a sample (the ratio estimator's)."""
        count = len(self._drawn)
        size = sum(one for one, _ in self._drawn)
        if not size:
            return Interval(0.0, 0.0, 0.0)
        rate = sum(tokens for _, tokens in self._drawn) / size
        if self.lines <= count or count < 2:
            return Interval(rate, rate, rate)
        scatter = sum((tokens - rate * one) ** 2 for one, tokens in self._drawn) / (count - 1)
        half = student(count - 1) * sqrt((1 - count / self.lines) * scatter / count) / (size / count)
        return Interval(rate, max(0.0, rate - half), rate + half)
