"""A refusal met by one worker slows all: what it learned, and how another takes it. Pure; times are arguments."""

from __future__ import annotations

from batchllm.engines.ray_pool.wire import Slowdown
from batchllm.throttle import Throttle


class Lesson:
    """Watches one worker's throttle for what its refusals taught it since the last report."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._refusals = 0
        self._hint_s = 0.0
        self._told_until = float("-inf")
        self._limit = throttle.limiter.limit

    def refused(self, hint_s: float) -> None:
        """A refusal came; its server asks for so many seconds (0: it does not say)."""
        self._refusals += 1
        self._hint_s = max(self._hint_s, hint_s)

    def since(self, now: float) -> Slowdown | None:
        """What is new; None where nothing was refused."""
        throttle, limit = self._throttle, self._throttle.limiter.limit
        cut, self._limit = limit < self._limit, limit
        if not self._refusals:
            return None
        pause = throttle.pause
        pause_s = pause.until - now if pause.still_closed and pause.until > self._told_until else 0.0
        self._told_until = max(self._told_until, pause.until)
        made = Slowdown(max(0.0, pause_s), throttle.pace.rate, cut, self._hint_s)
        self._refusals, self._hint_s = 0, 0.0
        return made

    def learn(self, slow: Slowdown, now: float) -> None:
        """Take what another learned. Its pause is not told on as this one's own."""
        throttle = self._throttle
        if slow.pause_s:
            throttle.pause.told(now, slow.pause_s)
            self._told_until = max(self._told_until, throttle.pause.until)
        if slow.rate is not None and (throttle.pace.rate is None or throttle.pace.rate > slow.rate):
            throttle.pace.told(slow.rate, now)
        if slow.cut:
            throttle.limiter.refused(now, now, slow.hint_s)
            self._limit = throttle.limiter.limit


def joined(a: Slowdown | None, b: Slowdown) -> Slowdown:
    """Both: the longer wait, the slower pace."""
    if a is None:
        return b
    rates = [rate for rate in (a.rate, b.rate) if rate is not None]
    return Slowdown(max(a.pause_s, b.pause_s), min(rates, default=None), a.cut or b.cut, max(a.hint_s, b.hint_s))


def scaled(slow: Slowdown, by: float) -> Slowdown:
    """For a worker whose share is `by` times as large as that of the one that learned."""
    return slow if slow.rate is None else Slowdown(slow.pause_s, slow.rate * by, slow.cut, slow.hint_s)
