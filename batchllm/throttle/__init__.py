"""When the next request may go: every limit on sending, in one pure object. Time is always an argument.

cap and AIMD limit   `limiter`    how many in flight
concurrency = auto   `gradient`   how many in flight are worth it, where nobody refuses
--rpm, --tpm         `bucket`     how many a minute, reserved before and settled after
limits.share         `holding`    the same where several processes keep to it together, by the rules in `pool`
headers              `foresight`  what the server says is left, slowed down for before it refuses
learned pace         `pace`       the rate the server bears, from its refusals
closed door          `pause`      refusals are the majority: everybody waits, and comes back reduced
outage               `breaker`    nobody answers: knock with one request at a time
ambiguous quota      `quota`      no money, or only this minute's? one request at a time tells
the owner's word     `hold`       nothing goes until it is taken back; `relimit` sets other limits while a run goes
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from batchllm.errors import ErrorCode
from batchllm.throttle.breaker import Breaker
from batchllm.throttle.bucket import Bucket
from batchllm.throttle.budget import RetryBudget
from batchllm.throttle.foresight import Foresight
from batchllm.throttle.gradient import Gradient
from batchllm.throttle.holding import Holding
from batchllm.throttle.limiter import START, Limiter
from batchllm.throttle.pace import Heard, Pace
from batchllm.throttle.pause import MajorityPause
from batchllm.throttle.quota import QuotaProbe
from batchllm.types import Kind, Limits, Verdict

__all__ = ["Throttle"]

BURST_S = 1.0
"""A bucket holds one second's worth: several services check a minute's limit over 1 to 10 s windows (Azure, DashScope)."""

_TELLS_NOTHING_OF_MONEY = frozenset({Kind.REFUSED, Kind.UNREACHABLE, Kind.MAYBE_PAID, Kind.LOCAL})


class Throttle:
    """Times are seconds of one monotonic clock. `wait` asks, `sent` and `ended` tell; nothing here sleeps."""

    def __init__(
        self,
        cap: int,
        now: float,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        start: int = START,
        auto: bool = False,
    ) -> None:
        """`auto`: how many of the `cap` are in flight is found from what gets done; refusals still count."""
        self.sent_count = 0
        self.held = False
        self.on_change: Callable[[], None] | None = None
        self.limiter = Limiter(cap, cap if auto else start)
        self.gradient = Gradient(cap, now) if auto else None
        if self.gradient is not None:
            self.limiter.bind(self.gradient.limit)
        self.pace = Pace(now)
        self.pause = MajorityPause()
        self.breaker = Breaker()
        self.quota = QuotaProbe()
        self.budget = RetryBudget()
        self.foresight = Foresight()
        self._requests: Bucket | Holding | None = Bucket(rpm, BURST_S, now) if rpm else None
        self._tokens: Bucket | Holding | None = Bucket(tpm, BURST_S, now) if tpm else None

    @property
    def counts_tokens(self) -> bool:
        """Whether `tokens` arguments matter, so that nobody estimates in vain."""
        return self.tpm is not None or self.foresight.counts_tokens

    def wait(self, now: float, tokens: float = 0.0) -> float:
        """Seconds until one more request may go; 0 if now, `inf` if only after another one has ended."""
        limiter = self.limiter
        if limiter.in_flight >= limiter.limit or self.held:
            return inf
        wait = self.pause.wait(now) if self.pause.still_closed else 0.0
        if self.breaker.open:
            wait = max(wait, self.breaker.ready_at() - now)
        if self.quota.active:
            wait = max(wait, self.quota.ready_at() - now)
        if wait > 0:
            return wait
        if self.pace.rate is not None:
            wait = self.pace.wait(now)
        if self._requests is not None:
            wait = max(wait, self._requests.wait(now, 1.0))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, tokens))
        if self.foresight.active:
            wait = max(wait, self.foresight.wait(now, tokens))
        return wait if wait > 0 else 0.0

    def hold(self, held: bool) -> None:
        """Let nothing go any more, or let it go again. Timers go on; `on_change` is told."""
        self.held = held
        self._changed()

    def relimit(self, now: float, *, cap: int | None = None, rpm: float | None = None, tpm: float | None = None) -> None:
        """Other limits from now on: None leaves one as it is, 0 lifts `rpm` or `tpm`. What went in the last minute still counts."""
        if cap is not None:
            self.limiter.recap(cap)
        if rpm is not None:
            self._requests = _relimited(self._requests, rpm, now)
        if tpm is not None:
            self._tokens = _relimited(self._tokens, tpm, now)
        self._changed()

    @property
    def rpm(self) -> float | None:
        return None if self._requests is None else self._requests.limit

    @property
    def tpm(self) -> float | None:
        return None if self._tokens is None else self._tokens.limit

    def share(self, requests: Holding, tokens: Holding) -> None:
        """From now on `rpm` and `tpm` are what this process holds of limits that others use too."""
        self._requests, self._tokens = requests, tokens

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def sent(self, now: float, tokens: float = 0.0) -> None:
        self.sent_count += 1
        self.limiter.sent()
        if self.gradient is not None:
            self.gradient.sent(now, self.limiter.in_flight)
        if now >= self.pace.watch_at:
            self.pace.sent(now, self.sent_count)
        if self.pause.still_closed:
            self.pause.sent(now)
        if self.breaker.open:
            self.breaker.sent(now)
        if self.quota.active:
            self.quota.sent()
        if self._requests is not None:
            self._requests.take(now, 1.0)
        if self._tokens is not None:
            self._tokens.take(now, tokens)
        if self.foresight.active:
            self.foresight.sent(tokens)

    def settle(self, sent_at: float, reserved: float, used: float) -> None:
        """Correct the token bucket once a reply told what the request really used."""
        if self._tokens is not None:
            self._tokens.settle(sent_at, used - reserved)

    def saw(self, limits: Limits, mark: int, tokens: float, sent_at: float, now: float) -> None:
        """What a reply's headers say is left; `mark` was `sent_count` when its request went, `tokens` what that took."""
        self.foresight.saw(limits, self.sent_count - mark, tokens, sent_at, now)

    def succeeded(self, sent_at: float, now: float, work: float = 1.0, ttft: float | None = None) -> None:
        """`work` is what it made the server do (`goodput.work_of`), `ttft` seconds to a stream's first token."""
        self.limiter.succeeded(sent_at, now)
        if self.gradient is not None:
            self._found(self.gradient, sent_at, now, work, ttft)
        if not self.budget.full:
            self.budget.succeeded()
        self._answered(sent_at, now)

    def _answered(self, sent_at: float, now: float) -> None:
        """The endpoint works, and takes requests."""
        self.breaker.answered(sent_at)
        if self.pause.watching:
            self.pause.answered(sent_at, now)
        if self.quota.active and self.quota.answered(sent_at):
            self.limiter.slow_down(now)  # a throttle after all: come back slowly

    def _found(self, gradient: Gradient, sent_at: float, now: float, work: float, ttft: float | None = None) -> None:
        gradient.ended(sent_at, now, self.limiter.in_flight, work, ttft)
        self.limiter.bind(gradient.limit)

    def cancelled(self, sent_at: float, now: float) -> None:
        """A request ended without an outcome of its own."""
        self._left(now)
        self.breaker.gone(sent_at)
        self.quota.gone(sent_at, now)

    def _left(self, now: float) -> None:
        self.limiter.left()
        if self.gradient is not None:
            self.gradient.left(now, self.limiter.in_flight)

    def failed(self, verdict: Verdict, line: int, sent_at: float, now: float) -> None:
        """Count a request that did not bring an answer; what it tells of the endpoint depends on its kind."""
        kind = verdict.kind
        self._left(now)
        if kind is Kind.PROBE:
            self.breaker.answered(sent_at)
            self.quota.doubted(sent_at, now)
            return
        if kind in _TELLS_NOTHING_OF_MONEY:
            self.quota.gone(sent_at, now)
        if kind is Kind.REFUSED:
            self._refused(verdict, sent_at, now)
        elif kind is Kind.UNREACHABLE or kind is Kind.MAYBE_PAID:
            self.limiter.troubled()
            if self.gradient is not None:  # it held its place in vain: a time-out is what too many in flight come to
                self._found(self.gradient, sent_at, now, 0.0)
            self.breaker.failed(line, sent_at, now, reached=kind is Kind.MAYBE_PAID)
        elif kind is Kind.LOCAL:
            self.breaker.gone(sent_at)
            self.limiter.shrink_to(max(1, self.limiter.in_flight))
            if self.gradient is not None:
                self.gradient.shrink_to(self.limiter.cap)
        else:
            self._answered(sent_at, now)

    def _refused(self, verdict: Verdict, sent_at: float, now: float) -> None:
        hint = verdict.after_s or 0.0
        if verdict.code is ErrorCode.SERVER_ERROR:
            self.breaker.unavailable(sent_at, now)
        else:
            self.breaker.answered(sent_at)
        knocking, holding = self.pause.still_closed, self.pace.holding
        before = max(0, self.pace.lately(self.sent_count) - self.limiter.in_flight)
        closed = self.pause.refused(sent_at, now, hint, before)
        # A closed door tells nothing of the rate that passes an open one.
        heard = Heard.LIMIT
        if knocking:
            self.pace.overheard(sent_at, now, self.sent_count)
        else:
            heard = self.pace.refused(sent_at, now, self.sent_count, hint, slow_ramp=verdict.slow_ramp, plain=closed)
        if heard is Heard.DOUBT:
            self.limiter.troubled()
        elif heard is Heard.NOISE_FOUND:
            self.limiter.forgiven(now)
        elif heard is Heard.LIMIT and not holding:  # else it was the pace that was too fast, not the limit too wide
            self.limiter.refused(sent_at, now, hint, slow_ramp=verdict.slow_ramp)


def _relimited(bucket: Bucket | Holding | None, limit: float, now: float) -> Bucket | Holding | None:
    if isinstance(bucket, Holding):
        bucket.relimit(limit or None)
        return bucket
    if not limit:
        return None
    if bucket is None:
        return Bucket(limit, BURST_S, now)
    bucket.relimit(limit, BURST_S)
    return bucket
