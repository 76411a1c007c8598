"""Budgets over whole lives of a folder: runs that are stopped and go on, against an endpoint that bills as it likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchllm.testing.billed_endpoint import Billing
from batchllm.testing.spending_plans import SpendingPlan, spend, spending_plan, sweep, violations

IN_CI, SWEEP = 80, 4000


def test_no_budget_is_passed_on_any_seed() -> None:
    outcomes = sweep(range(IN_CI))
    assert [broken for outcome in outcomes for broken in violations(outcome)] == []
    assert sum(outcome.reached for outcome in outcomes) > IN_CI / 4
    assert sum(0 in outcome.endings for outcome in outcomes) > IN_CI / 10


@pytest.mark.sweep
@pytest.mark.parametrize("first", range(IN_CI, SWEEP, 200))
def test_no_budget_is_passed_on_thousands_of_seeds(first: int) -> None:
    assert [broken for outcome in sweep(range(first, first + 200)) for broken in violations(outcome)] == []


def plan(lines: int, max_cost: float | None, max_tokens: int | None = None, **billing: object) -> SpendingPlan:
    """Lines of 120 bytes and 100 tokens of answer at a dollar a million tokens, two at a time."""
    made = tuple({"custom_id": f"line-{n:03d}", "model": "small", "prompt": "x", "max_tokens": 100} for n in range(lines))
    rates = {"small": (1.0, 1.0, 1.0), "large": (1.0, 1.0, 1.0), "free": (0.0, 0.0, 0.0)}
    return SpendingPlan(1, made, Billing(rates, **billing), max_cost, max_tokens, 2, 1, 0, None, (None,))  # type: ignore[arg-type]


def test_a_budget_is_used_up_but_for_less_than_one_request(tmp_path: Path) -> None:
    outcome = spend(plan(200, None, 2000, greedy=True), tmp_path)
    assert outcome.endings == [75] * 4
    assert 2000 - 200 < outcome.bill.true[1] <= 2000


def test_attempts_of_unknown_outcome_count_at_their_worst_for_the_next_run_too(tmp_path: Path) -> None:
    outcome = spend(plan(50, None, 2000, greedy=True, fates=(("timeout", 0.5),)), tmp_path)
    assert outcome.reached
    assert outcome.bill.true[1] <= 2000


def test_answers_without_usage_count_at_their_worst_for_the_next_run_too(tmp_path: Path) -> None:
    outcome = spend(plan(50, 0.002, greedy=True, habit="hides"), tmp_path)
    assert outcome.reached
    assert outcome.bill.true[0] <= 0.002


def test_a_budget_that_holds_everything_stops_nothing(tmp_path: Path) -> None:
    outcome = spend(plan(20, 1.0), tmp_path)
    assert (outcome.endings, outcome.pending, outcome.requests) == ([0] * 4, 0, 20)


def test_the_same_seed_goes_the_same_way(tmp_path: Path) -> None:
    seed = 7
    bills = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        bills.append(spend(spending_plan(seed), tmp_path / name).bill.true)
    assert bills[0] == bills[1]


@pytest.mark.parametrize("habit", ["tells", "overtells"])
def test_a_bill_above_the_budget_is_found(habit: str, tmp_path: Path) -> None:
    outcome = spend(plan(10, 0.001, habit=habit), tmp_path)
    assert violations(outcome) == []
    outcome.bill.told[0] += 1.0
    outcome.bill.true[0] += 1.0
    assert any("above the budget" in broken for broken in violations(outcome))
