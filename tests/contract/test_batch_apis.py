"""What every way to speak to a Batch API has to do, over all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from batchllm.engines.batch_lane.apis import APIS, api_for
from batchllm.engines.batch_lane.remote import BatchApi, RemoteError, Seen
from batchllm.engines.batch_lane.returns import OVER, word
from batchllm.providers.batch_services import Service
from batchllm.settings import Retries, Settings
from batchllm.simulator import BatchOrders, Simulator, SimulatorOptions
from batchllm.testing.simulation import route
from batchllm.types import Kind

CHAT = "/v1/chat/completions"
KEY = "sk-test-0123456789abcdef"
WORDS = {"validating": "QUEUED", "in_progress": "RUNNING", "finalizing": "RUNNING", "completed": "SUCCESS", "failed": "FAILED",
         "expired": "TIMEOUT_EXCEEDED", "cancelling": "CANCELLATION_REQUESTED", "cancelled": "CANCELLED"}  # fmt: skip


class Jobs:
    """Mistral's batch jobs in front of the simulator's batches; files go through as they are, but for the name of their size."""

    def __init__(self, behind: str) -> None:
        self._behind = behind

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/v1/batch/jobs{rest:.*}", self._jobs)
        app.router.add_route("*", "/v1/files{rest:.*}", self._files)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with aiohttp.ClientSession() as self._client:
                yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    async def _forward(self, request: web.Request, path: str, body: Any = None) -> tuple[int, bytes]:
        kept = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        data = await request.read() if body is None else json.dumps(body).encode()
        async with self._client.request(request.method, self._behind + path, data=data or None, headers=kept) as reply:
            return reply.status, await reply.read()

    async def _files(self, request: web.Request) -> web.Response:
        status, data = await self._forward(request, "/files" + request.match_info["rest"])
        if status == 200 and not request.path.endswith("/content"):
            shown = json.loads(data)
            shown["size_bytes"] = shown.pop("bytes", None)
            data = json.dumps(shown).encode()
        return web.Response(status=status, body=data, content_type="application/json")

    async def _jobs(self, request: web.Request) -> web.Response:
        body = None
        if request.method == "POST" and not request.match_info["rest"]:
            asked = await request.json()
            assert asked["model"] == "m"
            assert asked["timeout_hours"] == 24
            body = {"input_file_id": asked["input_files"][0], "endpoint": asked["endpoint"], "completion_window": "24h"}
            body["metadata"] = asked["metadata"]
        status, data = await self._forward(request, "/batches" + request.match_info["rest"], body)
        shown = json.loads(data)
        if status == 200:
            shown = {"data": list(map(_job, shown["data"])), "total": 1} if "data" in shown else _job(shown)
        return web.json_response(shown, status=status)


def _job(batch: dict[str, Any]) -> dict[str, Any]:
    counts = batch["request_counts"]
    return {
        "id": batch["id"], "object": "batch", "status": WORDS[batch["status"]], "input_files": [batch["input_file_id"]],
        "output_file": batch["output_file_id"], "error_file": batch["error_file_id"], "metadata": batch["metadata"],
        "total_requests": counts["total"], "succeeded_requests": counts["completed"], "failed_requests": counts["failed"],
        "errors": (batch["errors"] or {}).get("data", []),
    }  # fmt: skip


@asynccontextmanager
async def spoken(name: str, orders: BatchOrders, key: str = KEY) -> AsyncIterator[BatchApi]:
    """An API of this kind, and a provider that speaks it."""
    async with (
        Simulator(SimulatorOptions(seed=1, answer_words=3, api_key=KEY, batches=orders)) as simulator,
        Jobs(simulator.base_url).serve() if name == "mistral" else _plain(simulator.base_url) as address,
    ):
        service = Service(api="mistral" if name == "mistral" else "openai")
        lines = replace(route(Retries()), base_url=address, headers={"Authorization": f"Bearer {key}"})
        async with api_for(service, lines, Settings()) as api:
            yield api


@asynccontextmanager
async def _plain(address: str) -> AsyncIterator[str]:
    yield address


def talk(name: str, conversation: Callable[[BatchApi], Any], orders: BatchOrders | None = None, key: str = KEY) -> None:
    async def run() -> None:
        async with spoken(name, orders or BatchOrders(), key) as api:
            await conversation(api)

    asyncio.run(run())


def written(tmp_path: Path, count: int) -> Path:
    body = {"model": "m", "messages": [{"role": "user", "content": "Well?"}]}
    lines = [{"custom_id": f"r-{n}", "method": "POST", "url": CHAT, "body": body} for n in range(count)]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def over(api: BatchApi, seen: Seen) -> Seen:
    while word(seen.status) not in OVER:
        seen = await api.retrieve(seen.id)
    return seen


@pytest.mark.parametrize("name", APIS)
def test_a_file_goes_up_a_batch_is_made_of_it_and_its_answers_come_down_whole(name: str, tmp_path: Path) -> None:
    async def conversation(api: BatchApi) -> None:
        file_id = await api.upload(written(tmp_path, 5))
        made = await api.create(file_id, CHAT, "24h", "m", "tag-1")
        assert word(made.status) not in OVER
        seen = await over(api, made)
        assert word(seen.status) == "completed"
        assert (seen.input_file_id, seen.error_file_id) == (file_id, None)
        assert seen.counts == {"total": 5, "completed": 5, "failed": 0}
        assert seen.output_file_id is not None
        pieces: list[bytes] = []
        count = await api.download(seen.output_file_id, pieces.append)
        assert count == len(b"".join(pieces)) == await api.size(seen.output_file_id)
        assert len(b"".join(pieces).splitlines()) == 5

    talk(name, conversation)


@pytest.mark.parametrize("name", APIS)
def test_a_batch_is_found_again_by_its_tag_and_by_its_file(name: str, tmp_path: Path) -> None:
    async def conversation(api: BatchApi) -> None:
        file_id = await api.upload(written(tmp_path, 1))
        made = await api.create(file_id, CHAT, "24h", "m", "tag-1")
        (found,) = [one async for one in api.newest()]
        assert (found.id, found.metadata, found.input_file_id) == (made.id, {"batchllm": "tag-1"}, file_id)

    talk(name, conversation)


@pytest.mark.parametrize("name", APIS)
def test_a_batch_can_be_cancelled_once(name: str, tmp_path: Path) -> None:
    async def conversation(api: BatchApi) -> None:
        made = await api.create(await api.upload(written(tmp_path, 1)), CHAT, "24h", "m", "tag-1")
        assert word((await api.cancel(made.id)).status) == "cancelling"
        assert word((await over(api, made)).status) == "cancelled"
        with pytest.raises(RemoteError) as refused:
            await api.cancel(made.id)
        assert refused.value.verdict.kind is Kind.FINAL

    talk(name, conversation, BatchOrders(running_s=3600))


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize(("key", "kind"), [(KEY, Kind.FINAL), ("sk-wrong-0123456789abc", Kind.STOP)])
def test_a_refusal_comes_as_the_verdict_a_live_one_would_get(name: str, key: str, kind: Kind) -> None:
    async def conversation(api: BatchApi) -> None:
        with pytest.raises(RemoteError) as refused:
            await api.retrieve("batch_9")
        assert refused.value.verdict.kind is kind

    talk(name, conversation, key=key)


@pytest.mark.parametrize("name", APIS)
def test_a_file_that_is_not_there_has_no_size(name: str) -> None:
    async def conversation(api: BatchApi) -> None:
        assert await api.size("file-9") is None

    talk(name, conversation)


@pytest.mark.parametrize("name", APIS)
def test_nobody_there_is_a_passing_trouble(name: str) -> None:
    async def run() -> None:
        lines = replace(route(Retries()), base_url="http://127.0.0.1:9/v1")
        async with api_for(Service(api="mistral" if name == "mistral" else "openai"), lines, Settings()) as api:
            with pytest.raises(RemoteError) as failed:
                await api.retrieve("batch_1")
        assert failed.value.verdict.kind is Kind.UNREACHABLE

    asyncio.run(run())


@pytest.mark.parametrize("name", APIS)
def test_a_download_that_breaks_off_is_noticed_and_a_disk_that_fails_is_not_taken_for_it(name: str) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"half of i" if b"/content" in head else b"{}"
        length = 100 if b"/file-1/content" in head else len(body)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (length, body))
        await writer.drain()
        writer.close()

    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        lines = replace(route(Retries()), base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        async with server, api_for(Service(api="mistral" if name == "mistral" else "openai"), lines, Settings()) as api:
            with pytest.raises(RemoteError) as failed:
                await api.download("file-1", bytearray().extend)
            assert failed.value.verdict.kind is Kind.MAYBE_PAID
            with pytest.raises(OSError, match="No space left"):
                await api.download("file-2", full)

    asyncio.run(run())
