"""Several endpoints as one: which of them the next request goes to. Pure; each member keeps a throttle of its own.

What holds over all of them together (the cap, `--rpm`, `--tpm`, the owner's word, the retry budget) stands in one more
throttle, the `whole`; what an endpoint says of itself (refusals, outages, headers) is told to its member and binds no other.
Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from batchllm.errors import ErrorCode
from batchllm.throttle import Throttle
from batchllm.throttle.breaker import PROBE_S, Breaker
from batchllm.throttle.gradient import Gradient
from batchllm.throttle.limiter import Limiter
from batchllm.types import Kind, Limits, Verdict

Shunned = Mapping[int, float]
"""The members a line may not go to, by their numbers, and until when: it met a wait or a failure there. `inf` is a final no
that another member may still overrule: it counts only while there is one to be asked."""

MOST = 100_000
"""In flight at one member where nobody knows better: the cap of the whole is the limit."""
AVOID_S = PROBE_S
"""A line that an endpoint failed goes elsewhere for at least so long: the breaker's first wait."""
PROBE_MAX_S = 30.0
"""One that is down is tried again at least so often: a probe's line has another endpoint to go to, so it costs little."""
MEMORY = 1 / 16
WORST = 0.9
NOBODY: Shunned = {}
"""For a line that may go to every member."""
_FAILED = frozenset({Kind.UNREACHABLE, Kind.MAYBE_PAID})


class Member:
    """One endpoint. What became of its requests is told here: its own throttle learns from it, the whole counts it.

    Nothing goes to it before `out_until` (`inf`: for the rest of the run).
    """

    __slots__ = ("_failing", "_whole", "number", "out_until", "throttle")

    def __init__(self, number: int, throttle: Throttle, whole: Throttle) -> None:
        self.number = number
        self.throttle = throttle
        self.throttle.breaker = Breaker(PROBE_MAX_S)
        self.out_until = -inf
        self._whole = whole
        self._failing = 0.0

    @property
    def sent_count(self) -> int:
        return self.throttle.sent_count

    @property
    def gradient(self) -> Gradient | None:
        return self.throttle.gradient

    @property
    def breaker(self) -> Breaker:
        return self.throttle.breaker

    @property
    def up(self) -> bool:
        """Whether it takes requests, as far as anybody knows."""
        own = self.throttle
        return not (own.breaker.open or own.pause.still_closed or own.quota.active)

    @property
    def load(self) -> float:
        """Requests in flight with one more, and more than that where many fail: failing fast is not being free."""
        return (self.throttle.limiter.in_flight + 1) / (1.0 - self._failing)

    def saw(self, limits: Limits, mark: int, tokens: float, sent_at: float, now: float) -> None:
        self.throttle.saw(limits, mark, tokens, sent_at, now)

    def succeeded(self, sent_at: float, now: float, work: float = 1.0, ttft: float | None = None) -> None:
        self.throttle.succeeded(sent_at, now, work, ttft)
        self._whole.succeeded(sent_at, now)
        self._failing -= self._failing * MEMORY

    def cancelled(self, sent_at: float, now: float) -> None:
        self.throttle.cancelled(sent_at, now)
        self._whole.cancelled(sent_at, now)

    def failed(self, verdict: Verdict, line: int, sent_at: float, now: float) -> None:
        if verdict.kind is Kind.LOCAL:  # this machine's limit is everybody's
            self.throttle.cancelled(sent_at, now)
            self._whole.failed(verdict, line, sent_at, now)
            return
        self.throttle.failed(verdict, line, sent_at, now)
        self._whole.limiter.left()
        if verdict.kind in _FAILED:
            self._failing += (WORST - self._failing) * MEMORY


class Fleet:
    """The members of a run that has several endpoints. `caps` are the most that each bears in flight, None where unknown."""

    def __init__(self, whole: Throttle, caps: Sequence[int | None], now: float) -> None:
        # Learning how many may be in flight is the members' business: the whole keeps the cap, and no more.
        most, auto = whole.limiter.cap, whole.gradient is not None
        whole.limiter, whole.gradient = Limiter(most, most), None
        self.whole = whole
        throttles = [Throttle(min(cap or MOST, most if auto else MOST), now, auto=auto) for cap in caps]
        self.members = tuple(Member(number, one, whole) for number, one in enumerate(throttles))
        self._turn = 0

    @property
    def counts_tokens(self) -> bool:
        return self.whole.counts_tokens or any(one.throttle.counts_tokens for one in self.members)

    @property
    def troubled(self) -> bool:
        """Whether every member that is not left out failed since its last answer."""
        inside = [one.breaker.troubled for one in self.members if one.out_until != inf]
        return bool(inside) and all(inside)

    def choose(self, now: float, tokens: float = 0.0, shunned: Shunned = NOBODY) -> tuple[Member | None, float]:
        """The member the next request may go to now; None, and the seconds until one may, where there is none.

        The one with the fewest in flight of those that take it, in turn where several have as few. `inf` is "only after
        another request has ended".
        """
        at, bars, soonest = self._turn, self._bars(shunned, now), inf
        for one in sorted(self.members[at:] + self.members[:at], key=_load):
            wait = max(one.out_until, bars.get(one.number, -inf)) - now
            if wait <= 0:
                wait = one.throttle.wait(now, tokens)
            if wait <= 0:
                return one, 0.0
            soonest = min(soonest, wait)
        return None, soonest

    def sent(self, member: Member, now: float, tokens: float = 0.0) -> None:
        """To be told when a request goes to the member that was chosen."""
        member.throttle.sent(now, tokens)
        self.whole.sent(now, tokens)
        self._turn = (member.number + 1) % len(self.members)

    def shun(self, member: Member, verdict: Verdict, wait_s: float, shunned: Shunned, now: float) -> Shunned:
        """Where a line may not go after this outcome: not to this member for its wait, or longer where it failed."""
        if verdict.kind is Kind.LOCAL:
            return shunned
        failed = verdict.kind in _FAILED or (verdict.kind is Kind.REFUSED and verdict.code is ErrorCode.SERVER_ERROR)
        until = now + (max(wait_s, AVOID_S) if failed else wait_s)
        return {**{number: end for number, end in shunned.items() if end > now}, member.number: until}

    def elsewhere_s(self, shunned: Shunned, now: float) -> float:
        """Seconds until a line may ask for a slot again: none where another member is up, else until it may go back to one."""
        bars = self._bars(shunned, now)
        inside = [one for one in self.members if one.out_until <= now]
        ends = [bars.get(one.number, now) for one in inside if one.up] or [bars.get(one.number, now) for one in inside]
        return max(0.0, min(ends, default=now) - now)

    def _bars(self, shunned: Shunned, now: float) -> Shunned:
        if inf not in shunned.values() or self._unasked(shunned, now):
            return shunned
        return {number: end for number, end in shunned.items() if end != inf}

    def _unasked(self, shunned: Shunned, now: float) -> bool:
        return any(one.up and one.out_until <= now and shunned.get(one.number) != inf for one in self.members)

    def unasked(self, member: Member, shunned: Shunned, now: float) -> bool:
        """Whether another member that is up has not said a final no to this line."""
        return self._unasked({**shunned, member.number: inf}, now)

    def others(self, member: Member, now: float) -> bool:
        """Whether there is another member that is not left out, be it down."""
        return any(one is not member and one.out_until <= now for one in self.members)


def _load(member: Member) -> float:
    return member.load


Told = Throttle | Member
"""Whom the outcome of a request is told: the run's one throttle, or the member that the request went to."""
