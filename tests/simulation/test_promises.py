"""Seeded runs of the real pool in virtual time; every promise of `batchllm.testing.trace` is checked on each of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchllm.testing.seeds import random_plan, run_seeds
from batchllm.testing.simulated_endpoint import ServerModel
from batchllm.testing.simulation import Plan, Trace, run
from batchllm.testing.trace import CHECKS, violations

IN_CI, BLOCK = 300, 50
SWEEP = 5_000


@pytest.mark.parametrize("first", range(0, IN_CI, BLOCK))
def test_every_promise_holds_on_every_seed(first: int) -> None:
    assert run_seeds(range(first, first + BLOCK)).violations == []


@pytest.mark.sweep
@pytest.mark.parametrize("first", range(IN_CI, SWEEP, 100))
def test_every_promise_holds_on_thousands_of_seeds(first: int) -> None:
    assert run_seeds(range(first, first + 100)).violations == []


def test_the_same_seed_gives_the_same_trace() -> None:
    assert [run(random_plan(seed)).digest for seed in range(5)] == [run(random_plan(seed)).digest for seed in range(5)]


def test_different_seeds_give_different_traces() -> None:
    assert len({run(Plan(seed, 50, ServerModel())).digest for seed in range(10)}) == 10


def good() -> Trace:
    trace = run(Plan(1, 200, ServerModel(rate=5.0, hints="over5"), cap=16, rpm=6000.0, tpm=600_000.0))
    assert violations(trace) == []
    assert trace.refusals > 0
    return trace


def early(trace: Trace) -> None:
    told = next(visit for visit in trace.visits if visit.told_s is not None)
    at = next(i for i, visit in enumerate(trace.visits) if visit.line == told.line and visit.at > told.at)
    trace.visits[at] = trace.visits[at]._replace(at=told.left + 1.0)


def too_many(trace: Trace) -> None:
    trace.visits[0] = trace.visits[0]._replace(in_flight=17)


def paused(trace: Trace) -> None:
    trace.claims[50] = trace.claims[50]._replace(closed_at=0.0, paused_until=1e9)


def beyond_the_limit(trace: Trace) -> None:
    trace.claims[50] = trace.claims[50]._replace(in_flight=trace.claims[49].in_flight + 1, limit=trace.claims[49].limit)
    trace.claims[50] = trace.claims[50]._replace(limit=trace.claims[50].in_flight - 1)
    trace.claims[49] = trace.claims[49]._replace(limit=trace.claims[50].limit)


def slot_kept(trace: Trace) -> None:
    trace.claims[-1] = trace.claims[-1]._replace(in_flight=trace.claims[-1].in_flight + 3)


def lower_rpm(trace: Trace) -> None:
    trace.plan = replace(trace.plan, rpm=10.0)


def lower_tpm(trace: Trace) -> None:
    trace.plan = replace(trace.plan, tpm=1000.0)


def lost(trace: Trace) -> None:
    trace.records.pop()


def bought_twice(trace: Trace) -> None:
    trace.visits.append(trace.visits[-1]._replace(number=len(trace.visits) + 1))


def failed(trace: Trace) -> None:
    trace.records[0] = (trace.records[0][0], "rate_limited")


def storm(trace: Trace) -> None:
    last = trace.visits[-1]
    for number in range(1000):
        trace.visits.append(last._replace(number=10_000 + number, mood="500", line=-(number % 100), left=last.at + 1))


def parked(trace: Trace) -> None:
    trace.parked_most = 1000


@pytest.mark.parametrize(
    ("break_it", "promise"),
    [
        (early, "no_send_before_its_not_before"),
        (paused, "no_send_while_the_pool_pauses"),
        (too_many, "cap_is_kept"),
        (beyond_the_limit, "limit_is_kept"),
        (slot_kept, "no_slot_is_held_while_waiting"),
        (lower_rpm, "rpm_is_kept"),
        (lower_tpm, "tpm_is_kept"),
        (lost, "every_item_ends"),
        (bought_twice, "answers_are_recorded"),
        (failed, "only_faults_of_its_own_fail_a_line"),
        (storm, "retries_are_bounded"),
        (parked, "parked_lines_are_bounded"),
    ],
)
def test_a_broken_promise_is_found(break_it: object, promise: str) -> None:
    trace = good()
    assert callable(break_it)
    break_it(trace)
    assert promise in {found.split(": ")[1] for found in violations(trace)}
    assert promise in {check.__name__ for check in CHECKS}
