"""Lines that begin alike, sent in the order that warms the provider's cache."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from batchllm.simulator import Faults, Latency
from tests.e2e.simulated import perform

SYSTEM = "Answer from the text alone. " * 100
DOCUMENTS = [f"Document {n}. " + f"Sentence {n} of it. " * 150 for n in range(12)]


def _lines(seed: int | None) -> list[dict[str, Any]]:
    """Twelve questions about each of twelve documents; in the job's order, or shuffled."""
    lines = [
        {"custom_id": f"{n}-{question}", "system": SYSTEM, "prompt": f"{document}\nQuestion {question}?"}
        for n, document in enumerate(DOCUMENTS)
        for question in range(12)
    ]
    if seed is not None:
        random.Random(seed).shuffle(lines)
    return lines


@pytest.mark.parametrize("seed", [None, 1], ids=["in order", "shuffled"])
def test_more_of_the_prompts_is_read_from_the_cache(tmp_path: Path, seed: int | None) -> None:
    options = {"prefix_cache": 8000, "latency": Latency(0.5)}
    shares = {}
    for ordered in (False, True):
        place = tmp_path / str(ordered)
        place.mkdir()
        outcome = perform(place, _lines(seed), options=options, concurrency=24, prefix_order=ordered)
        assert (outcome.exit_code, outcome.counts) == (0, (144, 0, 0))
        usage = outcome.summary["usage"]
        assert outcome.summary["cached_share"] == round(usage["cached_tokens"] / usage["prompt_tokens"], 4)
        shares[ordered] = outcome.summary["cached_share"]
    assert shares[True] > 0.8
    assert shares[True] > shares[False] + 0.1


def test_nothing_is_lost_or_asked_twice_where_first_ones_fail(tmp_path: Path) -> None:
    faults = {"faults": Faults(rate_limit=0.2, server_error=0.1, hang=0.02, refusal=0.1), "fault_attempts": 2, "hang_s": 30.0}
    outcome = perform(
        tmp_path,
        _lines(2),
        options=faults,
        prefix_order=True,
        concurrency=8,
        timeouts={"first_byte": 5.0},
        retries={"base": 0.1},
    )
    completed, failed, pending = outcome.counts
    assert (completed + failed, pending) == (144, 0)
    assert len({one["custom_id"] for one in outcome.results + outcome.errors}) == 144


def test_a_share_that_nobody_tells_is_unknown(tmp_path: Path) -> None:
    assert perform(tmp_path, _lines(None)[:3], dialect="ollama").summary["cached_share"] is None


def test_a_drain_does_not_wait_for_lines_that_are_held_back(tmp_path: Path) -> None:
    rows = {"simulated-1": {"input": 0.0, "output": 1_000_000.0}}
    options = {"latency": Latency(2.0)}
    outcome = perform(
        tmp_path,
        _lines(None),
        options=options,
        prices=rows,
        max_cost=30.0,
        assume_max_tokens=20,
        prefix_order=True,
        concurrency=4,
    )
    assert outcome.exit_code == 75
    assert outcome.seconds < 15
