"""`--concurrency auto`: the real pool in virtual time, at servers that never refuse, and at some that do."""

from __future__ import annotations

import random
from dataclasses import replace
from math import exp

import pytest

from batchllm.testing.shared_server import BATCHING, QUEUEING, THRASHING, Hardware, ran
from batchllm.testing.simulated_endpoint import ServerModel
from batchllm.testing.simulation import Plan, run
from batchllm.testing.trace import violations

# The best fixed settings are those that `python -m benchmarks.auto` finds by sweep.
SERVERS = [
    pytest.param(BATCHING, 96, 6000, id="batching"),
    pytest.param(replace(BATCHING, spread=1.2), 96, 6000, id="batching, lengths vary", marks=pytest.mark.sweep),
    pytest.param(QUEUEING, 24, 4000, id="queueing"),
    pytest.param(THRASHING, 40, 6000, id="thrashing"),
    pytest.param(replace(THRASHING, knee=12.0, thrash=0.2), 12, 2500, id="thrashing badly"),
]


@pytest.mark.parametrize(("hardware", "best", "items"), SERVERS)
def test_nine_tenths_of_the_best_fixed_setting_search_included(hardware: Hardware, best: int, items: int) -> None:
    fixed, found = ran(hardware, items, limit=best), ran(hardware, items, limit=None)
    assert found.rate >= 0.9 * fixed.rate
    assert found.answered == items
    assert found.held[-1][1] <= 1.35 * best
    assert (fixed.figures, found.figures) == ({}, {"concurrency_found": found.held[-1][1]})


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize(("hardware", "best", "items"), SERVERS)
def test_nine_tenths_at_every_seed(hardware: Hardware, best: int, items: int, seed: int) -> None:
    fixed, found = ran(hardware, items, limit=best, seed=seed), ran(hardware, items, limit=None, seed=seed)
    assert found.rate >= 0.9 * fixed.rate


def test_it_goes_up_and_down_with_the_server() -> None:
    """A server that gets four times its slots, and later a sixth of them."""
    more, fewer = replace(QUEUEING, slots=96), replace(QUEUEING, slots=16)
    found = ran(QUEUEING, 9000, limit=None, changes=((240.0, more), (480.0, fewer)))
    assert 23 <= found.held_at(239.0) <= 32
    assert 76 <= found.held_at(479.0) <= 128
    assert 13 <= found.held[-1][1] <= 23


@pytest.mark.parametrize("sigma", [0.2, pytest.param(0.5, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(2, 6))])
def test_a_server_that_others_use_too_is_kept_busy(seed: int, sigma: float) -> None:
    """Its speed is another every second; a job of a minute and a half, search included."""
    hardware, rng = replace(QUEUEING, step_s=0.005, tokens=30.0), random.Random(seed)
    moods = tuple((float(at), replace(hardware, step_s=0.005 * exp(rng.gauss(0.0, sigma)))) for at in range(1, 600))
    fixed, found = (ran(hardware, 10_000, limit=limit, seed=seed, changes=moods) for limit in (24, None))
    assert found.rate >= 0.8 * fixed.rate
    assert found.held[-1][1] <= 96


def test_the_cap_holds_where_more_would_be_worth_it() -> None:
    assert ran(BATCHING, 1500, limit=None, cap=20).most_in_flight == 20


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(ServerModel(rate=20.0), id="so many a second"),
        pytest.param(ServerModel(rate=20.0, hints="absent", latency_s=2.0), id="no hints"),
        pytest.param(ServerModel(max_in_flight=8), id="so many in flight"),
    ],
)
def test_refusals_bound_it_as_they_bound_a_number(server: ServerModel) -> None:
    given, found = run(Plan(1, 2000, server, cap=1024)), run(Plan(1, 2000, server, cap=1024, auto=True))
    assert {code for _, code in found.records} == {None}
    assert violations(found) == []
    assert found.refusals <= max(60, given.refusals)
    assert found.ended - found.began <= 1.25 * (given.ended - given.began)
