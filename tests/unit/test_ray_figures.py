"""What is told of each worker of a run on a cluster: while it goes, at its end, on its page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from batchllm.cli.closing import WORKERS, closing_lines
from batchllm.progress import figures
from batchllm.reports.html.workers import workers
from batchllm.tally import Tally
from batchllm.types import Json
from tests.ray_crew import Event, conduct
from tests.unit.test_ray_pool import QUIET
from tests.unit.watching.looked_at import summary


def row(number: int, **more: Any) -> Json:
    return {
        "worker": number, "node": f"<gpu-{number}>", "started": 1, "lost": 0, "requests": 1100, "answered": 1000, "failed": 1,
        "tokens": 12_345, "in_flight": None, **more,
    }  # fmt: skip


def closed(rows: list[Json]) -> list[str]:
    beside = {
        "duplicates": 0,
        "cached_share": None,
        "removed_lines": 0,
        "requests": 0,
        "requests_per_s": 0.0,
        "outcome_unknown": 0,
        "usage_unknown": 0,
    }
    usage = {
        "prompt_tokens": 800,
        "completion_tokens": 200,
        "total_tokens": 1000,
        "cached_tokens": None,
        "reasoning_tokens": None,
    }
    cost = {"known_usd": 0.5, "rejected_usd": 0.0, "unseen_at_most_usd": 0.0, "unseen_at_most_tokens": 0}
    made = summary(**beside, usage=usage, cost=cost, ray={"workers": rows}, rejected_usage=usage, fields_invalid={})
    return [line for line in closing_lines(made) if "worker" in line or "more" in line]


def test_the_end_of_a_run_has_a_line_for_each_worker() -> None:
    assert closed([row(1), row(2, lost=3)]) == [
        "  worker    1 on <gpu-1>: 1,100 requests, 1,000 answered, 1 failed, 12,345 tokens",
        "  worker    2 on <gpu-2>: 1,100 requests, 1,000 answered, 1 failed, 12,345 tokens; 3 lost",
    ]


def test_of_many_workers_the_first_have_a_line_and_the_others_are_counted() -> None:
    lines = closed([row(number) for number in range(1, 31)])
    assert len(lines) == WORKERS + 1
    assert lines[-1] == "            and 22 more, in summary.json"


def test_the_page_has_a_row_for_each_worker_and_none_for_a_run_without() -> None:
    page = workers(SimpleNamespace(summary={"ray": {"workers": [row(1), row(2)]}}))  # type: ignore[arg-type]
    assert page is not None
    assert "&lt;gpu-2&gt;" in page
    assert "1,100" in page
    for other in ({}, {"ray": None}, {"ray": {"workers": []}}, {"ray": {"workers": "x"}}):
        assert workers(SimpleNamespace(summary=other)) is None  # type: ignore[arg-type]


class Pool:
    """What progress looks at of an engine with workers."""

    in_flight, parked = 70, 0
    throttle = SimpleNamespace(limiter=SimpleNamespace(limit=96))

    def workers(self) -> list[Json]:
        return [row(1, in_flight=40), row(2), row(3, in_flight=30)]

    async def run(self, feeder: Any) -> None: ...

    forward = run

    def stop(self, ending: Any = None) -> None: ...

    def figures(self) -> Json:
        return {}


@pytest.mark.parametrize(("pool", "said"), [(Pool(), "2/3"), (None, None)])
def test_progress_says_how_many_workers_are_at_work(pool: Any, said: str | None) -> None:
    run: Any = SimpleNamespace(tally=Tally(), pool=pool, started=0.0)
    assert figures(run, 0).get("workers") == said


def test_each_workers_row_adds_up_to_the_run_and_nobody_is_left_at_work() -> None:
    seen = conduct(300, 3, QUIET, (Event(5.0, "die"),), cap=24)
    rows = seen.figures["workers"]
    assert sum(one["answered"] for one in rows) == 300
    assert [one["in_flight"] for one in rows] == [None, None, None]
    assert sum(one["lost"] for one in rows) == 1
