"""Streams read by clients that are not ours, as their own pages show it: what `benchmarks.streams` compares with.

    python -m benchmarks.stream_clients sdk|httpx-sse|aiohttp JOB.jsonl OUT.jsonl BASE_URL [-c 64]

Each joins the pieces of the answer and writes it with the usage, one line a request. None of them retries, limits, checks
or resumes anything. All run on uvloop, as batchllm does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

Answer = tuple[str, Any]
Ask = Callable[[dict[str, Any]], Awaitable[Answer]]
Work = Callable[[Ask], Awaitable[None]]


async def with_sdk(base_url: str, concurrency: int, work: Work) -> None:
    """The official SDK's stream, typed chunks and all."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0, timeout=60) as client:

        async def ask(body: dict[str, Any]) -> Answer:
            said, usage = [], None
            async for chunk in await client.chat.completions.create(**body):
                if chunk.choices and chunk.choices[0].delta.content:
                    said.append(chunk.choices[0].delta.content)
                if chunk.usage:
                    usage = chunk.usage.model_dump()
            return "".join(said), usage

        await work(ask)


async def with_httpx_sse(base_url: str, concurrency: int, work: Work) -> None:
    """`httpx` with `httpx-sse`, each event's data by `json`."""
    import httpx
    from httpx_sse import aconnect_sse

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def ask(body: dict[str, Any]) -> Answer:
            told = _Told()
            async with aconnect_sse(client, "POST", f"{base_url}/chat/completions", json=body) as source:
                async for event in source.aiter_sse():
                    if event.data != "[DONE]":
                        told.take(json.loads(event.data))
            return told.answer

        await work(ask)


async def with_aiohttp(base_url: str, concurrency: int, work: Work) -> None:
    """Lines by hand over `aiohttp`: the least that reads a stream at all, and no stream that is cut or framed otherwise."""
    import aiohttp
    import orjson

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def ask(body: dict[str, Any]) -> Answer:
            told = _Told()
            async with session.post(f"{base_url}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                        told.take(orjson.loads(line[6:]))
            return told.answer

        await work(ask)


class _Told:
    def __init__(self) -> None:
        self._said: list[str] = []
        self._usage: Any = None

    def take(self, chunk: dict[str, Any]) -> None:
        choices = chunk["choices"]
        if choices and (text := choices[0]["delta"].get("content")):
            self._said.append(text)
        self._usage = chunk.get("usage") or self._usage

    @property
    def answer(self) -> Answer:
        return "".join(self._said), self._usage


CLIENTS = {"sdk": with_sdk, "httpx-sse": with_httpx_sse, "aiohttp": with_aiohttp}


async def run(client: str, job: Path, out: Path, base_url: str, concurrency: int) -> None:
    slots = asyncio.Semaphore(concurrency)
    with job.open("rb") as lines, out.open("w") as file:

        async def work(ask: Ask) -> None:
            async def one(raw: bytes) -> None:
                line = json.loads(raw)
                messages = [{"role": "user", "content": line["prompt"]}]
                options = {"stream": True, "stream_options": {"include_usage": True}}
                async with slots:
                    text, usage = await ask({"model": "instant", "messages": messages, **options})
                file.write(json.dumps({"custom_id": line["custom_id"], "text": text, "usage": usage}) + "\n")

            await asyncio.gather(*(one(raw) for raw in lines))

        await CLIENTS[client](base_url, concurrency, work)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_clients", description="Other clients' streams.")
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("job", metavar="JOB.jsonl", type=Path)
    parser.add_argument("out", metavar="OUT.jsonl", type=Path)
    parser.add_argument("base_url", metavar="BASE_URL")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=64)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.client, given.job, given.out, given.base_url, given.concurrency))
    return 0


if __name__ == "__main__":
    sys.exit(main())
