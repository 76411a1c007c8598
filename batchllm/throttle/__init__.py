"""When the next request may go: every limit on sending, in one pure object. Time is always an argument.

    cap and AIMD limit   `limiter`    how many in flight
    --rpm, --tpm         `bucket`     how many a minute, reserved before and settled after
    headers              `foresight`  what the server says is left, slowed down for before it refuses
    closed door          `pause`      refusals are the majority: everybody waits, and comes back reduced
    outage               `breaker`    nobody answers: knock with one request at a time
    ambiguous quota      `quota`      no money, or only this minute's? one request at a time tells
"""

from __future__ import annotations

from math import inf

from batchllm.throttle.breaker import Breaker
from batchllm.throttle.bucket import Bucket
from batchllm.throttle.budget import RetryBudget
from batchllm.throttle.foresight import Foresight
from batchllm.throttle.limiter import START, Limiter
from batchllm.throttle.pause import MajorityPause
from batchllm.throttle.quota import QuotaProbe
from batchllm.types import Kind, Limits, Verdict

__all__ = ["Throttle"]

BURST_S = 1.0
"""A bucket holds one second's worth: several services check a minute's limit over 1 to 10 s windows (Azure, DashScope)."""
TOKEN_BURST_S = 10.0
DEFAULT_REFUSAL_WAIT_S = 5.0

_UNREACHABLE = frozenset({Kind.UNREACHABLE, Kind.MAYBE_PAID})


class Throttle:
    """Times are seconds of one monotonic clock. `wait` asks, `sent` and `ended` tell; nothing here sleeps."""

    def __init__(
        self, cap: int, now: float, *, rpm: float | None = None, tpm: float | None = None, start: int = START
    ) -> None:
        self.limiter = Limiter(cap, start)
        self.pause = MajorityPause()
        self.breaker = Breaker()
        self.quota = QuotaProbe()
        self.budget = RetryBudget()
        self.foresight = Foresight()
        self._requests = Bucket(rpm / 60, rpm / 60 * BURST_S, now) if rpm else None
        self._tokens = Bucket(tpm / 60, tpm / 60 * TOKEN_BURST_S, now) if tpm else None

    @property
    def counts_tokens(self) -> bool:
        """Whether `tokens` arguments matter, so that nobody estimates in vain."""
        return self._tokens is not None or self.foresight.counts_tokens

    def wait(self, now: float, tokens: float = 0.0) -> float:
        """Seconds until one more request may go; 0 if now, `inf` if only after another one has ended."""
        limiter = self.limiter
        if limiter.in_flight >= limiter.limit:
            return inf
        until = max(self.pause.until, self.breaker.ready_at())
        if self.quota.active:
            until = max(until, self.quota.ready_at())
        wait = until - now if until > now else 0.0
        if self._requests is not None:
            wait = max(wait, self._requests.wait(now, 1.0))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, tokens))
        if self.foresight.active:
            wait = max(wait, self.foresight.wait(now, tokens))
        return wait

    def sent(self, now: float, tokens: float = 0.0) -> None:
        self.limiter.sent()
        self.breaker.sent()
        if self.quota.active:
            self.quota.sent()
        if self._requests is not None:
            self._requests.take(1.0)
        if self._tokens is not None:
            self._tokens.take(tokens)
        if self.foresight.active:
            self.foresight.sent(tokens)

    def settle(self, reserved: float, used: float) -> None:
        """Correct the token bucket once a reply told what the request really used."""
        if self._tokens is not None:
            self._tokens.settle(used - reserved)

    def saw(self, limits: Limits, now: float) -> None:
        """What a reply's headers say is left."""
        self.foresight.saw(limits, now)

    def succeeded(self, sent_at: float, now: float) -> None:
        self.limiter.left()
        self.limiter.succeeded(sent_at)
        self.breaker.answered()
        self.pause.answered(now)
        self.budget.succeeded()
        self._certain(sent_at, now)
        if self.foresight.learning:
            self.foresight.succeeded(now)

    def cancelled(self) -> None:
        """A request ended without an outcome of its own."""
        self.limiter.left()
        self.breaker.gone()
        self.quota.gone()

    def failed(self, verdict: Verdict, line: int, sent_at: float, now: float) -> None:
        """Count a request that did not bring an answer; what it tells of the endpoint depends on its kind."""
        limiter = self.limiter
        limiter.left()
        if verdict.kind is Kind.REFUSED:
            self.breaker.answered()
            self._refused(verdict, sent_at, now)
        elif verdict.kind in _UNREACHABLE:
            limiter.troubled()
            self.breaker.failed(line, now)
        elif verdict.kind is Kind.LOCAL:
            limiter.shrink_to(max(1, limiter.in_flight))
        elif verdict.kind is Kind.PROBE:
            self.breaker.answered()
            self.quota.doubted(sent_at, now)
        else:
            self.breaker.answered()
            self.pause.answered(now)
            self._certain(sent_at, now)

    def _certain(self, sent_at: float, now: float) -> None:
        if self.quota.active and self.quota.answered(sent_at):
            self.limiter.refused(sent_at, now, 0.0, slow_ramp=True)  # a throttle after all: come back slowly

    def _refused(self, verdict: Verdict, sent_at: float, now: float) -> None:
        hint = verdict.after_s or 0.0
        if self.limiter.refused(sent_at, now, hint, slow_ramp=verdict.slow_ramp):
            self.foresight.refused(now)
        self.pause.refused(now, hint or DEFAULT_REFUSAL_WAIT_S)
