"""Limits shared out among workers: the pure part."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchllm.budget import Budget, Budgets
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.shares import Leases, fair
from batchllm.engines.ray_pool.wire import Report
from batchllm.engines.ray_pool.worker import with_parts
from batchllm.route import Site
from batchllm.settings import Retries
from batchllm.testing.simulation import route
from batchllm.throttle import Throttle


@pytest.mark.parametrize(
    ("total", "needs", "shares"),
    [
        (10, {1: inf, 2: inf}, {1: 5, 2: 5}),
        (10, {1: 2, 2: inf}, {1: 2, 2: 8}),
        (10, {1: 2, 2: 3}, {1: 2, 2: 3}),
        (7, {1: inf, 2: inf, 3: inf}, {1: 2, 2: 2, 3: 3}),
        (2, {1: inf, 2: inf, 3: inf}, {1: 0, 2: 1, 3: 1}),
        (0, {1: inf}, {1: 0}),
        (5, {}, {}),
    ],
)
def test_whole_shares_are_fair_and_nothing_is_left_that_somebody_needs(total, needs, shares) -> None:
    assert fair(total, needs, whole=True) == shares


@pytest.mark.parametrize(("bears", "workers", "each"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (4, 9, 1), (None, 3, None)])
def test_what_each_of_several_addresses_bears_is_divided_among_the_workers(
    bears: int | None, workers: int, each: int | None
) -> None:
    sites = (Site("http://a/v1", {}, cap=bears), Site("http://b/v1", {}))
    made = with_parts(replace(route(Retries()), sites=sites), workers)
    assert [site.cap for site in made.sites] == [each, None]


@given(
    st.floats(0, 1e4), st.dictionaries(st.integers(1, 9), st.one_of(st.just(inf), st.floats(0, 1e3)), min_size=1), st.booleans()
)
def test_shares_never_pass_the_whole_nor_a_need(total: float, needs: dict[int, float], whole: bool) -> None:
    shares = fair(total, needs, whole=whole)
    assert sum(shares.values()) <= total * (1 + 1e-9)
    assert all(shares[one] <= needs[one] for one in needs)


def test_a_share_is_given_on_only_once_its_holder_keeps_to_less() -> None:
    leases = Leases(whole=True)
    assert leases.grant(1, 10, {1: inf}, 0.0) == 10
    both = {1: inf, 2: inf}
    assert leases.grant(2, 10, both, 0.0) == 0
    assert leases.grant(1, 10, both, 0.0) == 5
    assert leases.grant(2, 10, both, 0.0) == 0
    leases.confirm(1, 8, 0.0)  # it had eight in flight already
    assert leases.grant(2, 10, both, 0.0) == 2
    leases.confirm(1, 4, 0.0)
    assert leases.grant(2, 10, both, 0.0) == 5


def test_of_a_rate_what_was_given_back_is_of_use_a_minute_later() -> None:
    leases = Leases(cool_s=60.0)
    assert leases.grant(1, 90, {1: inf}, 0.0) == 90
    leases.release(1, 10.0)
    assert leases.grant(2, 90, {2: inf}, 69.9) == 0
    assert leases.grant(2, 90, {2: inf}, 70.0) == 90


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["grant", "confirm", "release"]), st.integers(0, 12)), max_size=60)
)
def test_what_workers_may_use_together_never_passes_the_whole(steps: list[tuple[int, str, int]]) -> None:
    leases, uses = Leases(whole=True), {}
    granted: dict[int, float] = {}
    for worker, what, used in steps:
        if what == "grant":
            granted[worker] = leases.grant(worker, 10, dict.fromkeys(range(1, 5), inf), 0.0)
        elif what == "confirm" and worker in granted:
            # What was begun under an earlier share may still be there, but never more than was allowed then.
            uses[worker] = min(used, max(uses.get(worker, 0), granted[worker]))
            leases.confirm(worker, uses[worker], 0.0)
        elif what == "release":
            leases.release(worker, 0.0)
            granted.pop(worker, None)
            uses.pop(worker, None)
        assert sum(max(share, uses.get(one, 0)) for one, share in granted.items()) <= 10


def test_a_budget_is_lent_out_and_what_was_taken_stays_taken() -> None:
    tokens = Budget(1000.0)
    limits = Limits(Throttle(8, 0.0), Budgets(tokens=tokens))
    both = {1: inf, 2: inf}
    first, second = limits.share(1, both, 0.0), limits.share(2, both, 0.0)
    assert (first.tokens, second.tokens) == (500, 500)
    limits.took(1, None, 300)
    limits.confirm(1, Report(1, [], tokens=500), 0.0)
    limits.release(2, 0.0)
    alone = limits.share(1, {1: inf}, 0.0)
    assert alone.tokens == 300 + 700
    assert tokens.spent == 300


@pytest.mark.parametrize(
    ("rpm", "tpm", "largest", "with_a_share"), [(3.0, None, 0, 3), (None, 1000.0, 400, 2), (None, None, 0, 6)]
)
def test_a_worker_whose_share_would_be_less_than_one_request_takes_no_part(rpm, tpm, largest, with_a_share) -> None:
    limits = Limits(Throttle(60, 0.0, rpm=rpm, tpm=tpm), Budgets())
    limits.largest = largest
    needs = dict.fromkeys(range(1, 7), inf)
    assert sum(limits.share(one, needs, 0.0).cap > 0 for one in needs) == with_a_share
