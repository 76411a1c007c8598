"""`batchllm.ray.Prompts` in a dataset of Ray Data."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.importorskip("ray")
pytest.importorskip("ray.data")

from batchllm.ray import Prompts
from batchllm.simulator import SimulatorOptions, run_in_process

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def rows() -> Iterator[object]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=160 << 20)
    yield ray.data.from_items([{"id": at, "text": f"text {at}" if at % 10 else ""} for at in range(200)], override_num_blocks=4)
    ray.shutdown()


def test_every_row_has_an_answer_or_a_reason_and_one_bad_row_fails_nothing(rows) -> None:
    import ray

    with run_in_process(SimulatorOptions(seed=1)) as hosted:
        settings = {"base_url": hosted.base_url, "model": "simulated-1", "concurrency": 16}
        asked = rows.map_batches(
            Prompts,
            fn_constructor_kwargs={"prompt": "{text}", "settings": settings, "prefix": "llm_"},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=50,
        )
        out = sorted(asked.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in out] == list(range(200))
    assert [row["id"] for row in out if row["llm_error_code"] is not None] == list(range(0, 200, 10))
    assert {row["llm_error_code"] for row in out} == {None, "invalid_line"}
    assert all(row["llm_answer"] and row["llm_prompt_tokens"] > 0 for row in out if row["id"] % 10)
