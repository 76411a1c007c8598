"""Again, and after how long: the rules of one line's tries."""

from __future__ import annotations

import pytest

from batchllm.errors import ErrorCode
from batchllm.retry import HINT_JITTER, TRAITS, Spent, again, budget_cost, same_timeouts, wait_s
from batchllm.settings import Retries
from batchllm.types import Kind, Verdict

POLICY = Retries()


def verdict(kind: Kind, code: ErrorCode = ErrorCode.SERVER_ERROR, after_s: float | None = None) -> Verdict:
    return Verdict(kind, code, after_s=after_s)


def spent(kind: Kind, times: int, code: ErrorCode = ErrorCode.SERVER_ERROR, elapsed_s: float = 1.0) -> Spent:
    one = Spent()
    for _ in range(times):
        one.count(verdict(kind, code), elapsed_s)
    return one


def test_every_kind_has_its_traits() -> None:
    assert set(TRAITS) == set(Kind)


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        (Kind.REFUSED, None),
        (Kind.UNREACHABLE, None),
        (Kind.PROBE, None),
        (Kind.LOCAL, None),
        (Kind.PAUSE, None),
        (Kind.MAYBE_PAID, POLICY.max_attempts),
        (Kind.PAID, POLICY.paid + 1),
        (Kind.FINAL, 1),
        (Kind.STOP, 1),
    ],
)
def test_how_often_each_kind_is_tried(kind: Kind, tries: int | None) -> None:
    """None: being told to wait uses up no attempt, however often."""
    for times in range(1, 30):
        assert again(verdict(kind), spent(kind, times), POLICY, 0.0) is (tries is None or times < tries)


def test_waiting_is_bounded_by_the_lines_time_alone() -> None:
    refused = spent(Kind.REFUSED, 1000)
    assert again(verdict(Kind.REFUSED), refused, POLICY, POLICY.item - 1)
    assert not again(verdict(Kind.REFUSED), refused, POLICY, POLICY.item)


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.MAYBE_PAID, Kind.PROBE, Kind.UNREACHABLE])
@pytest.mark.parametrize("after_s", [0.5, 30.0, 4000.0])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_a_servers_wait_is_a_floor_with_a_quarter_of_jitter(kind: Kind, after_s: float, jitter: float) -> None:
    wait = wait_s(verdict(kind, after_s=after_s), spent(kind, 3), POLICY, jitter)
    assert after_s <= wait <= after_s * (1 + HINT_JITTER)


@pytest.mark.parametrize(("times", "ceiling"), [(1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (5000, 60.0)])
def test_without_a_hint_the_backoff_doubles_up_to_its_cap_with_full_jitter(times: int, ceiling: float) -> None:
    refused = spent(Kind.REFUSED, times)
    assert wait_s(verdict(Kind.REFUSED), refused, POLICY, 0.0) == 0
    assert wait_s(verdict(Kind.REFUSED), refused, POLICY, 0.5) == ceiling / 2


def test_a_connection_found_closed_is_replaced_at_once_but_only_once() -> None:
    broken = verdict(Kind.MAYBE_PAID, ErrorCode.CONNECTION)
    assert wait_s(broken, spent(Kind.MAYBE_PAID, 1, ErrorCode.CONNECTION), POLICY, 0.9) == 0
    assert wait_s(broken, spent(Kind.MAYBE_PAID, 2, ErrorCode.CONNECTION), POLICY, 0.9) > 0


@pytest.mark.parametrize(
    ("first", "second", "same"), [(100.0, 101.0, True), (100.0, 110.0, False), (10.0, 10.0, False), (600.0, 590.0, True)]
)
def test_two_time_outs_after_the_same_time_are_a_gateways_limit(first: float, second: float, same: bool) -> None:
    one = Spent()
    one.count(verdict(Kind.MAYBE_PAID, ErrorCode.TIMEOUT), first)
    one.count(verdict(Kind.MAYBE_PAID, ErrorCode.TIMEOUT), second)
    assert same_timeouts(one) is same
    assert again(verdict(Kind.MAYBE_PAID, ErrorCode.TIMEOUT), one, POLICY, 0.0) is not same


@pytest.mark.parametrize(
    ("kind", "code", "cost"),
    [
        (Kind.MAYBE_PAID, ErrorCode.SERVER_ERROR, 1.0),
        (Kind.MAYBE_PAID, ErrorCode.TIMEOUT, 2.0),
        (Kind.REFUSED, ErrorCode.RATE_LIMITED, 0.0),
        (Kind.UNREACHABLE, ErrorCode.CONNECTION, 0.0),
        (Kind.PAID, ErrorCode.SCHEMA_INVALID, 0.0),
    ],
)
def test_only_retries_after_an_unknown_outcome_are_budgeted(kind: Kind, code: ErrorCode, cost: float) -> None:
    assert budget_cost(verdict(kind, code)) == cost
