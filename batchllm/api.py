"""From Python: `await run(job, settings)` for a file and its folder, `stream(requests, settings)` for requests in memory."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from batchllm.assembly import line_reader, parts, simulated_endpoint
from batchllm.budget import budgets
from batchllm.configuration import Configuration, load
from batchllm.endings import Endings
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import GivenFeeder
from batchllm.engines.local import LocalPool
from batchllm.engines.roster import roster_for
from batchllm.parts import Parts
from batchllm.pipeline import Run
from batchllm.records import Record
from batchllm.settings import Settings
from batchllm.sharing import shared
from batchllm.steps import Done
from batchllm.strictjson import dumps
from batchllm.supervisor import supervise
from batchllm.terminal import say_aside
from batchllm.throttle import Throttle
from batchllm.types import BadLine, Json, Request
from batchllm.watching.watchers import watched

__all__ = ["Settings", "run", "stream"]

Given = Settings | Mapping[str, Any] | None


async def run(job: str | Path, settings: Given = None, *, output: str | Path | None = None) -> Json:
    """Run a job file to its end, or go on where an earlier run stopped; returns what `summary.json` holds.

    `settings` as a mapping is merged like command-line flags over the job's files and the environment; as `Settings` it
    stands alone. Raises `JobError` where nothing could be sent; how a run ended is in `summary["ended"]`.
    """
    path = Path(job)
    configuration = _configuration(settings, path)
    folder = Path(output) if output is not None else Path("outputs") / path.stem
    command = f"batchllm.run({str(path)!r})"
    with watched(configuration, path, folder, command) as looking:
        async with _endpoint(configuration) as address:
            one = Run(parts(configuration, path, folder, command=command, base_url=address, watch=looking.watchers))
            await asyncio.to_thread(one.prepare)
            try:
                await supervise(one, signals=False)
            finally:
                summary = one.conclude()
        await asyncio.to_thread(looking.watchers.finished, summary, summary["ended"]["exit_code"])
    return summary


async def stream(requests: Iterable[Mapping[str, Any]], settings: Given = None) -> AsyncIterator[Record]:
    """Ask for requests as they come (each as a job line is written) and yield a record for each, in completion order.

    Nothing is written to disk: what the caller does not keep is lost. A slow caller slows the asking down. Leaving the
    loop early cancels what is in flight. Raises `JobError` where the endpoint or the account refuses everything.
    """
    configuration = _configuration(settings, None)
    queue: asyncio.Queue[Record] = asyncio.Queue(maxsize=1)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(_endpoint(configuration))
        made = parts(configuration, Path(), Path(), command="batchllm.stream", base_url=address)
        asking = asyncio.ensure_future(_ask(requests, made, queue))
        stack.push_async_callback(_cancel, asking)
        # The pool runs in a task of its own: nothing is yielded inside its TaskGroup (PEP 789).
        while (record := await _next(queue, asking)) is not None:
            yield record
        await asking


async def _next(queue: asyncio.Queue[Record], asking: asyncio.Future[None]) -> Record | None:
    """Wait for a record; None once the asking has ended and there are no more."""
    if queue.empty() and not asking.done():
        getting = asyncio.ensure_future(queue.get())
        either: set[asyncio.Future[Any]] = {getting, asking}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
    return None if queue.empty() else queue.get_nowait()


async def _ask(requests: Iterable[Mapping[str, Any]], made: Parts, queue: asyncio.Queue[Record]) -> None:
    settings = made.settings
    loop = asyncio.get_running_loop()
    bad: list[BadLine] = []

    async def deliver(step: Done) -> None:
        for record in step.records:
            await queue.put(record)

    def ignore(step: object, item: object) -> None:
        """Nothing is kept: the caller holds the records."""

    throttle = Throttle(
        settings.most_in_flight, loop.time(), rpm=settings.rpm, tpm=settings.tpm, auto=settings.concurrency == "auto"
    )
    endings = Endings(settings.retries, made.facts.endpoint, made.key_hint)
    limits = budgets(settings.max_cost, settings.max_total_tokens)
    async with made.transport() as transport, shared(settings, throttle, say_aside):
        outlet = Outlet(ignore, ignore, deliver)
        roster = roster_for(made.route, throttle, endings, loop.time())
        pool = LocalPool(made.route, transport, throttle, outlet, endings, random.random, limits, roster=roster)
        await pool.run(GivenFeeder(_read(requests, made, bad)))
    for one in bad:
        facts: Json = {"line": one.line, "retryable": False}
        await queue.put(Record(one.line, one.custom_id, "", code=one.code, message=one.message, facts=facts))


def _read(requests: Iterable[Mapping[str, Any]], made: Parts, bad: list[BadLine]) -> Iterator[Request]:
    reader = line_reader(made.settings, made.preflight.fault if made.preflight else None)
    for number, values in enumerate(requests, 1):
        one = reader.read(number, dumps(dict(values)))
        if isinstance(one, Request):
            yield one
        else:
            bad.append(one)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _configuration(settings: Given, job: Path | None) -> Configuration:
    if isinstance(settings, Settings):
        return Configuration(settings, dict(os.environ))
    return load(job, settings)


@asynccontextmanager
async def _endpoint(configuration: Configuration) -> AsyncIterator[str | None]:
    """The embedded endpoint, started and stopped off the loop; None for a real one."""
    hosted = simulated_endpoint(configuration)
    address = await asyncio.to_thread(hosted.__enter__)
    try:
        yield address
    finally:
        await asyncio.to_thread(hosted.__exit__, None, None, None)
