"""From Python: records as they come, back-pressure, endings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import batchllm
from batchllm.simulator import Simulator, SimulatorOptions


def requests(count: int) -> list[dict[str, Any]]:
    return [{"custom_id": f"q{number}", "prompt": f"number {number}"} for number in range(count)]


async def streamed(simulator: Simulator, given: Any, **settings: Any) -> list[batchllm.Record]:
    chosen = batchllm.Settings(base_url=simulator.base_url, model="m", **settings)
    return [record async for record in batchllm.stream(given, chosen)]


def test_every_request_gets_one_record_and_bad_ones_too() -> None:
    async def scenario() -> None:
        async with Simulator(SimulatorOptions(seed=1)) as simulator:
            records = await streamed(simulator, [*requests(150), {"prompt": 3}], concurrency=16)
        assert len(records) == 151
        assert {record.custom_id for record in records} == {f"q{number}" for number in range(150)} | {"line-151"}
        assert [record.error["code"] for record in records if record.error] == ["invalid_line"]

    asyncio.run(scenario())


def test_a_slow_caller_slows_the_reading_down() -> None:
    taken = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for one in requests(500):
            taken += 1
            yield one

    async def scenario() -> None:
        async with Simulator(SimulatorOptions(seed=1)) as simulator:
            chosen = batchllm.Settings(base_url=simulator.base_url, model="m", concurrency=4)
            async for _ in batchllm.stream(counted(), chosen):
                for _ in range(200):
                    await asyncio.sleep(0)
                break
        assert taken < 50

    asyncio.run(scenario())


def test_leaving_the_loop_early_cancels_what_is_in_flight() -> None:
    async def scenario() -> None:
        async with Simulator(SimulatorOptions(seed=1)) as simulator:
            chosen = batchllm.Settings(base_url=simulator.base_url, model="m", concurrency=8)
            records = batchllm.stream(requests(1000), chosen)
            async for _ in records:
                break
            await records.aclose()  # type: ignore[attr-defined]
            assert simulator.stats["requests"] < 100

    asyncio.run(scenario())


def test_an_account_that_is_refused_raises_after_the_records_that_came() -> None:
    async def scenario() -> None:
        async with Simulator(SimulatorOptions(seed=1, api_key="right")) as simulator:
            with pytest.raises(batchllm.JobError) as caught:
                await streamed(simulator, requests(50))
            assert caught.value.exit_code is batchllm.ExitCode.ACCOUNT

    asyncio.run(scenario())


def test_a_budget_holds_from_python_too() -> None:
    async def scenario() -> None:
        prices = {"m": {"input": 1000.0, "output": 1000.0}}
        async with Simulator(SimulatorOptions(seed=1)) as simulator:
            chosen = batchllm.Settings(
                base_url=simulator.base_url, model="m", prices=prices, max_cost=0.5, body={"max_tokens": 20}
            )
            spent = 0.0
            with pytest.raises(batchllm.JobError, match="budget"):  # noqa: PT012 (it raises at the end of the loop)
                async for record in batchllm.stream(requests(100), chosen):
                    spent += record.facts["cost_usd"]
        assert 0 < spent <= 0.5

    asyncio.run(scenario())
