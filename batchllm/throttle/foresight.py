"""Slowing down before a refusal comes, from what reply headers say is left."""

from __future__ import annotations

from batchllm.types import Limits

NEAR = 0.5
"""A limit is watched once less than this share of it is left: before that it is nobody's concern."""
FRESH = 0.25
COUNTABLE = 10
BELOW = 0.98
BURST_S = 0.1


class Allowance:
    """What one limit, of requests or of tokens, still allows; idle while plenty is left.

    What is `remaining` is spread over the time until the `reset`. That fits both kinds of server: where a window ends
    then, it is used up exactly; where a bucket is full again then (OpenAI's documentation of its headers), it settles
    at half a bucket and the bucket's own rate. News that is old against the bucket's size tells that rate only.
    """

    __slots__ = ("_at", "_level", "_rate", "_until", "active")

    def __init__(self) -> None:
        self.active = False
        self._rate = 0.0
        self._level = 0.0
        self._at = 0.0
        self._until = 0.0

    def saw(self, limit: int | None, remaining: int | None, reset_s: float | None, sent_at: float, now: float) -> None:
        if remaining is None:
            return
        if remaining >= (1 if limit is None else limit * NEAR):
            self.active = False
        elif reset_s is not None and reset_s > 0:
            self._slow(limit, remaining, reset_s, sent_at, now)

    def _slow(self, limit: int | None, remaining: int, reset_s: float, sent_at: float, now: float) -> None:
        if not self.active:
            self.active, self._level, self._at = True, 0.0, now
        if limit is None:
            self._rate = 1.0 / reset_s
            return
        refill = (limit - remaining) / reset_s
        fresh = limit >= COUNTABLE and (now - sent_at) * refill <= FRESH * limit
        self._rate = max(remaining, 0.5) / reset_s if fresh else refill * BELOW
        # A promise of the past: by then the limit is whole again, whatever it was.
        self._until = now + reset_s

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` fits; 0 if now."""
        burst = max(1.0, self._rate * BURST_S)
        self._level = min(burst, self._level + (now - self._at) * self._rate)
        self._at = now
        missing = min(amount, burst) - self._level
        return min(missing / self._rate, max(0.0, self._until - now)) if missing > 1e-9 else 0.0

    def sent(self, amount: float) -> None:
        self._level -= amount


class Foresight:
    """The allowances of requests and of tokens, as the latest reply tells them."""

    __slots__ = ("_requests", "_tokens", "active")

    def __init__(self) -> None:
        self._requests = Allowance()
        self._tokens = Allowance()
        self.active = False

    @property
    def counts_tokens(self) -> bool:
        return self._tokens.active

    def saw(self, limits: Limits, sent_at: float, now: float) -> None:
        self._requests.saw(limits.requests_limit, limits.requests_remaining, limits.requests_reset_s, sent_at, now)
        self._tokens.saw(limits.tokens_limit, limits.tokens_remaining, limits.tokens_reset_s, sent_at, now)
        self.active = self._requests.active or self._tokens.active

    def wait(self, now: float, tokens: float) -> float:
        wait = self._requests.wait(now, 1.0) if self._requests.active else 0.0
        if self._tokens.active:
            wait = max(wait, self._tokens.wait(now, tokens))
        return wait

    def sent(self, tokens: float) -> None:
        if self._requests.active:
            self._requests.sent(1.0)
        if self._tokens.active:
            self._tokens.sent(tokens)
