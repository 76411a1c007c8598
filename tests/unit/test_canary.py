"""`--canary`: which lines go first, what they foretell, and when a run goes on by itself."""

from __future__ import annotations

from typing import Any

import pytest

from batchllm.canary import Forecast, decide, forecast, forecast_lines, spread, without_canary
from batchllm.estimate.pace import Limits
from batchllm.sample import Sample
from batchllm.types import Json

LIMITS = Limits(10)


@pytest.mark.parametrize(
    ("pending", "count", "chosen"),
    [
        (range(1, 11), 2, [3, 8]),
        (range(1, 11), 10, list(range(1, 11))),
        (range(1, 101), 1, [51]),
        ([2, 3, 50, 98, 99, 100], 3, [3, 98, 100]),
        (range(1, 8), 3, [2, 4, 6]),
    ],
)
def test_the_lines_that_go_first_are_spread_evenly_over_the_pending_ones(pending: Any, count: int, chosen: list[int]) -> None:
    found = list(spread(frozenset(pending).__contains__, 100, len(pending), count))
    assert found == chosen


@pytest.mark.parametrize("count", range(1, 40))
def test_there_are_always_as_many_as_are_wanted(count: int) -> None:
    found = list(spread(frozenset(range(5, 44)).__contains__, 100, 39, count))
    assert len(set(found)) == count


def facts(cost: float | None = 0.01, tokens: int = 100, **more: Any) -> Json:
    return {"cost_usd": cost, "usage": {"total_tokens": tokens}, "attempts": 1, "latency_s": 2.0, **more}


def sample(*costs: float | None, failed: int = 0, **more: Any) -> Sample:
    made = Sample()
    for number, cost in enumerate(costs):
        made.add(facts(cost, **more), ok=number >= failed)
    return made


def foretold(made: Sample, pending: int = 100, spent: tuple[float, float] = (0.0, 0.0), **more: Any) -> Forecast:
    return forecast(made, pending, spent, more.pop("unseen", (0.0, 0.0)), LIMITS, **more)


def test_the_whole_is_what_was_spent_and_what_the_rest_will_take() -> None:
    found = foretold(sample(*[0.01, 0.02, 0.03]), spent=(0.06, 300))
    assert found.cost is not None
    assert found.tokens is not None
    assert found.cost.value == pytest.approx(0.06 + 100 * 0.02)
    assert found.cost.low < found.cost.value < found.cost.high
    assert (found.tokens.value, found.tokens.low) == (300 + 100 * 100, 300 + 100 * 100)
    assert found.time.seconds == pytest.approx(100 * 2.0 / 10)


def test_what_nobody_told_widens_the_forecast_upwards_for_the_rest_too() -> None:
    plain, unseen = foretold(sample(*[0.01] * 10)), foretold(sample(*[0.01] * 10), unseen=(0.5, 0))
    assert plain.cost is not None
    assert unseen.cost is not None
    assert unseen.cost.high == pytest.approx(plain.cost.high + 0.5 * 11)
    assert unseen.cost.low == plain.cost.low


def test_an_answer_of_unknown_cost_makes_the_cost_unknown_and_not_small() -> None:
    found = foretold(sample(0.01, None))
    assert found.cost is None
    assert "unknown" in forecast_lines(found)[1]
    assert found.as_json()["cost_usd"] is None


def test_rates_are_shown_with_their_interval() -> None:
    found = foretold(sample(*[0.01] * 10, failed=1), trouble="server_error (line 3: no)")
    text = "\n".join(forecast_lines(found))
    assert "10.0% (1.8% to 40.4%)" in text
    assert "line 3" in text


def test_a_line_that_was_asked_twice_counts_as_rejected() -> None:
    made = sample(0.01, 0.01)
    made.add(facts(rejected_usage={}), ok=True)
    made.add(facts(), ok=False, invalid=True)
    assert (made.rejected, made.failed, made.lines) == (2, 1, 4)


@pytest.mark.parametrize(
    ("made", "max_cost", "max_tokens", "stops", "asks"),
    [
        (sample(*[0.01] * 10), 5.0, None, None, False),
        (sample(*[0.01] * 10), 0.5, None, "forecast at about $1 ", False),
        (sample(*[0.01, 0.02] * 5), 1.55, None, "may not hold", False),  # the mean fits, the interval does not
        (sample(*[0.01] * 10), None, 5_000, "--max-total-tokens 5,000", False),
        (sample(*[0.01] * 10), 5.0, 5_000, "--max-total-tokens", False),
        (sample(*[0.01] * 10), 5.0, 20_000, None, False),
        (sample(*[None] * 10), 5.0, None, "does not tell", False),
        (sample(*[0.01] * 10), None, None, None, True),
        (sample(*[0.01] * 10, failed=6), 5.0, None, "the canary failed: 6 of 10", False),
        (sample(*[0.01] * 10, failed=5), 5.0, None, None, False),
        (sample(0.01, 0.01, 0.01, failed=2), 5.0, None, None, False),
        (sample(0.01, 0.01, failed=2), 5.0, None, "the canary failed: 2 of 2", False),
        (sample(0.01), 5.0, None, "any amount", False),
    ],
)
def test_it_goes_on_by_itself_only_where_the_whole_interval_fits_the_budget(
    made: Sample, max_cost: float | None, max_tokens: int | None, stops: str | None, asks: bool
) -> None:
    decision = decide(foretold(made), max_cost, max_tokens)
    assert decision.ask is asks
    assert (decision.stop is None) == (stops is None)
    assert stops is None or stops in str(decision.stop)


@pytest.mark.parametrize(
    ("command", "after"),
    [
        ("batchllm run j.jsonl --canary 10", "batchllm run j.jsonl"),
        ("batchllm run --canary=10 j.jsonl -c 2", "batchllm run j.jsonl -c 2"),
        ("batchllm run 'my job.jsonl'", "batchllm run 'my job.jsonl' --canary 0"),
    ],
)
def test_the_command_that_goes_on_is_the_same_without_the_canary(command: str, after: str) -> None:
    assert without_canary(command) == after
