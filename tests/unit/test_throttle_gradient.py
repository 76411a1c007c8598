"""How many in flight are worth it: the search, against servers that are a formula, at given times."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from batchllm.errors import ErrorCode
from batchllm.throttle import Throttle
from batchllm.throttle.evidence import gains
from batchllm.throttle.goodput import KEEP, Known, Window, work_of
from batchllm.throttle.gradient import RAMP, START, Gradient, levels
from batchllm.types import Kind, Verdict

Total = Callable[[int], float]
"""Work a second that a server does with so many in flight."""


class Closed:
    """As many requests as the limit allows, and no more than `supply`, at a server that does `total` work a second.

    A request waits `queue_s` for its first token where replies are streams; what is in flight beyond `fails_beyond` when it
    is sent comes to nothing.
    """

    def __init__(
        self, gradient: Gradient, total: Total, *, supply: int = 10_000, slots: int = 0, fails_beyond: int = 10_000
    ) -> None:
        self.gradient = gradient
        self.total = total
        self.supply = supply
        self.slots = slots
        self.fails_beyond = fails_beyond
        self.now = 1000.0
        self.limits: list[int] = []
        self._random = random.Random(1)
        self._flying: list[tuple[float, float, float, float | None]] = []

    def run(self, seconds: float) -> Closed:
        end = self.now + seconds
        while self.now < end:
            while len(self._flying) < min(self.gradient.limit, self.supply):
                self._send()
            self.now, sent_at, work, ttft = heapq.heappop(self._flying)
            self.gradient.ended(sent_at, self.now, len(self._flying), work, ttft)
            self.limits.append(self.gradient.limit)
        return self

    def _send(self) -> None:
        beside = len(self._flying) + 1
        work = self._random.uniform(5.0, 15.0)
        takes = work * beside / self.total(beside)
        queued = takes * max(0, beside - self.slots) / beside if self.slots else None
        if beside > self.fails_beyond:
            work, takes = 0.0, takes * 3
        heapq.heappush(self._flying, (self.now + takes, self.now, work, queued))
        self.gradient.sent(self.now, beside)


def up_to(most: int) -> Total:
    """A queue in front of `most` slots."""
    return lambda beside: 10.0 * min(beside, most)


def falling_beyond(knee: int) -> Total:
    return lambda beside: 10.0 * min(beside, knee) / (1 + max(0, beside - knee) / knee)


def settled(total: Total, cap: int = 1024, seconds: float = 400.0) -> int:
    return Closed(Gradient(cap, 1000.0), total).run(seconds).gradient.best


@pytest.mark.parametrize(
    ("cap", "expected"),
    [(1, [1]), (2, [1, 2]), (7, [1, 2, 3, 4, 5, 6, 7]), (20, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 16, 19, 20])],
)
def test_levels_are_a_quarter_of_a_doubling_apart_and_end_with_the_cap(cap: int, expected: list[int]) -> None:
    assert levels(cap) == expected
    assert all(after / before < 1.25 for before, after in pairwise(levels(100_000)) if before > 10)


@pytest.mark.parametrize(
    ("prompt", "completion", "work"), [(None, None, 1.0), (0, 0, 1.0), (None, 30, 30.0), (200, 30, 40.0), (100, None, 5.0)]
)
def test_work_is_counted_in_tokens_of_an_answer(prompt: int | None, completion: int | None, work: float) -> None:
    assert work_of(prompt, completion) == work


def test_goodput_is_what_is_in_flight_times_what_each_of_them_gets_done() -> None:
    window = Window(1)
    window.begin(10.0, 4)
    for work in (1.0, 50.0, 7.0, 3.0):
        window.add(work, work / 20.0, None, 12.0)
    window.holds(4, 14.0)
    assert window.goodput() == pytest.approx(4 * 20.0)
    assert window.error == pytest.approx(0.0, abs=1e-6)


def test_the_error_is_that_of_a_mean_where_every_request_counts_the_same() -> None:
    rng = random.Random(3)
    window = Window(1)
    window.begin(0.0, 1)
    for _ in range(1000):
        window.add(1.0, rng.expovariate(1.0), None, 0.0)
    assert window.error == pytest.approx(1 / 1000**0.5, rel=0.15)


@pytest.mark.parametrize(("cap", "start"), [(1024, START), (5, 5), (1, 1)])
def test_it_starts_at_eight_or_the_cap(cap: int, start: int) -> None:
    assert Gradient(cap, 1000.0).limit == start


@pytest.mark.parametrize("slots", [1, 2, 5, 12, 24, 60, 150])
def test_it_holds_the_fewest_in_flight_that_keep_the_server_busy(slots: int) -> None:
    found = settled(up_to(slots))
    assert KEEP * slots <= found <= 1.25 * slots + 1


@pytest.mark.parametrize("knee", [3, 6, 14, 40, 90])
def test_it_finds_the_peak_of_a_server_that_too_many_slow_down(knee: int) -> None:
    total = falling_beyond(knee)
    assert total(settled(total)) >= 0.85 * total(knee)


def test_without_a_knee_it_goes_to_the_cap_and_not_beyond() -> None:
    run = Closed(Gradient(100, 1000.0), up_to(10_000)).run(200.0)
    assert run.gradient.best == 100
    assert max(run.limits) == 100


@pytest.mark.parametrize(("slots", "rounds"), [(16, 4), (64, 11), (256, 22)])
def test_a_doubling_that_clearly_brings_more_takes_two_rounds_at_most(slots: int, rounds: int) -> None:
    """A round is as many as are in flight; every request takes a second until all slots are taken."""
    run = Closed(Gradient(1024, 1000.0), up_to(slots))
    while run.gradient.best < slots:
        assert run.now <= 1000.0 + rounds
        run.run(0.1)


def test_nothing_is_clear_where_the_gain_is_within_the_errors() -> None:
    window = Window(8)
    window.begin(0.0, 8)
    for seconds in (0.5, 1.5, 0.7, 1.2, 1.0, 1.1, 0.9, 1.1):
        window.add(10.0, seconds, None, 1.0)
    window.holds(8, 1.0)
    assert window.goodput() == pytest.approx(80.0)
    assert [gains(window, 8, Known(70.0, error, 1, 0.0)) for error in (0.0, 0.2)] == [False, False]
    assert gains(window, 8, Known(55.0, 0.0, 1, 0.0))
    assert not gains(window, 32, Known(5.0, 0.0, 1, 0.0))


def test_the_limit_never_rises_by_a_leap() -> None:
    run = Closed(Gradient(1024, 1000.0), up_to(100)).run(100.0)
    assert max(after - before for before, after in pairwise(run.limits)) == RAMP


def test_it_follows_a_server_that_grows_and_shrinks_while_it_runs() -> None:
    run = Closed(Gradient(1024, 1000.0), up_to(24)).run(300.0)
    found = [run.gradient.best]
    for slots in (96, 12):
        run.total = up_to(slots)
        found.append(run.run(600.0).gradient.best)
    assert [KEEP * 24 <= found[0] <= 31, KEEP * 96 <= found[1] <= 121, KEEP * 12 <= found[2] <= 16] == [True] * 3


def test_where_it_became_slower_fewer_are_tried_first() -> None:
    run = Closed(Gradient(1024, 1000.0), falling_beyond(40)).run(200.0)
    while run.gradient.limit != run.gradient.best:  # what is being tried at the moment is not what it tries first
        run.run(1.0)
    held = run.gradient.best
    run.total = falling_beyond(8)
    run.limits.clear()
    run.run(400.0)
    assert run.gradient.best in (6, 7, 8, 10)
    below = next(at for at, limit in enumerate(run.limits) if limit < held)
    assert max(run.limits[:below]) <= held


def test_a_pool_that_is_not_full_teaches_nothing() -> None:
    run = Closed(Gradient(1024, 1000.0), up_to(400), supply=5).run(300.0)
    assert (run.gradient.best, run.gradient.limit) == (START, START)


def test_requests_that_come_to_nothing_are_no_goodput() -> None:
    run = Closed(Gradient(1024, 1000.0), up_to(400), fails_beyond=30).run(400.0)
    assert 20 <= run.gradient.best <= 32


def test_what_is_tried_is_given_up_where_the_server_gets_stuck() -> None:
    run = Closed(Gradient(1024, 1000.0), lambda beside: 10.0 * beside if beside <= 20 else 0.05 * beside).run(1500.0)
    assert 16 <= run.gradient.best <= 20
    assert run.gradient.limit <= 20


def test_time_to_first_token_tells_how_many_to_leave_out_at_once() -> None:
    def tried(slots: int) -> list[int]:
        run = Closed(Gradient(1024, 1000.0), up_to(64), slots=slots).run(150.0)
        held = run.gradient.best
        run.total, run.slots = up_to(6), slots and 6
        run.limits.clear()
        return [limit for limit in run.run(120.0).limits if limit < held]

    assert tried(64)[0] <= 8
    assert tried(0)[0] > 16


def test_the_machines_own_limit_is_a_cap_for_the_rest_of_the_run() -> None:
    run = Closed(Gradient(1024, 1000.0), up_to(200)).run(200.0)
    run.gradient.shrink_to(50)
    run.limits.clear()
    run.run(200.0)
    assert max(run.limits) <= 50


def test_a_throttle_lets_the_lower_of_both_limits_through() -> None:
    throttle = Throttle(1024, 0.0, auto=True)
    refused = Verdict(Kind.REFUSED, ErrorCode.RATE_LIMITED, "slow down")
    assert throttle.limiter.limit == START
    for _ in range(START):
        throttle.sent(0.0)
    for line in range(START):  # one may be chance, all are not
        throttle.failed(refused, line, 0.0, 1.0)
        throttle.sent(1.0)
    assert throttle.limiter.limit < START
    assert throttle.gradient is not None
    assert throttle.gradient.limit == START


def test_a_number_is_a_cap_and_learns_nothing() -> None:
    assert Throttle(8, 0.0).gradient is None
