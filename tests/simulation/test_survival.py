"""What a run must come through: outages, limits that fall, doubtful quotas, poisoned lines, a machine that sleeps."""

from __future__ import annotations

import pytest

from batchllm.errors import ExitCode
from batchllm.testing.simulated_endpoint import Hints, Mood, ServerModel, Spell
from batchllm.testing.simulation import Plan, Trace, run
from batchllm.testing.trace import violations


def survived(plan: Plan) -> Trace:
    trace = run(plan)
    assert violations(trace) == []
    assert trace.ending is None
    assert {code for _, code in trace.records} == {None}
    assert len(trace.records) == plan.items
    return trace


@pytest.mark.parametrize("hints", ["exact", "absent"])
@pytest.mark.parametrize("mood", ["down", "hang", "500", "502", "503", "429", "reset", "quota"])
def test_five_minutes_of_hard_outage_fail_nothing_and_cost_little(mood: Mood, hints: Hints) -> None:
    server = ServerModel(rate=20.0, hints=hints, spells=(Spell(60.0, 360.0, mood),))
    trace = survived(Plan(2, 2500, server))
    assert trace.ended - trace.began < 60 + 300 + 65 + 1.1 * (2500 - 1200) / 20 + (200 if mood == "quota" else 0)
    during = sum(60 < visit.at - trace.began < 360 for visit in trace.visits)
    assert during < 150


def test_a_server_that_says_thirty_seconds_each_time() -> None:
    trace = survived(Plan(3, 6000, ServerModel(rate=20.0, hints="fixed30")))
    assert trace.ended - trace.began < 300 / 0.9
    assert trace.refusals < 360


def test_a_limit_that_drops_to_a_tenth_half_way_and_comes_back() -> None:
    changes = ((150.0, 2.0), (350.0, 20.0))
    trace = survived(Plan(4, 8000, ServerModel(rate=20.0, changes=changes)))
    assert trace.ended - trace.began < 580 / 0.9
    assert trace.refusals < 480


@pytest.mark.parametrize("mood", ["down", "hang", "500", "503"])
def test_an_outage_without_end_ends_the_run_with_69_and_leaves_the_rest_pending(mood: Mood) -> None:
    trace = run(Plan(5, 4000, ServerModel(hints="absent", spells=(Spell(10.0, 1e6, mood),))))
    assert violations(trace) == []
    assert trace.ending is not None
    assert trace.ending.exit_code is ExitCode.UNAVAILABLE
    assert 1800 < trace.ended - trace.began < 1800 * 2
    assert {code for _, code in trace.records} == {None}


def test_a_quota_that_stays_used_up_is_believed_after_seven_minutes_and_three_probes() -> None:
    trace = run(Plan(6, 4000, ServerModel(spells=(Spell(10.0, 1e6, "quota"),))))
    assert trace.ending is not None
    assert trace.ending.exit_code is ExitCode.ACCOUNT
    assert trace.ended - trace.began == pytest.approx(10 + 420, abs=5)
    assert sum(visit.at > trace.began + 20 for visit in trace.visits) == 3


def test_a_quota_of_the_minute_is_waited_for() -> None:
    survived(Plan(7, 3000, ServerModel(spells=(Spell(10.0, 55.0, "quota"),))))


@pytest.mark.parametrize("mood", ["500", "hang", "reset"])
def test_poisoned_lines_fail_alone_and_bring_nobody_down(mood: Mood) -> None:
    poison = tuple((line, mood) for line in range(1, 500, 50))
    trace = run(Plan(8, 500, ServerModel(poison=poison), cap=16))
    assert violations(trace) == []
    assert trace.ending is None
    assert {line for line, code in trace.records if code} == {line for line, _ in poison}


def test_a_job_of_poisoned_lines_alone_ends() -> None:
    poison: tuple[tuple[int, Mood], ...] = tuple((line, "500") for line in range(1, 6))
    trace = run(Plan(9, 5, ServerModel(poison=poison), cap=16))
    assert trace.ending is None
    assert len(trace.records) == 5


def test_after_a_suspend_everything_goes_on() -> None:
    server = ServerModel(rate=20.0, faults=(("down", 0.05), ("reset", 0.02)))
    trace = survived(Plan(10, 2000, server, rpm=1200.0, suspends=((10.0, 45.0), (50.0, 8 * 3600.0))))
    assert trace.ended - trace.began < 8 * 3600 + 45 + 2000 / 20 * 1.3


def test_a_drain_lets_what_is_in_flight_end_and_begins_nothing() -> None:
    trace = run(Plan(11, 2000, ServerModel(rate=20.0, latency_s=2.0), stop_at=30.0))
    assert violations(trace) == []
    assert trace.ended - trace.began < 40
    assert max(visit.at for visit in trace.visits) <= trace.began + 30.0
