"""What a few lines say of all of them."""

from __future__ import annotations

import random
from math import inf

import pytest

from batchllm.intervals import Interval, Moments, student, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # R: binom::binom.wilson
    [(0, 5, 0.0, 0.4345), (5, 5, 0.5655, 1.0), (1, 10, 0.0179, 0.4042), (50, 100, 0.4038, 0.5962), (0, 0, 0.0, 1.0)],
)
def test_a_share_lies_in_wilsons_interval(count: int, of: int, low: float, high: float) -> None:
    found = wilson(count, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (5, 2.571), (11, 2.201), (19, 2.093), (30, 2.042), (1000, 1.962), (0, inf)]
)
def test_students_t_is_the_one_of_the_tables(freedom: int, t: float) -> None:
    assert student(freedom) == pytest.approx(t, abs=0.003)


def test_the_mean_and_the_variance_are_those_of_the_values() -> None:
    moments = Moments()
    for value in (2.0, 4.0, 9.0):
        moments.add(value)
    assert (moments.mean, moments.variance) == (pytest.approx(5.0), pytest.approx(13.0))


def test_one_value_gives_no_upper_bound_and_none_gives_nothing() -> None:
    moments = Moments()
    assert moments.sum_of(3) is None
    assert moments.sum_of(0) == Interval(0.0, 0.0, 0.0)
    moments.add(2.0)
    assert moments.sum_of(3) == Interval(6.0, 0.0, inf)


def test_what_comes_lies_in_the_interval_nineteen_times_of_twenty() -> None:
    dice, held = random.Random(1), 0
    for _ in range(400):
        moments = Moments()
        for _ in range(12):
            moments.add(dice.expovariate(1.0) + 2.0)
        found = moments.sum_of(30)
        assert found is not None
        held += found.low <= sum(dice.expovariate(1.0) + 2.0 for _ in range(30)) <= found.high
    assert 0.90 <= held / 400 <= 0.98
