"""How many may be in flight: the rules of growing and cutting, at given times."""

from __future__ import annotations

import pytest

from batchllm.throttle.limiter import CUT, EPISODE_MAX_S, EPISODE_S, FLOOR, START, Limiter


def fill(limiter: Limiter) -> None:
    while limiter.in_flight < limiter.limit:
        limiter.sent()


def clean_round(limiter: Limiter, now: float) -> None:
    """One saturated round: every success is followed by as many requests as the limit then allows."""
    for _ in range(limiter.limit):
        fill(limiter)
        limiter.succeeded(now, now)
    fill(limiter)


def refuse(limiter: Limiter, now: float, *, sent_at: float | None = None, hint: float = 0.0, slow_ramp: bool = False) -> bool:
    limiter.left()
    return limiter.refused(now if sent_at is None else sent_at, now, hint, slow_ramp=slow_ramp)


@pytest.mark.parametrize(("cap", "start"), [(1, 1), (4, 4), (19, 19), (20, 20), (1000, START)])
def test_it_starts_at_twenty_or_the_cap(cap: int, start: int) -> None:
    assert Limiter(cap).limit == start


def test_it_doubles_over_each_clean_saturated_round_up_to_the_cap() -> None:
    limiter, limits = Limiter(100), []
    for now in range(1, 5):
        clean_round(limiter, float(now))
        limits.append(limiter.limit)
    assert limits == [40, 80, 100, 100]


def test_rounds_faster_than_half_a_second_count_as_one() -> None:
    limiter = Limiter(1000)
    for _ in range(10):
        clean_round(limiter, 1.0)
    clean_round(limiter, 1.1)
    assert limiter.limit <= 80


def test_it_grows_with_each_success_and_never_by_a_leap() -> None:
    limiter = Limiter(1000)
    fill(limiter)
    before = limiter.limit
    for _ in range(20):
        limiter.succeeded(1.0, 1.0)
        assert limiter.limit - before <= 1
        before = limiter.limit
        fill(limiter)


def test_an_unused_limit_does_not_grow() -> None:
    limiter = Limiter(100)
    for _ in range(200):
        limiter.sent()
        limiter.succeeded(1.0, 1.0)
    assert limiter.limit == START


def test_after_a_refusal_it_grows_by_a_twentieth_then_by_twice_that() -> None:
    limiter = Limiter(1000)
    limiter._set(100.0)
    fill(limiter)
    refuse(limiter, 10.0)
    assert limiter.limit == 80
    while limiter.in_flight > 80:
        limiter.left()
    clean_round(limiter, 20.0)
    first = limiter.limit
    clean_round(limiter, 21.0)
    assert first in (83, 84)
    assert limiter.limit in (91, 92)


def test_it_is_cut_at_most_once_an_episode() -> None:
    limiter = Limiter(100)
    fill(limiter)
    assert refuse(limiter, 10.0)
    assert not refuse(limiter, 10.0 + EPISODE_S - 0.1)
    fill(limiter)
    assert refuse(limiter, 10.0 + EPISODE_S + 0.1)
    assert limiter.limit == int(START * CUT * CUT)


def test_a_long_hint_lengthens_the_episode_within_bounds() -> None:
    limiter = Limiter(100)
    fill(limiter)
    assert refuse(limiter, 10.0, hint=300.0)
    assert not refuse(limiter, 10.0 + EPISODE_MAX_S - 0.1)
    fill(limiter)
    assert refuse(limiter, 10.0 + EPISODE_MAX_S + 0.1)


def test_what_was_sent_before_the_cut_says_nothing_about_the_limit_after_it() -> None:
    limiter = Limiter(100)
    fill(limiter)
    refuse(limiter, 10.0)
    fill(limiter)
    assert not refuse(limiter, 100.0, sent_at=9.0)
    for _ in range(100):
        fill(limiter)
        limiter.succeeded(9.0, 101.0)
    assert limiter.limit == 16


def test_a_limit_that_did_not_hold_the_pool_back_is_not_cut() -> None:
    limiter = Limiter(100)
    limiter.sent()
    assert not refuse(limiter, 10.0)
    assert limiter.limit == START


def test_it_never_falls_below_the_floor() -> None:
    limiter = Limiter(100)
    for episode in range(40):
        fill(limiter)
        refuse(limiter, 100.0 * episode)
    assert limiter.limit == FLOOR
    assert Limiter(2).floor == 2


def test_you_grew_too_fast_cuts_deeper() -> None:
    limiter = Limiter(100)
    fill(limiter)
    refuse(limiter, 10.0, slow_ramp=True)
    assert limiter.limit == int(START * CUT * CUT)


def test_server_errors_freeze_the_growth_of_their_round() -> None:
    limiter = Limiter(100)
    fill(limiter)
    limiter.troubled()
    for _ in range(19):
        fill(limiter)
        limiter.succeeded(1.0, 1.0)
    assert limiter.limit == START


def test_a_machine_that_bears_no_more_lowers_the_cap_for_good() -> None:
    limiter = Limiter(100)
    limiter.shrink_to(7)
    assert (limiter.cap, limiter.limit) == (7, 7)
    limiter.shrink_to(0)
    assert (limiter.cap, limiter.limit, limiter.floor) == (1, 1, 1)
