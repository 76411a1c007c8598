"""What headers say is left, and the pace that follows from it."""

from __future__ import annotations

import pytest

from batchllm.throttle.foresight import Allowance, Foresight
from batchllm.types import Limits


@pytest.mark.parametrize(
    ("limit", "remaining", "reset_s", "active"),
    [
        (100, 90, 6.0, False),
        (100, 49, 30.0, True),
        (100, 0, 60.0, True),
        (100, None, 60.0, False),
        (100, 10, None, False),
        (100, 10, 0.0, False),
        (None, 5, 10.0, False),
        (None, 0, 10.0, True),
    ],
)
def test_a_limit_is_watched_once_half_of_it_is_gone(
    limit: int | None, remaining: int | None, reset_s: float | None, active: bool
) -> None:
    allowance = Allowance()
    allowance.saw(limit, remaining, reset_s, 0, 100.0, 100.0)
    assert allowance.active is active


def spend(allowance: Allowance, now: float, seconds: float) -> int:
    """How many go in that time, asking every millisecond."""
    sent = 0
    for step in range(int(seconds * 1000)):
        if allowance.wait(now + step / 1000, 1.0) <= 0:
            allowance.sent(1.0)
            sent += 1
    return sent


def test_a_window_is_spread_to_its_end_and_hardly_ever_used_up_before() -> None:
    left, refused, allowance = 40, 0, Allowance()
    for second in range(60):
        now = float(second)
        allowance.saw(100, left, 60.0 - second, 0, now, now)
        gone = spend(allowance, now, 1.0)
        refused += max(0, gone - left)
        left = max(0, left - gone)
    assert left == 0
    assert refused <= 4  # in the last seconds before the reset


def test_a_bucket_settles_at_its_own_rate_with_some_left() -> None:
    level, now, sent, allowance = 40.0, 0.0, 0, Allowance()
    for second in range(120):
        allowance.saw(100, int(level), (100 - level) / 5.0, 0, now, now)
        gone = spend(allowance, now, 1.0) if allowance.active else 10
        level = min(100.0, level + 5.0 - gone)
        sent += gone if second >= 60 else 0
        now += 1.0
        assert level > 5
    assert sent / 60 == pytest.approx(5.0, rel=0.1)


def test_what_was_sent_since_is_subtracted() -> None:
    allowance = Allowance()
    allowance.saw(100, 80, 60.0, 60, 100.0, 100.0)
    assert allowance.active


def test_older_news_does_not_overwrite_newer() -> None:
    allowance = Allowance()
    allowance.saw(100, 10, 30.0, 0, 100.0, 101.0)
    allowance.saw(100, 95, 1.0, 0, 99.0, 102.0)
    assert allowance.active


def test_after_the_reset_nothing_holds_any_more() -> None:
    allowance = Allowance()
    allowance.saw(None, 0, 10.0, 0, 100.0, 100.0)
    assert allowance.wait(100.0, 1.0) == pytest.approx(10.0)
    assert allowance.wait(110.0, 1.0) <= 0


def test_tokens_are_counted_only_while_they_matter() -> None:
    foresight = Foresight()
    assert not foresight.counts_tokens
    foresight.saw(Limits(tokens_limit=1000, tokens_remaining=100, tokens_reset_s=30.0), 0, 10.0, 100.0, 100.0)
    assert foresight.counts_tokens
    assert foresight.wait(100.0, 50.0) > 0
    foresight.saw(Limits(tokens_limit=1000, tokens_remaining=999, tokens_reset_s=1.0), 0, 10.0, 101.0, 101.0)
    assert not foresight.active
