"""What batchllm is measured against: the loop everybody writes first, with the same client, event loop and JSON library.

    python -m benchmarks.bare_loop JOB.jsonl OUT.jsonl URL [-c 64]

A semaphore and a gather. No retries, no limits, no time bounds of its own, no resuming, nothing checked, nothing forced
to disk: a failure anywhere ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import orjson
import uvloop

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer none"}


def request_body(line: dict[str, Any], model: str) -> dict[str, Any]:
    if "body" in line:
        return {"model": model, **line["body"]}
    messages = [{"role": "user", "content": line["prompt"]}]
    return {"model": model, "messages": messages, "max_tokens": line["max_tokens"]}


async def run(job: Path, out: BinaryIO, url: str, concurrency: int) -> None:
    slots = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(limit=concurrency)

    async def ask(raw: bytes) -> None:
        line = orjson.loads(raw)
        data = orjson.dumps(request_body(line, "instant"))
        async with slots, session.post(url, data=data, headers=HEADERS) as response:
            reply = orjson.loads(await response.read())
        record = {"custom_id": line["custom_id"], "response": {"status_code": response.status, "body": reply}}
        out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    async with aiohttp.ClientSession(connector=connector) as session:
        with job.open("rb") as lines:
            await asyncio.gather(*(ask(raw) for raw in lines))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_loop", description="A loop without any guarantee.")
    parser.add_argument("job", metavar="JOB.jsonl", type=Path)
    parser.add_argument("out", metavar="OUT.jsonl", type=Path)
    parser.add_argument("url", metavar="URL")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=64)
    given = parser.parse_args()
    with given.out.open("wb") as out, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.job, out, given.url, given.concurrency))
    return 0


if __name__ == "__main__":
    sys.exit(main())
