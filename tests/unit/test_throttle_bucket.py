"""`--rpm` and `--tpm`: never passed in any sixty seconds, and nearly reached."""

from __future__ import annotations

import random
from collections import deque

import pytest

from batchllm.throttle.bucket import Bucket
from batchllm.throttle.budget import FULL, RetryBudget


def take_all(bucket: Bucket, amounts: list[float], settle: float = 0.0) -> list[tuple[float, float]]:
    """Take each amount as soon as it may be; (time, amount as settled)."""
    now, taken = 0.0, []
    for amount in amounts:
        while (wait := bucket.wait(now, amount)) > 0:
            now += wait
        bucket.take(now, amount)
        if settle:
            bucket.settle(now, settle)
        taken.append((now, amount + settle))
    return taken


def worst_minute(taken: list[tuple[float, float]]) -> float:
    recent: deque[tuple[float, float]] = deque()
    total = worst = 0.0
    for now, amount in taken:
        recent.append((now, amount))
        total += amount
        while recent[0][0] <= now - 60 + 1e-6:
            total -= recent.popleft()[1]
        worst = max(worst, total)
    return worst


@pytest.mark.parametrize("rpm", [1, 3, 10, 60, 600, 10_000])
def test_no_minute_sees_more_than_rpm_and_the_rate_is_kept(rpm: int) -> None:
    count = min(5000, rpm * 20)
    taken = take_all(Bucket(rpm, 1.0, 0.0), [1.0] * count)
    assert worst_minute(taken) <= rpm
    if count > rpm:
        assert (count - rpm) / taken[-1][0] >= 0.97 * rpm / 60 * (1 - rpm / count)


@pytest.mark.parametrize("tpm", [1000.0, 60_000.0])
def test_no_minute_sees_more_than_tpm_with_requests_of_any_size(tpm: float) -> None:
    dice = random.Random(1)
    amounts = [dice.choice((1.0, tpm / 100, tpm / 20, tpm / 3, tpm * 0.9)) for _ in range(300)]
    assert worst_minute(take_all(Bucket(tpm, 1.0, 0.0), amounts)) <= tpm + 1e-6


def test_what_was_reserved_too_much_is_given_back() -> None:
    taken = take_all(Bucket(6000, 1.0, 0.0), [100.0] * 600, settle=-50.0)
    assert worst_minute(taken) <= 6000
    assert taken[-1][0] < 600 * 50 / 100 * 1.05


def test_what_was_used_beyond_the_reservation_is_waited_for() -> None:
    bucket = Bucket(60, 1.0, 0.0)
    bucket.take(0.0, 1.0)
    bucket.settle(0.0, 30.0)
    assert bucket.wait(0.0, 1.0) == pytest.approx(31.0)


def test_a_single_amount_beyond_the_whole_limit_goes_when_nothing_else_went() -> None:
    bucket = Bucket(60, 1.0, 0.0)
    assert bucket.wait(0.0, 1000.0) == 0
    bucket.take(0.0, 1000.0)
    assert bucket.wait(0.0, 1.0) >= 60


def test_a_jump_of_the_clock_allows_one_burst_and_no_more() -> None:
    bucket = Bucket(600, 1.0, 0.0)
    for _ in range(10):
        bucket.take(0.0, 1.0)
    for _ in range(10):
        assert bucket.wait(36_000.0, 1.0) == 0
        bucket.take(36_000.0, 1.0)
    assert bucket.wait(36_000.0, 1.0) > 0


def test_a_retry_takes_tokens_and_a_success_gives_a_tenth_back() -> None:
    budget = RetryBudget()
    assert all(budget.take(1.0) for _ in range(int(FULL)))
    assert not budget.take(1.0)
    for _ in range(10):
        budget.succeeded()
    assert budget.take(1.0)
    assert not budget.take(2.0)


def test_the_budget_never_grows_beyond_full() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.succeeded()
    assert budget.full
    assert not budget.take(FULL + 1)
