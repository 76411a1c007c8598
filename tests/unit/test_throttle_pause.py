"""When the whole pool waits, and how it comes back."""

from __future__ import annotations

import pytest

from batchllm.throttle.pause import FIRST_S, KNOCK_S, UNTOLD_MAX_S, WINDOW_S, MajorityPause


def closed(hint: float = 30.0, now: float = 100.0) -> MajorityPause:
    pause = MajorityPause()
    for _ in range(5):
        pause.refused(now, now, hint)
    assert pause.still_closed
    return pause


@pytest.mark.parametrize(
    ("refusals", "answers", "closes"),
    [(1, 0, False), (4, 0, False), (5, 0, True), (5, 4, True), (5, 5, False), (50, 60, False), (60, 50, True)],
)
def test_it_closes_when_refusals_are_the_majority_of_five_or_more(refusals: int, answers: int, closes: bool) -> None:
    pause = MajorityPause()
    pause.refused(100.0, 100.0, 10.0)
    for _ in range(answers):
        pause.answered(100.0, 100.0)
    for _ in range(refusals - 1):
        pause.refused(100.0, 100.0, 10.0)
    assert pause.still_closed is closes


def test_only_the_last_five_seconds_count() -> None:
    pause = MajorityPause()
    for step in range(20):
        pause.refused(100.0, 100.0 + step * WINDOW_S / 3, 10.0)
    assert not pause.still_closed


@pytest.mark.parametrize(("hint", "wait"), [(1.0, 1.0), (5.0, 5.0), (30.0, FIRST_S), (0.0, FIRST_S)])
def test_it_waits_as_long_as_the_server_says_but_five_seconds_at_first(hint: float, wait: float) -> None:
    assert closed(hint).wait(100.0) == pytest.approx(wait)


def knock(pause: MajorityPause, hint: float) -> float:
    """Knock as soon as it may be done and be refused; the wait that follows."""
    now = pause.until
    assert pause.wait(now) <= 0
    pause.sent(now)
    pause.refused(now, now + 0.01, hint)
    return pause.until - now - 0.01


@pytest.mark.parametrize(
    ("hint", "waits"), [(30.0, [10.0, 20.0, 30.0, 30.0]), (0.0, [10.0, 20.0, 40.0, UNTOLD_MAX_S]), (2.0, [2.0, 2.0])]
)
def test_a_knock_that_is_refused_doubles_the_wait_up_to_the_hint(hint: float, waits: list[float]) -> None:
    pause = closed(hint)
    assert [knock(pause, hint) for _ in waits] == pytest.approx(waits)


def test_one_knocks_and_the_others_follow_if_it_is_not_refused() -> None:
    pause = closed()
    pause.sent(106.0)
    assert pause.wait(106.0) == pytest.approx(KNOCK_S)
    assert pause.wait(106.0 + KNOCK_S) <= 0
    assert not pause.still_closed


def test_an_answer_to_a_knock_opens_at_once() -> None:
    pause = closed()
    pause.sent(106.0)
    pause.answered(106.0, 106.1)
    assert not pause.still_closed
    assert pause.wait(106.1) <= 0


def test_answers_to_what_was_sent_before_it_closed_do_not_count() -> None:
    pause = closed()
    pause.answered(99.0, 101.0)
    assert pause.still_closed
    before = pause.until
    assert not pause.refused(99.0, 101.0, 600.0)
    assert pause.until == before


def test_after_opening_a_majority_is_needed_again() -> None:
    pause = closed()
    pause.sent(106.0)
    pause.wait(107.0)
    assert not pause.refused(107.0, 107.1, 30.0)
    assert not pause.still_closed
