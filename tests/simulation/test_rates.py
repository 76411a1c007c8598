"""Against a server that limits its rate: nine tenths of it reached, few refusals, nothing failed; without a limit the cap."""

from __future__ import annotations

import pytest

from batchllm.testing.simulated_endpoint import Hints, ServerModel
from batchllm.testing.simulation import Plan, Trace, run
from batchllm.testing.trace import violations


def ideal_s(plan: Plan) -> float:
    """What a client would need that knew the rate, with the server's first burst for nothing."""
    server = plan.server
    assert server.rate is not None
    by_rate = (plan.items - max(1.0, server.rate * server.burst_s)) / server.rate
    return max(by_rate, plan.items * server.mean_latency_s / plan.cap)


def admitted_within_s(trace: Trace) -> float:
    return max(visit.at for visit in trace.visits if visit.mood == "ok") - trace.began


@pytest.mark.parametrize(
    ("rate", "cap", "latency_s", "burst_s", "hints", "headers", "items"),
    [
        (2.0, 64, 0.05, 1.0, "exact", False, 2000),
        (2.0, 1000, 2.0, 10.0, "over30", False, 2000),
        (5.0, 16, 0.5, 60.0, "ms", False, 2000),
        (5.0, 200, 2.0, 1.0, "over5", True, 2000),
        (20.0, 64, 0.5, 1.0, "exact", False, 4000),
        (20.0, 200, 0.05, 10.0, "absent", False, 4000),
        (20.0, 64, 2.0, 10.0, "over5", False, 4000),
        (20.0, 1000, 0.5, 1.0, "ms", True, 4000),
        (100.0, 64, 0.5, 1.0, "exact", False, 6000),
        (100.0, 200, 0.5, 1.0, "absent", True, 6000),
    ],
)
def test_nine_tenths_of_the_rate_with_fewer_than_sixty_refusals_a_thousand(
    rate: float, cap: int, latency_s: float, burst_s: float, hints: Hints, headers: bool, items: int
) -> None:
    server = ServerModel(rate=rate, burst_s=burst_s, hints=hints, headers=headers, latency_s=latency_s)
    plan = Plan(1, items, server, cap)
    trace = run(plan)
    assert ideal_s(plan) / admitted_within_s(trace) >= 0.9
    assert trace.refusals < 0.06 * items
    assert {code for _, code in trace.records} == {None}
    assert violations(trace) == []


def test_headers_slow_the_pool_down_before_a_refusal_comes() -> None:
    with_headers = run(Plan(1, 4000, ServerModel(rate=20.0, burst_s=60.0, headers=True)))
    without = run(Plan(1, 4000, ServerModel(rate=20.0, burst_s=60.0)))
    assert with_headers.refusals == 0
    assert without.refusals > 0


@pytest.mark.parametrize(("cap", "latency_s", "items"), [(16, 2.0, 1500), (64, 0.5, 10_000), (200, 0.5, 20_000)])
def test_without_a_limit_the_cap_is_reached_and_kept(cap: int, latency_s: float, items: int) -> None:
    plan = Plan(1, items, ServerModel(latency_s=latency_s), cap)
    trace = run(plan)
    # Of runs of a minute or more, of which the start costs two seconds.
    assert plan.items * plan.server.mean_latency_s / cap / (trace.ended - trace.began) > 0.94
    reached = next(claim.at for claim in trace.claims if claim.limit == cap)
    assert reached - trace.began < 6 * max(0.5, 2 * latency_s)


@pytest.mark.parametrize("most", [1, 8])
def test_a_server_that_limits_requests_in_flight_is_found_out_too(most: int) -> None:
    trace = run(Plan(1, 500, ServerModel(max_in_flight=most), cap=64))
    assert {code for _, code in trace.records} == {None}
    assert trace.refusals < 0.15 * 500


def test_rpm_and_tpm_are_reached_and_not_passed() -> None:
    by_requests = run(Plan(1, 1800, ServerModel(), cap=200, rpm=600.0))
    by_tokens = run(Plan(1, 1800, ServerModel(), cap=200, tpm=60_000.0))
    for trace in (by_requests, by_tokens):
        assert violations(trace) == []
        assert trace.ended - trace.began < 180 * 1.05


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("share", "times"), [(0.01, 1.5), (0.05, 1.5), (0.1, 1.5), (0.3, 3.0)])
def test_refusals_at_random_do_not_bring_the_pace_down(share: float, times: float, seed: int) -> None:
    """They come as often at any pace: no pace ends them, and a lower one would only be slower."""
    plan = Plan(seed, 3000, ServerModel(faults=(("429", share),), fault_wait_s=1.0))
    trace = run(plan)
    assert {code for _, code in trace.records} == {None}
    assert violations(trace) == []
    assert trace.ended - trace.began < times * plan.items * plan.server.mean_latency_s / plan.cap


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_hundred_fast_answers_take_seconds_though_one_in_twenty_is_refused(seed: int) -> None:
    """Of which a line that is refused twice waits two by itself."""
    trace = run(Plan(seed, 500, ServerModel(latency_s=0.05, faults=(("429", 0.05),), fault_wait_s=1.0)))
    assert violations(trace) == []
    assert trace.ended - trace.began < 5.0
