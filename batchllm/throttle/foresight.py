"""Slowing down before a refusal comes: from what reply headers say is left, or from the rate refusals have taught."""

from __future__ import annotations

from batchllm.throttle.bucket import Bucket
from batchllm.types import Limits

MEASURE_S = 5.0
GROWTH = 1.05
CUT = 0.9
NEAR = 0.5
"""A limit is watched once less than this share of it is left: before that it is nobody's concern."""


class Foresight:
    """Two pacers, each idle until there is something to pace for.

    Headers: what is `remaining` is a bucket that refills at (limit - remaining) / reset, since a vendor's reset is the
    time until it is full again (OpenAI's documentation of x-ratelimit-reset-requests); with no limit named, a reset with
    nothing remaining is a wait. Refusals: the rate of successes just before a refusal is what the server bears; sending
    is paced to it, five per cent more after each clean measure of five seconds, a tenth less at each new episode.
    """

    __slots__ = ("_measure_at", "_measured", "_pace", "_requests", "_tokens", "learning")

    def __init__(self) -> None:
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._pace: Bucket | None = None
        self.learning = False
        self._measure_at = 0.0
        self._measured = 0

    @property
    def active(self) -> bool:
        return self._requests is not None or self._tokens is not None or self._pace is not None

    @property
    def counts_tokens(self) -> bool:
        return self._tokens is not None

    def wait(self, now: float, tokens: float) -> float:
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.wait(now, 1.0)
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, tokens))
        if self._pace is not None:
            wait = max(wait, self._pace.wait(now, 1.0))
        return wait

    def sent(self, tokens: float) -> None:
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is not None:
            self._tokens.take(tokens)
        if self._pace is not None:
            self._pace.take(1.0)

    def saw(self, limits: Limits, now: float) -> None:
        self._requests = _left(
            limits.requests_limit, limits.requests_remaining, limits.requests_reset_s, now, self._requests
        )
        self._tokens = _left(limits.tokens_limit, limits.tokens_remaining, limits.tokens_reset_s, now, self._tokens)

    def succeeded(self, now: float) -> None:
        self._measured += 1
        if now - self._measure_at >= MEASURE_S:
            rate = self._measured / (now - self._measure_at)
            if self._pace is not None and rate > self._pace.rate * 0.8:
                self._pace.rate *= GROWTH
            self._measure_at, self._measured = now, 0

    def refused(self, now: float) -> None:
        """A new episode of refusals: learn the rate, or find the learned one too high."""
        self.learning = True
        elapsed = now - self._measure_at
        if self._pace is not None:
            self._pace.rate *= CUT
        elif self._measured and elapsed >= MEASURE_S / 2:
            rate = self._measured / elapsed
            self._pace = Bucket(rate, 1.0, now)
        self._measure_at, self._measured = now, 0


def _left(limit: int | None, remaining: int | None, reset_s: float | None, now: float, old: Bucket | None) -> Bucket | None:
    if remaining is None or reset_s is None or reset_s <= 0:
        return old
    if limit is None:
        if remaining > 0:
            return None
        bucket = Bucket(1.0 / reset_s, 1.0, now)
        bucket.take(1.0)
        return bucket
    if remaining >= limit * NEAR:
        return None
    bucket = Bucket((limit - remaining) / reset_s, float(limit), now)
    bucket.take(limit - remaining)
    return bucket
