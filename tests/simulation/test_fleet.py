"""Several endpoints as one in virtual time: what they bear together is used, what one of them says binds that one only."""

from __future__ import annotations

import random

import pytest

from batchllm.errors import ExitCode
from batchllm.settings import Retries
from batchllm.testing.fleet_simulation import FleetPlan, FleetTrace, broken, run_fleet
from batchllm.testing.seeds import random_plan
from batchllm.testing.simulated_endpoint import ServerModel, Spell

IN_CI, BLOCK = 30, 15
SWEEP = 2_000


def random_fleet(seed: int) -> FleetPlan:
    """Two to five of the servers that single endpoints are tried with, without what ends a run by right."""
    dice = random.Random(seed)
    plans = [random_plan(seed * 10 + number) for number in range(dice.randint(2, 5))]
    base = plans[0]
    return FleetPlan(seed, base.items, tuple(one.server for one in plans), base.cap, base.rpm, None, Retries(item=1e9))


@pytest.mark.parametrize("first", range(0, IN_CI, BLOCK))
def test_every_promise_holds_on_every_seed(first: int) -> None:
    for seed in range(first, first + BLOCK):
        assert broken(run_fleet(random_fleet(seed))) == [], seed


@pytest.mark.sweep
@pytest.mark.parametrize("first", range(IN_CI, SWEEP, 97))
def test_every_promise_holds_on_thousands_of_seeds(first: int) -> None:
    for seed in range(first, min(first + 97, SWEEP)):
        assert broken(run_fleet(random_fleet(seed))) == [], seed


def good(trace: FleetTrace) -> FleetTrace:
    assert broken(trace) == []
    assert trace.ending is None
    assert {code for _, code in trace.records} == {None}
    return trace


def test_what_three_unlike_endpoints_bear_is_used_while_one_of_them_dies_and_returns() -> None:
    """One dies for a minute and a half, one is slow, one limits its rate; nine tenths of what they bear together is reached."""
    dies = ServerModel(rate=40.0, latency_s=0.5, spells=(Spell(50.0, 140.0, "down"),))
    slow = ServerModel(rate=10.0, latency_s=2.0)
    limited = ServerModel(rate=20.0, latency_s=0.5, hints="over30")
    trace = good(run_fleet(FleetPlan(1, 12_000, (dies, slow, limited), cap=200)))
    took = trace.ended - trace.began
    bears = 70.0 * took - 40.0 * 90.0
    assert sum(trace.answered(number) for number in range(3)) / bears >= 0.9
    for number, rate in enumerate((40.0, 10.0, 20.0)):
        assert trace.answered(number, 10.0, 50.0) / 40.0 >= 0.9 * rate, f"endpoint {number} is used"
    assert trace.answered(0, 180.0, 210.0) / 30.0 >= 0.9 * 40.0, "the one that died is used again"
    assert sum(visit.mood == "down" for visit in trace.visits[0]) < 60
    refused = sum(visit.mood == "429" for visits in trace.visits for visit in visits)
    assert refused < 0.02 * 12_000


def test_the_others_carry_a_line_whose_endpoint_asks_it_to_wait_long() -> None:
    """A wait of 30 s at one endpoint costs the line nothing where the others have room."""
    strict = ServerModel(rate=1.0, hints="fixed30")
    trace = good(run_fleet(FleetPlan(1, 400, (strict, ServerModel(), ServerModel()), cap=16)))
    assert any(visit.told_s == 30.0 for visit in trace.visits[0])
    assert trace.ended - trace.began < 25.0


@pytest.mark.parametrize("mood", ["down", "500", "hang"])
def test_a_dead_endpoint_costs_a_few_requests_and_no_line(mood: str) -> None:
    dead = ServerModel(spells=(Spell(5.0, 1e9, mood),), timeout_s=20.0)  # type: ignore[arg-type]
    trace = good(run_fleet(FleetPlan(1, 4000, (dead, ServerModel(), ServerModel()))))
    assert sum(visit.mood == mood for visit in trace.visits[0]) < 60
    assert trace.ended - trace.began < 4000 * 0.55 / 64 * 1.3 + 2 * (20.0 if mood == "hang" else 0.0)


def test_with_all_of_them_down_the_run_ends_with_69_after_the_longest_outage() -> None:
    dead = ServerModel(spells=(Spell(5.0, 1e9, "down"),))
    trace = run_fleet(FleetPlan(1, 2000, (dead,) * 3, retries=Retries(max_outage=600.0)))
    assert trace.ending is not None
    assert trace.ending.exit_code is ExitCode.UNAVAILABLE
    assert 600.0 < trace.ended - trace.began < 1000.0
    assert broken(trace) == []


def test_one_endpoint_of_two_that_has_no_money_left_is_left_out() -> None:
    poor = ServerModel(spells=(Spell(5.0, 1e9, "quota"),))
    trace = good(run_fleet(FleetPlan(1, 4000, (poor, ServerModel(latency_s=10.0)))))
    assert trace.rows[0]["state"].startswith("left out")
    assert len(trace.told) == 1
    assert sum(visit.mood == "quota" for visit in trace.visits[0]) < 80


def test_rpm_is_reached_and_not_passed_by_all_together() -> None:
    trace = good(run_fleet(FleetPlan(1, 1200, (ServerModel(),) * 3, cap=200, rpm=600.0)))
    assert trace.ended - trace.began < 120 * 1.05


def test_like_servers_get_like_shares() -> None:
    trace = good(run_fleet(FleetPlan(1, 3000, (ServerModel(),) * 3)))
    assert all(abs(row["requests"] - 1000) < 60 for row in trace.rows)
    assert trace.ended - trace.began < 3000 * 0.55 / 64 * 1.15
