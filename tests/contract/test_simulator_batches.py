"""The official SDK against the simulator's Files and Batches: what it parses, other clients will."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from batchllm.simulator import BatchOrders, Faults, Simulator, SimulatorOptions
from tests.e2e import jumping

Talk = Callable[[AsyncOpenAI, Simulator], Coroutine[Any, Any, None]]
CHAT = "/v1/chat/completions"


def talk(conversation: Talk, orders: BatchOrders | None = None, **options: Any) -> None:
    async def run() -> None:
        made = SimulatorOptions(seed=3, answer_words=4, batches=orders or BatchOrders(), **options)
        async with (
            Simulator(made) as simulator,
            AsyncOpenAI(base_url=simulator.base_url, api_key="key", max_retries=0) as client,
        ):
            await conversation(client, simulator)

    jumping.run(run())


def line(number: int, **changes: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": f"Tell about {number}"}]}
    return {"custom_id": f"r-{number}", "method": "POST", "url": CHAT, "body": body} | changes


async def submitted(client: AsyncOpenAI, lines: list[dict[str, Any]], **given: Any) -> Batch:
    data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    file = await client.files.create(file=("in.jsonl", data), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **given)


async def ended(client: AsyncOpenAI, batch: Batch) -> Batch:
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        await asyncio.sleep(1)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def read(client: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    content = await client.files.content(file_id)
    return [json.loads(raw) for raw in content.content.splitlines()]


def test_a_file_is_uploaded_shown_listed_read_and_deleted() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        made = await client.files.create(file=("in.jsonl", b'{"a": 1}\n'), purpose="batch")
        assert (made.bytes, made.filename, made.purpose) == (9, "in.jsonl", "batch")
        assert (await client.files.retrieve(made.id)).id == made.id
        assert [one.id async for one in client.files.list(purpose="batch")] == [made.id]
        assert (await client.files.content(made.id)).content == b'{"a": 1}\n'
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.id)

    talk(conversation)


def test_a_batch_answers_every_line_out_of_order_and_names_its_files() -> None:
    async def conversation(client: AsyncOpenAI, simulator: Simulator) -> None:
        batch = await submitted(client, [line(number) for number in range(120)], metadata={"run": "x"})
        assert batch.status == "validating"
        assert batch.output_file_id is None
        batch = await ended(client, batch)
        assert batch.status == "completed"
        assert batch.metadata == {"run": "x"}
        assert batch.error_file_id is None
        lines = await read(client, batch.output_file_id)
        assert sorted(one["custom_id"] for one in lines) == sorted(f"r-{number}" for number in range(120))
        assert [one["custom_id"] for one in lines] != [f"r-{number}" for number in range(120)]
        assert all(one["response"]["body"]["choices"][0]["message"]["content"] for one in lines)
        assert batch.request_counts is not None
        assert batch.request_counts.completed == 120
        assert simulator.stats["batches"] == 1
        assert simulator.stats["batch_lines"] == 120

    talk(conversation)


def test_it_passes_through_its_stages_in_the_time_that_was_ordered() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        loop = asyncio.get_running_loop()
        began, seen = loop.time(), list[str]()
        batch = await submitted(client, [line(1)])
        while batch.status != "completed":
            seen.append(batch.status)
            await asyncio.sleep(50)
            batch = await client.batches.retrieve(batch.id)
        assert list(dict.fromkeys(seen)) == ["validating", "in_progress", "finalizing"]
        assert loop.time() - began >= 3700

    talk(conversation, BatchOrders(validating_s=60, running_s=3600, finalizing_s=60))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/embeddings"}, "mismatched_endpoint"),
        ({"custom_id": "r-1"}, "duplicate_custom_id"),
        ({"custom_id": None}, "missing_required_parameter"),
        ({"body": {"model": "m", "messages": [], "stream": True}}, "invalid_request"),
        ({"body": 3}, "invalid_request"),
    ],
)
def test_a_bad_line_fails_the_whole_batch_and_is_named(bad: dict[str, Any], code: str) -> None:
    async def conversation(client: AsyncOpenAI, simulator: Simulator) -> None:
        batch = await ended(client, await submitted(client, [line(1), line(2, **bad), line(3)]))
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [(one.code, one.line) for one in batch.errors.data or []] == [(code, 2)]
        assert simulator.stats["batch_lines"] == 3

    talk(conversation)


def test_a_cancelled_batch_keeps_what_it_has_answered() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        batch = await submitted(client, [line(number) for number in range(200)])
        await asyncio.sleep(250)
        batch = await ended(client, await client.batches.cancel(batch.id))
        assert batch.status == "cancelled"
        done, left = await read(client, batch.output_file_id), await read(client, batch.error_file_id)
        assert len(done) + len(left) == 200
        assert done
        assert {one["error"]["code"] for one in left} == {"batch_cancelled"}
        with pytest.raises(openai.BadRequestError):
            await client.batches.cancel(batch.id)

    talk(conversation, BatchOrders(running_s=400))


def test_an_expired_batch_has_begun_only_a_part_of_its_lines() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        batch = await ended(client, await submitted(client, [line(number) for number in range(100)]))
        assert batch.status == "expired"
        assert len(await read(client, batch.output_file_id)) == 30
        assert {one["error"]["code"] for one in await read(client, batch.error_file_id)} == {"batch_expired"}

    talk(conversation, BatchOrders(expires=1, done_share=0.3))


def test_lines_go_wrong_to_order() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        batch = await ended(client, await submitted(client, [line(number) for number in range(300)]))
        assert batch.output_file_id is None  # twice shown without the ids of its files
        batch = await client.batches.retrieve(batch.id)
        batch = await client.batches.retrieve(batch.id)
        done, failed = await read(client, batch.output_file_id), await read(client, batch.error_file_id)
        kinds = Counter(
            "0" if one["response"] else one["error"]["code"] for one in failed if not (one["response"] or {}).get("body")
        )
        statuses = Counter(one["response"]["status_code"] for one in failed if one["response"])
        assert len(done) + len(failed) < 290  # the others stand in neither file
        assert kinds["request_timeout"] > 5
        assert statuses[0] > 5
        assert statuses[500] > 5
        assert batch.request_counts is not None
        assert batch.request_counts.total != 300

    orders = BatchOrders(missing=0.1, status_zero=0.1, request_timeout=0.1, wrong_counts=True, late_ids=2)
    talk(conversation, orders, faults=Faults(server_error=0.1))


def test_a_queue_that_is_full_fails_a_batch_without_naming_a_line() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        first = await submitted(client, [line(number) for number in range(40)])
        second = await ended(client, await submitted(client, [line(number) for number in range(40)]))
        assert second.status == "failed"
        assert second.errors is not None
        assert [(one.code, one.line) for one in second.errors.data or []] == [("token_limit_exceeded", None)]
        assert (await ended(client, first)).status == "completed"

    talk(conversation, BatchOrders(running_s=100, queued_tokens=2000))


def test_a_creation_whose_reply_is_lost_has_taken_place_and_is_listed_later() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        with pytest.raises(openai.InternalServerError):
            await submitted(client, [line(1)])
        assert not [one async for one in client.batches.list()]
        await asyncio.sleep(10)
        assert [one.metadata async for one in client.batches.list()] == [None]

    talk(conversation, BatchOrders(lost_creations=1, list_lag_s=5, drops_metadata=True))


def test_a_wrong_key_and_a_wrong_id_get_the_apis_own_errors() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="other").batches.retrieve("batch_1")
        with pytest.raises(openai.NotFoundError):
            await client.batches.retrieve("batch_1")
        with pytest.raises(openai.BadRequestError):
            await client.batches.create(input_file_id="file-9", endpoint=CHAT, completion_window="24h")

    talk(conversation, api_key="key")


def test_the_list_is_paged_newest_first() -> None:
    async def conversation(client: AsyncOpenAI, _: Simulator) -> None:
        made = [(await submitted(client, [line(1)])).id for _ in range(5)]
        assert [one.id async for one in client.batches.list(limit=2)] == made[::-1]

    talk(conversation)
