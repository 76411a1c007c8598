"""Which of several endpoints the next request goes to, and what binds a line to the one that said so."""

from __future__ import annotations

from math import inf

import pytest

from batchllm.errors import ErrorCode
from batchllm.throttle import Throttle
from batchllm.throttle.fleet import AVOID_S, Fleet, Member
from batchllm.types import Kind, Verdict

DOWN = Verdict(Kind.UNREACHABLE, ErrorCode.CONNECTION, "nobody there")
RESET = Verdict(Kind.MAYBE_PAID, ErrorCode.CONNECTION, "reset")
BUSY = Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, "slow down", 30.0)
UNAVAILABLE = Verdict(Kind.REFUSED, ErrorCode.SERVER_ERROR, "503")
LOCAL = Verdict(Kind.LOCAL, ErrorCode.CONNECTION, "no descriptors")


def fleet(count: int = 3, cap: int = 64, **limits: float) -> Fleet:
    return Fleet(Throttle(cap, 0.0, **limits), [None] * count, 0.0)


def send(made: Fleet, number: int, times: int = 1) -> None:
    for _ in range(times):
        made.sent(made.members[number], 0.0)


def chosen(made: Fleet, now: float = 0.0, **shunned: float) -> int | None:
    member, _ = made.choose(now, shunned={int(name[1:]): end for name, end in shunned.items()})
    return None if member is None else member.number


def break_down(made: Fleet, number: int, now: float = 0.0) -> None:
    member = made.members[number]
    for line in range(1, 6):
        made.sent(member, now)
        member.failed(DOWN, line, now, now)


@pytest.mark.parametrize(
    ("in_flight", "expected"),
    [((0, 0, 0), 0), ((1, 0, 0), 1), ((2, 1, 3), 1), ((5, 5, 4), 2), ((20, 3, 9), 1), ((20, 20, 20), None)],
)
def test_the_one_with_the_fewest_in_flight_goes_next(in_flight: tuple[int, ...], expected: int | None) -> None:
    made = fleet()
    for number, count in enumerate(in_flight):
        send(made, number, count)
    made._turn = 0
    assert chosen(made) == expected


def test_where_several_have_as_few_they_go_in_turn() -> None:
    made, order = fleet(), []
    for _ in range(6):
        member, _ = made.choose(0.0)
        assert member is not None
        made.sent(member, 0.0)
        member.succeeded(0.0, 0.0)
        order.append(member.number)
    assert order == [0, 1, 2, 0, 1, 2]


def test_one_that_fails_fast_is_not_taken_for_a_free_one() -> None:
    made = fleet(2)
    for line in range(30):
        send(made, 0)
        made.members[0].failed(RESET, line % 2, 0.0, 0.0)
        made.members[0].breaker.answered(0.0)
    send(made, 1)
    assert chosen(made) == 1
    for _ in range(60):
        send(made, 0)
        made.members[0].succeeded(0.0, 0.0)
    assert chosen(made) == 0


@pytest.mark.parametrize(
    ("shunned", "now", "expected"),
    [
        ({"m0": 30.0}, 0.0, 1),
        ({"m0": 30.0, "m1": 40.0}, 0.0, 2),
        ({"m0": 30.0, "m1": 40.0, "m2": 50.0}, 0.0, None),
        ({"m0": 30.0, "m1": 40.0, "m2": 50.0}, 30.0, 0),
        ({"m0": inf, "m1": inf}, 0.0, 2),
        ({"m0": inf, "m1": inf, "m2": inf}, 0.0, 0),
        ({"m0": inf, "m1": 9.0, "m2": inf}, 0.0, None),
    ],
)
def test_a_line_goes_nowhere_it_may_not_and_a_final_no_of_all_is_asked_again(
    shunned: dict[str, float], now: float, expected: int | None
) -> None:
    assert chosen(fleet(), now, **shunned) == expected


def test_a_final_no_counts_only_while_another_endpoint_is_up() -> None:
    made = fleet(2)
    assert chosen(made, m0=inf) == 1
    break_down(made, 1)
    assert chosen(made, m0=inf) == 0


def test_one_whose_breaker_is_open_is_left_out_until_its_probe() -> None:
    made = fleet(2)
    break_down(made, 0)
    assert [chosen(made), chosen(made), chosen(made)] == [1, 1, 1]
    send(made, 1, 3)
    assert chosen(made, now=AVOID_S) == 0
    made.sent(made.members[0], AVOID_S)
    assert chosen(made, now=AVOID_S) == 1


def test_while_none_may_the_soonest_is_waited_for() -> None:
    made = fleet(2)
    break_down(made, 0, 0.0)
    break_down(made, 1, 1.0)
    member, wait = made.choose(2.0)
    assert member is None
    assert wait == pytest.approx(AVOID_S - 2.0)
    made.members[0].out_until = inf
    assert made.choose(2.0)[1] == pytest.approx(AVOID_S + 1.0 - 2.0)


@pytest.mark.parametrize(
    ("verdict", "wait_s", "expected"),
    [
        (BUSY, 30.0, 130.0),
        (DOWN, 0.5, 100.0 + AVOID_S),
        (RESET, 0.0, 100.0 + AVOID_S),
        (UNAVAILABLE, 0.2, 100.0 + AVOID_S),
        (UNAVAILABLE, 60.0, 160.0),
        (LOCAL, 3.0, None),
    ],
)
def test_a_wait_and_a_failure_bind_the_endpoint_they_came_from(verdict: Verdict, wait_s: float, expected: float | None) -> None:
    made = fleet()
    found = made.shun(made.members[1], verdict, wait_s, {2: 500.0, 0: 99.0}, 100.0)
    assert found.get(1) == expected
    assert found[2] == 500.0
    if expected is not None:
        assert 0 not in found, "what is over is forgotten"


def test_a_line_waits_only_where_no_other_endpoint_is_up() -> None:
    made = fleet(2)
    assert made.elsewhere_s({0: 30.0}, 0.0) == 0.0
    assert made.elsewhere_s({0: 30.0, 1: 20.0}, 0.0) == 20.0
    break_down(made, 1)
    assert made.elsewhere_s({0: 30.0}, 0.0) == 30.0, "the other is down: its probes are for any line"
    made.members[0].out_until = inf
    assert made.elsewhere_s({0: 30.0}, 0.0) == 0.0


def test_the_cap_and_rpm_hold_over_all_together() -> None:
    made = fleet(3, cap=5)
    for _ in range(5):
        assert made.whole.wait(0.0) == 0.0
        send(made, 0)
    assert made.whole.wait(0.0) == inf
    made.members[0].failed(BUSY, 1, 0.0, 0.0)
    made.members[0].cancelled(0.0, 0.0)
    assert made.whole.limiter.in_flight == 3
    limited = fleet(3, rpm=60.0)
    send(limited, 0)
    assert limited.whole.wait(0.0) == pytest.approx(1.0)


def test_refusals_and_outages_of_one_bind_no_other_and_not_the_whole() -> None:
    made = fleet(2)
    for line in range(20):
        send(made, 0)
        made.members[0].failed(BUSY, line, 0.0, 0.0)
    break_down(made, 0)
    assert made.members[0].throttle.wait(0.0) > 0
    assert made.members[1].throttle.wait(0.0) == 0.0
    assert made.whole.wait(0.0) == 0.0
    assert (made.members[0].up, made.members[1].up) == (False, True)


def test_a_machine_without_descriptors_bears_no_more_wherever_it_was_found_out() -> None:
    made = fleet(2)
    send(made, 0, 3)
    send(made, 1, 4)
    made.members[1].failed(LOCAL, 1, 0.0, 0.0)
    assert made.whole.limiter.limit == 6
    assert made.members[1].throttle.limiter.limit == 20


@pytest.mark.parametrize(
    ("troubled", "out", "expected"), [((), (), False), ((0,), (), False), ((0, 1), (), True), ((0,), (1,), True)]
)
def test_only_an_outage_of_all_is_the_fleets(troubled: tuple[int, ...], out: tuple[int, ...], expected: bool) -> None:
    made = fleet(2)
    for number in troubled:
        send(made, number)
        made.members[number].failed(DOWN, 1, 0.0, 0.0)
    for number in out:
        made.members[number].out_until = inf
    assert made.troubled is expected


def test_each_bears_as_many_as_it_is_known_to_and_finds_it_out_by_itself_where_that_is_asked_for() -> None:
    capped = Fleet(Throttle(64, 0.0), [4, None], 0.0)
    assert [one.throttle.limiter.limit for one in capped.members] == [4, 20]
    found = Fleet(Throttle(64, 0.0, auto=True), [None, None], 0.0)
    assert all(one.gradient is not None for one in found.members)
    assert found.whole.gradient is None


def test_a_member_is_told_for_itself_and_for_the_whole() -> None:
    made = fleet(2, tpm=6_000.0)
    member = made.members[0]
    assert isinstance(member, Member)
    assert made.counts_tokens
    made.sent(member, 0.0, 50.0)
    member.succeeded(0.0, 1.0)
    assert (member.sent_count, made.whole.sent_count) == (1, 1)
    assert (member.throttle.limiter.in_flight, made.whole.limiter.in_flight) == (0, 0)
