"""One request for a person who waits: `chat` and `ask` send it the way a run sends a line, with less patience."""

from __future__ import annotations

import asyncio
import random
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batchllm.assembly import parts, simulated_endpoint
from batchllm.chat import CommandError, setting
from batchllm.cli.flags import flags_of
from batchllm.cli.live import Live
from batchllm.configuration import Configuration, load
from batchllm.errors import ErrorCode, ExitCode, JobError, TransportError
from batchllm.item import Item
from batchllm.parts import Parts
from batchllm.protocols import Assembler, Transport
from batchllm.records import Record
from batchllm.serving.server import served
from batchllm.steps import Again, Done, Halt, Step
from batchllm.terminal import say
from batchllm.types import Kind, Request, Verdict

PATIENCE_S = 30.0
"""The longest wait a server may ask of a person; a longer one is told instead of sat out."""
TRIES = 3
_FRAME_S = 0.03
_GIVEN_UP = {
    **dict.fromkeys((Kind.STOP, Kind.PROBE), ExitCode.ACCOUNT),
    **dict.fromkeys((Kind.REFUSED, Kind.PAUSE), ExitCode.TRY_LATER),
}
SIMULATED = "SIMULATED: the answers come from the embedded endpoint; nothing is sent anywhere and nothing is billed"


def configuration_of(args: Namespace) -> Configuration:
    """The settings of a command without a job, `--set` among them. Raises `JobError` (2)."""
    flags = flags_of(args)
    try:
        body = dict(setting(one) for one in getattr(args, "set", None) or ())
    except CommandError as error:
        raise JobError(ExitCode.USAGE, f"--set: {error}") from None
    return load(None, {**flags, **({"body": body} if body else {})})


@contextmanager
def connected(configuration: Configuration, command: str) -> Iterator[Parts]:
    """What asking needs, while the endpoint is there: also one that has to be started for it."""
    with (
        TemporaryDirectory(prefix="batchllm-") as folder,
        simulated_endpoint(configuration) as simulated,
        served(configuration, Path(folder)) as server,
    ):
        address = simulated if server is None else server.base_url
        made = parts(configuration, Path(), Path(), command=command, base_url=address)
        if made.facts.simulated:
            say(SIMULATED)
        if server is not None:
            server.start()
        yield made


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record of one request, and the exit code that says the same."""

    record: Record
    exit_code: ExitCode


async def ask(made: Parts, request: Request, live: Live | None = None) -> Outcome:
    """Send one request to its record. Waits and errors that may pass are told on stderr and borne a few times."""
    async with made.transport() as transport:
        item = _item(made, request)
        for attempt in range(1, TRIES + 1):
            step = await _send(item, transport, live)
            if isinstance(step, Done):
                return Outcome(step.record, _code_of(step))
            if isinstance(step, Halt) or attempt == TRIES or not _bearable(step):
                return _given_up(made, item, step)
            if live is not None:
                live.restart()
            wait = f" in {step.wait_s:.0f} s" if step.wait_s >= 1 else ""
            say(f"  {step.verdict.message} (asking again{wait})")
            await asyncio.sleep(step.wait_s)
    raise AssertionError("the last try ends above")


def _item(made: Parts, request: Request) -> Item:
    try:
        return Item(made.route, request)
    except ValueError as error:  # Azure, say, addresses nothing without a model
        raise JobError(ExitCode.USAGE, str(error)) from None


async def _send(item: Item, transport: Transport, live: Live | None) -> Step:
    now = asyncio.get_running_loop().time
    call = item.call(now())
    try:
        reply = await transport.send(call, item.feed if live is None else _watched(item, live))
    except TransportError as error:
        return item.failed(error, now(), random.random())
    return item.received(reply, now(), random.random())


def _watched(item: Item, live: Live) -> Callable[[bytes], bool] | None:
    """The item's own feed, and an assembler beside it whose state is shown a few times a second."""
    feed = item.feed
    if feed is None:
        return None
    endpoint = item.route.endpoint_for(item.request.url)
    assembler: Assembler = endpoint.assembler(item.request.body)
    clock = asyncio.get_running_loop().time
    shown = clock()

    def take(data: bytes) -> bool:
        nonlocal shown
        payload = feed(data)
        assembler.feed(data)
        if payload and clock() - shown >= _FRAME_S:
            shown = clock()
            answer = endpoint.read(assembler.body())
            redact = item.route.redactor.text
            live.show(redact(answer.reasoning or ""), redact(answer.text or ""))
        return payload

    return take


def _bearable(step: Again) -> bool:
    kind = step.verdict.kind
    return kind in (Kind.REFUSED, Kind.MAYBE_PAID, Kind.PAID) and step.wait_s <= PATIENCE_S


def _code_of(step: Done) -> ExitCode:
    return ExitCode.OK if step.record.ok else ExitCode.SOME_FAILED


def _given_up(made: Parts, item: Item, step: Again | Halt) -> Outcome:
    """The record of a request that a run would ask again, or would stop at."""
    verdict, note, request = step.verdict, step.note, item.request
    message = verdict.message
    if verdict.code is ErrorCode.AUTHENTICATION and made.key_hint:
        message += f"; {made.key_hint}"
    if isinstance(step, Again) and step.wait_s > PATIENCE_S:
        message += f" (it asks to wait {step.wait_s:.0f} s)"
    facts: dict[str, Any] = {
        "line": request.line, "digest": request.digest, "usage": note["usage"], "attempts": item.spent.sent,
        "latency_s": note["latency_s"], "provider": made.route.provider.name, "retryable": isinstance(step, Again),
    }  # fmt: skip
    code = verdict.code or ErrorCode.BAD_RESPONSE
    usage = item.bill.usage
    record = Record(
        request.line, request.custom_id, request.digest, note["status"], code=code, message=message, usage=usage, facts=facts
    )
    return Outcome(record, _exit_of(verdict))


def _exit_of(verdict: Verdict) -> ExitCode:
    if verdict.kind is Kind.REFUSED and verdict.code is not ErrorCode.RATE_LIMITED:
        return ExitCode.UNAVAILABLE
    return _GIVEN_UP.get(verdict.kind, ExitCode.UNAVAILABLE)
