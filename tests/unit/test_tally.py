"""Adding up: tokens, costs, percentiles."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.billing import Bill, Charge, Price, cost_usd
from batchllm.tally import Histogram, Tally
from batchllm.types import NO_USAGE, Usage

counts = st.none() | st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


@given(usages, usages, usages)
def test_usage_adds_in_any_order(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + NO_USAGE == a


def test_unknown_usage_is_counted_and_never_a_zero() -> None:
    tally = Tally()
    tally.add_usage(None)
    tally.add_usage(Usage(total_tokens=5))
    tally.add_usage(Usage(1, 2, 3))
    assert tally.usage_unknown == 2
    assert tally.usage == Usage(1, 2, 8)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=200))
def test_percentiles_are_within_two_per_cent(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = histogram.percentile(0.5)
    assert found is not None
    exact = statistics.median_low(values)
    assert exact / 1.03 <= found <= exact * 1.03


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


@pytest.mark.parametrize(
    ("usage", "price", "expected"),
    [
        (Usage(1_000_000, 1_000_000), Price(1.0, 2.0), 3.0),
        (Usage(1_000_000, 0, None, 500_000), Price(1.0, 2.0, 0.1), 0.55),
        (Usage(1_000_000, 0, None, 500_000), Price(1.0, 2.0), 1.0),
        (Usage(None, 5), Price(1.0, 2.0), None),
        (Usage(5, 5), None, None),
        (None, Price(1.0, 2.0), None),
    ],
)
def test_a_cost_is_known_only_where_price_and_tokens_are(
    usage: Usage | None, price: Price | None, expected: float | None
) -> None:
    assert cost_usd(usage, price) == expected


def test_a_bill_adds_every_billed_attempt_and_tells_the_rejected_ones_apart() -> None:
    bill = Bill()
    bill.add(Charge("yes", Usage(10, 5, 15), 0.5))
    bill.add(Charge("maybe"))
    bill.add(Charge("yes", Usage(20, 5, 25), 0.25))
    assert bill.usage == Usage(30, 10, 40)
    assert bill.cost_usd == 0.75
    assert bill.unknown == 1
    earlier = bill.before_last
    assert earlier is not None
    assert (earlier.usage, earlier.cost_usd) == (Usage(10, 5, 15), 0.5)


def test_a_bill_with_one_attempt_has_nothing_rejected() -> None:
    bill = Bill()
    bill.add(Charge("yes", Usage(1, 1, 2), None))
    assert bill.before_last is None
    assert bill.cost_usd is None
