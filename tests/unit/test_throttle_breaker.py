"""An endpoint that is down: what opens the breaker, how it probes, what counts as outage."""

from __future__ import annotations

from math import inf

import pytest

from batchllm.throttle.breaker import FIRST_FAILURES, GAP_MAX_S, PROBE_MAX_S, PROBE_S, REPEAT_MAX_S, UNREACHED, Breaker


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    for line in range(UNREACHED):
        breaker.failed(line, now, now, reached=False)
    assert breaker.open
    return breaker


def test_unreached_five_times_running_opens_whatever_the_lines() -> None:
    breaker = Breaker()
    for count in range(1, UNREACHED + 1):
        breaker.failed(1, count, count, reached=False)
        assert breaker.open is (count == UNREACHED)


def test_errors_of_six_different_lines_running_open() -> None:
    breaker = Breaker()
    for line in range(1, FIRST_FAILURES + 1):
        breaker.failed(line, 1.0, 2.0, reached=True)
        assert breaker.open is (line == FIRST_FAILURES)


def test_poisoned_lines_alone_never_open() -> None:
    breaker = Breaker()
    for attempt in range(50):
        for line in range(FIRST_FAILURES - 1):
            breaker.failed(line, attempt, attempt + 0.5, reached=True)
    assert not breaker.open
    assert breaker.outage_s() < 50


def test_a_line_that_fails_while_later_ones_are_answered_fails_by_itself() -> None:
    breaker = Breaker()
    for line in range(20):
        breaker.answered(10.0 + line)
        breaker.failed(line, 9.0, 20.0 + line, reached=True)
    assert not breaker.open
    assert breaker.outage_s() == 0


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    breaker = Breaker()
    for line in range(30):
        breaker.failed(line, line, line, reached=True)
        if line % 4 == 3:
            breaker.answered(line)
    assert not breaker.open


def test_one_probe_at_a_time_after_five_seconds_doubling_to_three_hundred() -> None:
    breaker, now, waits = opened(), 100.0, []
    for line in range(100, 109):
        waits.append(breaker.ready_at() - now)
        now = breaker.ready_at()
        breaker.sent(now)
        assert breaker.ready_at() == inf
        breaker.failed(line, now, now, reached=False)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert waits[0] == PROBE_S
    assert waits[-1] == PROBE_MAX_S


def test_where_only_lines_that_failed_before_are_left_they_are_probed_every_minute() -> None:
    breaker, now = opened(), 100.0
    for _ in range(8):
        now = breaker.ready_at()
        breaker.sent(now)
        breaker.failed(1, now, now, reached=True)
    assert breaker.ready_at() - now == REPEAT_MAX_S


def test_the_failure_of_an_older_request_is_not_the_probes() -> None:
    breaker = opened()
    breaker.sent(106.0)
    breaker.failed(50, 99.0, 107.0, reached=False)
    assert breaker.ready_at() == inf


def test_only_an_answer_to_what_was_sent_since_closes_it() -> None:
    breaker = opened()
    breaker.answered(99.0)
    assert breaker.open
    breaker.sent(106.0)
    breaker.answered(106.0)
    assert not breaker.open
    assert breaker.ready_at() == -inf
    assert breaker.outage_s() == 0


def test_a_cancelled_probe_frees_the_way_for_the_next() -> None:
    breaker = opened()
    breaker.sent(106.0)
    breaker.gone(99.0)
    assert breaker.ready_at() == inf
    breaker.gone(106.0)
    assert breaker.ready_at() < inf


def test_an_open_breaker_shields_lines_that_have_not_failed_before() -> None:
    breaker = Breaker()
    assert not breaker.shields(99)
    for line in range(FIRST_FAILURES):
        breaker.failed(line, 1.0, 2.0, reached=True)
    assert breaker.shields(99)
    assert not breaker.shields(1)


def test_an_outage_is_the_time_of_failures_since_the_last_answer() -> None:
    breaker = Breaker()
    for now in (100.0, 160.0, 220.0):
        breaker.failed(1, now, now, reached=False)
    assert breaker.outage_s() == 120


def test_an_endpoint_that_says_it_is_unavailable_is_an_outage_too() -> None:
    breaker = Breaker()
    for step in range(41):
        breaker.unavailable(step * 60.0, step * 60.0)
    assert not breaker.open
    assert breaker.outage_s() == 2400


def test_a_probe_that_meets_unavailability_does_not_close_it() -> None:
    breaker = opened()
    breaker.sent(106.0)
    breaker.unavailable(106.0, 106.0)
    assert breaker.open
    assert breaker.ready_at() == 116.0


@pytest.mark.parametrize("asleep", [3600.0, 86400.0])
def test_time_asleep_is_no_outage(asleep: float) -> None:
    breaker = Breaker()
    breaker.failed(1, 100.0, 100.0, reached=False)
    breaker.failed(1, 100.0, 100.0 + asleep, reached=False)
    assert breaker.outage_s() == GAP_MAX_S
