"""The throttle as a whole: which outcome moves which of its parts."""

from __future__ import annotations

from math import inf

import pytest

from batchllm.errors import ErrorCode
from batchllm.throttle import Throttle
from batchllm.types import Kind, Verdict

REFUSED = Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, after_s=2.0)
BUSY = Verdict(Kind.REFUSED, ErrorCode.SERVER_ERROR)
DOWN = Verdict(Kind.UNREACHABLE, ErrorCode.CONNECTION)
BROKEN = Verdict(Kind.MAYBE_PAID, ErrorCode.SERVER_ERROR)
DOUBT = Verdict(Kind.PROBE, ErrorCode.QUOTA_EXHAUSTED)
LOCAL = Verdict(Kind.LOCAL, ErrorCode.CONNECTION)
FINAL = Verdict(Kind.FINAL, ErrorCode.INVALID_REQUEST)


def throttle(cap: int = 64) -> Throttle:
    return Throttle(cap, 0.0)


def fail(one: Throttle, verdict: Verdict, now: float, times: int = 1, line: int = 1) -> None:
    for step in range(times):
        one.sent(now)
        one.failed(verdict, line + step, now, now)


def test_a_full_limit_waits_for_somebody_to_end() -> None:
    one = throttle(cap=1)
    assert one.wait(0.0) == 0
    one.sent(0.0)
    assert one.wait(0.0) == inf
    one.succeeded(0.0, 1.0)
    assert one.wait(1.0) == 0


@pytest.mark.parametrize("verdict", [REFUSED, BUSY, DOWN, BROKEN, DOUBT, LOCAL, FINAL])
def test_every_outcome_frees_its_slot(verdict: Verdict) -> None:
    one = throttle()
    fail(one, verdict, 1.0)
    assert one.limiter.in_flight == 0


@pytest.mark.parametrize("verdict", [REFUSED, BUSY])
def test_a_majority_of_refusals_closes_the_door(verdict: Verdict) -> None:
    one = throttle()
    fail(one, verdict, 1.0, times=5)
    assert one.wait(1.0) > 0


@pytest.mark.parametrize(("verdict", "times"), [(DOWN, 5), (BROKEN, 6)])
def test_failures_open_the_breaker(verdict: Verdict, times: int) -> None:
    one = throttle()
    fail(one, verdict, 1.0, times)
    assert one.breaker.open
    assert one.wait(1.0) == pytest.approx(5.0)
    one.sent(6.0)
    assert one.wait(6.0) == inf
    one.succeeded(6.0, 7.0)
    assert one.wait(7.0) == 0


def test_refusals_are_no_outage_but_unavailability_is() -> None:
    one, other = throttle(), throttle()
    for now in (1.0, 100.0, 200.0):
        fail(one, REFUSED, now)
        fail(other, BUSY, now)
    assert one.breaker.outage_s() == 0
    assert other.breaker.outage_s() == 199
    assert not other.breaker.open


@pytest.mark.parametrize("inconclusive", [REFUSED, DOWN, BROKEN, LOCAL])
def test_a_quota_probe_without_an_answer_never_blocks_the_pool_for_good(inconclusive: Verdict) -> None:
    one = throttle()
    fail(one, DOUBT, 1.0)
    assert one.wait(1.0) == pytest.approx(60.0)
    fail(one, inconclusive, 61.0)
    assert one.quota.active
    assert 0 < one.wait(61.0) < inf


def test_a_quota_that_was_a_throttle_lets_the_pool_come_back_reduced() -> None:
    one = throttle()
    fail(one, DOUBT, 1.0)
    one.sent(61.0)
    one.succeeded(61.0, 62.0)
    assert one.wait(62.0) == 0
    assert one.limiter.limit < 20


def test_a_machine_out_of_descriptors_lowers_the_cap() -> None:
    one = throttle()
    for _ in range(10):
        one.sent(1.0)
    one.failed(LOCAL, 1, 1.0, 1.0)
    assert one.limiter.cap == 9


def test_a_refusal_that_the_pace_brought_on_does_not_narrow_the_limit() -> None:
    one = throttle()
    fail(one, REFUSED, 1.0, times=4)
    limit, rate = one.limiter.limit, one.pace.rate
    assert rate is not None
    assert one.wait(1.0) > 0  # the pace holds now
    fail(one, REFUSED, 10.0)
    assert one.limiter.limit == limit
    assert one.pace.rate is not None
    assert one.pace.rate < rate
