"""Slowing down before a refusal comes, from what reply headers say is left."""

from __future__ import annotations

from math import inf

from batchllm.types import Limits

NEAR = 0.5
"""A limit is watched once less than this share of it is left: before that it is nobody's concern."""
GAIN = 3.0
LEAST = 0.25
BURST_S = 0.1


class Allowance:
    """What one limit, of requests or of tokens, still allows; idle while plenty is left. Rates are units a second.

    Three times what is left, spread over the time until the reset: where a window ends then (a quota of the minute) it
    is hardly ever used up before, since the rate falls with what is left; where a bucket is full again then (as OpenAI
    documents its headers) it settles at a quarter of the bucket and at the bucket's own rate. News is as old as its reply: what
    was sent since is subtracted, what came back is added.
    """

    __slots__ = ("_at", "_level", "_news_at", "_rate", "_refill", "_until", "active")

    def __init__(self) -> None:
        self.active = False
        self._rate = 0.0
        self._refill = inf
        self._level = 0.0
        self._at = 0.0
        self._until = 0.0
        self._news_at = -inf

    def saw(
        self, limit: int | None, remaining: int | None, reset_s: float | None, since: float, sent_at: float, now: float
    ) -> None:
        """`since` is what was sent after the request whose reply this is."""
        if remaining is None or sent_at < self._news_at:
            return
        self._news_at = sent_at
        if reset_s is None or reset_s <= 0:
            self.active = self.active and remaining == 0
        elif limit is None:
            self._pace(1.0 / reset_s, reset_s, now, active=remaining == 0)
        else:
            refill = max(0, limit - remaining) / reset_s
            left = min(float(limit), max(0.0, remaining - since + refill * (now - sent_at)))
            if refill > 0:
                self._refill = min(self._refill, refill)  # of a window it seems endless near the end
            rate = max(LEAST * min(self._refill, refill), 0.5 / reset_s, GAIN * left * refill / max(1.0, limit - left))
            self._pace(rate, reset_s, now, active=refill > 0 and left < NEAR * limit)

    def _pace(self, rate: float, reset_s: float, now: float, *, active: bool) -> None:
        if active and not self.active:
            self._level, self._at = 0.0, now
        self.active = active
        self._rate = rate
        self._until = now + reset_s  # by then the limit is whole again, whatever it was

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

    def saw(self, limits: Limits, since: int, tokens: float, sent_at: float, now: float) -> None:
        """`since` is how many requests went after the one whose reply this is, `tokens` what such a request takes."""
        self._requests.saw(limits.requests_limit, limits.requests_remaining, limits.requests_reset_s, since, sent_at, now)
        self._tokens.saw(limits.tokens_limit, limits.tokens_remaining, limits.tokens_reset_s, since * tokens, sent_at, now)
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
