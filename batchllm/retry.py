"""Again, and after how long? The two questions of the retry loop, answered purely: replies, counts and jitter are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from batchllm.errors import ErrorCode
from batchllm.settings import Retries
from batchllm.types import Kind, Verdict

Billed = Literal["no", "maybe", "yes"]
HINT_JITTER = 0.25
"""A server's wait is a floor; up to a quarter more keeps those who met it together from coming back together."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What an outcome of one kind costs: an attempt of the line's, tokens of the retry budget, perhaps money."""

    again: bool
    uses_attempt: bool = False
    budget: float = 0.0
    billed: Billed = "no"


TRAITS = {
    Kind.OK: Traits(again=False, billed="yes"),
    Kind.REFUSED: Traits(again=True),
    Kind.UNREACHABLE: Traits(again=True),
    Kind.MAYBE_PAID: Traits(again=True, uses_attempt=True, budget=1.0, billed="maybe"),
    Kind.PAID: Traits(again=True, billed="yes"),
    Kind.FINAL: Traits(again=False),
    Kind.PROBE: Traits(again=True),
    Kind.PAUSE: Traits(again=True),
    Kind.STOP: Traits(again=False),
    Kind.LOCAL: Traits(again=True),
}


@dataclass(slots=True)
class Spent:
    """What one line has used up so far. `sent` counts every request, the other counters only their own kind."""

    sent: int = 0
    attempts: int = 0
    paid: int = 0
    refusals: int = 0
    gateway_timeouts: tuple[float, ...] = ()

    def count(self, verdict: Verdict, elapsed_s: float) -> None:
        if TRAITS[verdict.kind].uses_attempt:
            self.attempts += 1
        if verdict.kind is Kind.PAID:
            self.paid += 1
        elif TRAITS[verdict.kind].again and not TRAITS[verdict.kind].uses_attempt:
            self.refusals += 1
        if verdict.kind is Kind.MAYBE_PAID and verdict.code is ErrorCode.TIMEOUT:
            self.gateway_timeouts = (*self.gateway_timeouts[-1:], elapsed_s)


def again(verdict: Verdict, spent: Spent, policy: Retries, waited_s: float) -> bool:
    """Whether a line is tried once more after this verdict, already counted in `spent`.

    Being told to wait uses up no attempt and is bounded by time alone; two gateway time-outs after the same time are a
    limit that no repeat gets past.
    """
    if not TRAITS[verdict.kind].again:
        return False
    if verdict.kind is Kind.PAID:
        return spent.paid <= policy.paid
    if same_timeouts(spent):
        return False
    return spent.attempts < policy.max_attempts and waited_s < policy.item


def budget_cost(verdict: Verdict) -> float:
    """Tokens of the retry budget that a retry after this costs; a time-out cost the endpoint most, and counts twice."""
    return TRAITS[verdict.kind].budget * (2.0 if verdict.code is ErrorCode.TIMEOUT else 1.0)


def same_timeouts(spent: Spent) -> bool:
    """Two time-outs in a row after the same time, within five per cent: a gateway's limit, met again at every repeat."""
    if len(spent.gateway_timeouts) < 2:
        return False
    first, second = spent.gateway_timeouts
    return second >= 20.0 and abs(first - second) <= 0.05 * second


def wait_s(verdict: Verdict, spent: Spent, policy: Retries, jitter: float) -> float:
    """Seconds before the next attempt; `jitter` in [0, 1). A server's own wait always wins and is never undercut."""
    if verdict.after_s is not None:
        return verdict.after_s * (1 + HINT_JITTER * jitter)
    if verdict.kind is Kind.MAYBE_PAID and verdict.code is ErrorCode.CONNECTION and spent.attempts == 1:
        return 0.0  # a connection the server had just closed: the next one is fresh
    tries = spent.paid if verdict.kind is Kind.PAID else spent.attempts + spent.refusals
    ceiling = min(policy.cap, policy.base * 2.0 ** min(max(tries - 1, 0), 30))
    return ceiling * jitter
