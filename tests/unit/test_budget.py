"""`--max-cost`: what is reserved, settled and never passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchllm.budget import Budget

amounts = st.floats(0.0, 10.0)


def test_what_does_not_fit_is_not_reserved() -> None:
    budget = Budget(1.0, spent=0.5)
    assert budget.reserve(0.4)
    assert not budget.reserve(0.2)
    budget.settle(0.4, 0.1)
    assert budget.reserve(0.4)


def test_an_unknown_outcome_settles_at_the_full_reservation() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.7)
    budget.settle(0.7, None)
    assert budget.spent == 0.7


def test_what_earlier_runs_spent_counts() -> None:
    assert not Budget(1.0, spent=1.0).reserve(0.01)


@given(st.floats(0.1, 100.0), st.lists(st.tuples(amounts, st.floats(0.0, 1.0), st.booleans()), max_size=60))
def test_it_is_never_passed_while_reservations_are_high_enough(limit: float, requests: list[tuple[float, float, bool]]) -> None:
    budget = Budget(limit)
    for worst, share, known in requests:
        if budget.reserve(worst):
            budget.settle(worst, worst * share if known else None)
    assert budget.spent <= limit + 1e-9


@given(st.floats(0.1, 100.0), st.lists(st.tuples(amounts, amounts), min_size=1, max_size=40), st.integers(1, 8))
def test_it_is_passed_by_no_more_than_the_requests_in_flight_cost_beyond_their_reservations(
    limit: float, requests: list[tuple[float, float]], flying: int
) -> None:
    budget = Budget(limit)
    flight: list[tuple[float, float]] = []
    beyond = 0.0
    for worst, cost in requests:
        if budget.reserve(worst):
            flight.append((worst, cost))
        if len(flight) >= flying:
            beyond = max(beyond, sum(max(0.0, cost - worst) for worst, cost in flight))
            while flight:
                budget.settle(*flight.pop())
    beyond = max(beyond, sum(max(0.0, cost - worst) for worst, cost in flight))
    while flight:
        budget.settle(*flight.pop())
    assert budget.spent <= limit + beyond + 1e-6
