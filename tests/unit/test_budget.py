"""Budgets: what is reserved, settled and never passed; who waits, and when a run ends."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchllm.billing import Charge, Worst
from batchllm.budget import Budget, budgets
from batchllm.engines.gate import GateClosed
from batchllm.engines.spending import Spending
from batchllm.errors import ExitCode, JobError
from batchllm.settings import checked
from batchllm.testing.virtual_clock import run_virtual
from batchllm.types import Json, Request, Usage

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


def test_of_two_budgets_the_one_that_is_full_is_named_and_the_other_gets_its_own_back() -> None:
    both = budgets(1.0, 100)
    assert both.reserve(0.5, 90) is None
    assert both.reserve(0.4, 20) is both.tokens
    assert both.reserve(0.5, 10) is None
    assert both.reserve(0.1, 0) is both.money


def test_without_a_limit_there_is_no_budget() -> None:
    assert not budgets(None, None).limited
    assert budgets(None, None).reserve(1e9, 1e9) is None
    assert budgets(0.0, None).limited


class Line:
    """All that a budget looks at of a line."""

    def __init__(self, line: int, usd: float | None, tokens: float | None = 10.0) -> None:
        self.request = Request(line, f"line-{line}", "/v1/chat/completions", {}, "0" * 32)
        self.body: Json = {"model": "m"}
        self._worst = Worst(tokens, usd)

    def worst(self) -> Worst:
        return self._worst


def spending(limit: float) -> tuple[Spending, list[JobError]]:
    endings: list[JobError] = []
    return Spending(budgets(limit, None), endings.append), endings


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_does_not_fit_waits_for_those_in_flight_in_order() -> None:
    async def main() -> None:
        purse, endings = spending(1.0)
        first = await purse.afford(Line(1, 0.9))
        order: list[int] = []

        async def afford(line: int, usd: float) -> None:
            await purse.afford(Line(line, usd))
            order.append(line)

        waiting = [asyncio.create_task(afford(line, usd)) for line, usd in ((2, 0.5), (3, 0.05), (4, 0.1))]
        await settled()
        assert order == []
        purse.settle(first, Charge("yes", Usage(1, 1), 0.1))
        await settled()
        assert order == [2, 3, 4]
        assert endings == []
        await asyncio.gather(*waiting)

    run_virtual(main())


def test_where_nothing_is_in_flight_the_run_ends_and_names_the_line() -> None:
    async def main() -> None:
        purse, endings = spending(1.0)
        worst = await purse.afford(Line(1, 0.9))
        waiting = asyncio.create_task(purse.afford(Line(7, 0.5)))
        await settled()
        purse.settle(worst, None)
        with pytest.raises(GateClosed):
            await waiting
        [ending] = endings
        assert ending.exit_code is ExitCode.TRY_LATER
        assert "line 7" in str(ending)
        assert "$0.9000 spent" in str(ending)

    run_virtual(main())


def test_a_request_that_costs_nothing_ends_as_any_other() -> None:
    async def main() -> None:
        purse, endings = spending(1.0)
        purse.settle(await purse.afford(Line(1, 0.0)), Charge("yes", Usage(1, 1), 0.0))
        with pytest.raises(GateClosed):
            await purse.afford(Line(2, 1.5))
        assert len(endings) == 1

    run_virtual(main())


def test_who_gives_up_waiting_leaves_nothing_set_aside() -> None:
    async def main() -> None:
        purse, _ = spending(1.0)
        first = await purse.afford(Line(1, 0.9))
        gone = asyncio.create_task(purse.afford(Line(2, 0.6)))
        await settled()
        purse.settle(first, Charge("no"))
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await asyncio.wait_for(purse.afford(Line(3, 1.0)), 1)

    run_virtual(main())


@pytest.mark.parametrize("line", [Line(3, None), Line(3, 0.1, None)])
def test_what_has_no_bound_is_not_sent_under_a_budget(line: Line) -> None:
    async def main() -> None:
        purse, endings = spending(1.0)
        with pytest.raises(GateClosed):
            await purse.afford(line)
        assert endings[0].exit_code is ExitCode.USAGE

    run_virtual(main())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("45m", 2700), ("1h30m", 5400), ("1.5h", 5400), (" 2H ", 7200), ("1h1s", 3601)],
)
def test_a_run_time_is_written_as_people_write_it(text: str, seconds: float) -> None:
    assert checked({"max_runtime": text}, {}).max_runtime == seconds


@pytest.mark.parametrize("text", ["", "soon", "1d", "h", "30m1h", "-5", "0"])
def test_what_is_no_length_of_time_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(JobError, match="max_runtime"):
        checked({"max_runtime": text}, {})
