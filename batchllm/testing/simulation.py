"""One run of the real pool against a simulated endpoint in virtual time, always the same for the same plan."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from batchllm.endings import Endings
from batchllm.endpoints import endpoint_for
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import GivenFeeder
from batchllm.engines.local import LocalPool
from batchllm.errors import JobError
from batchllm.providers import provider
from batchllm.route import Route
from batchllm.settings import Retries
from batchllm.steps import Asked, Done
from batchllm.testing.simulated_endpoint import ServerModel, SimulatedEndpoint, Visit
from batchllm.testing.virtual_clock import VirtualClockLoop, run_virtual
from batchllm.throttle import Throttle
from batchllm.types import Json, Request


@dataclass(frozen=True, slots=True)
class Plan:
    """A job of `items` lines, the pool's settings, and the server it meets. `suspends` are (time, seconds) pairs."""

    seed: int
    items: int
    server: ServerModel
    cap: int = 64
    rpm: float | None = None
    tpm: float | None = None
    retries: Retries = field(default_factory=Retries)
    suspends: tuple[tuple[float, float], ...] = ()
    stop_at: float | None = None
    auto: bool = False


class Claim(NamedTuple):
    """What the pool says of itself as a request comes to the server."""

    at: float
    in_flight: int
    limit: int
    closed_at: float
    paused_until: float


@dataclass(slots=True)
class Trace:
    """What was seen of a run: the server's ledger, each line's record (its error code, None for an answer), and what the
    pool claimed at each coming."""

    plan: Plan
    began: float = 0.0
    ended: float = 0.0
    visits: list[Visit] = field(default_factory=list)
    records: list[tuple[int, str | None]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    parked_most: int = 0
    ending: JobError | None = None

    @property
    def refusals(self) -> int:
        return sum(visit.mood == "429" for visit in self.visits)

    @property
    def digest(self) -> str:
        """The same for two runs that went the same way."""
        return hashlib.blake2b(repr((self.visits, self.records, self.ended)).encode(), digest_size=16).hexdigest()


def run(plan: Plan) -> Trace:
    """Run the plan to its end."""
    trace = Trace(plan)
    run_virtual(_run(plan, trace))
    return trace


async def _run(plan: Plan, trace: Trace) -> None:
    loop = asyncio.get_running_loop()
    trace.began = loop.time()
    throttle = Throttle(plan.cap, loop.time(), rpm=plan.rpm, tpm=plan.tpm, auto=plan.auto)

    def watch(line: int) -> None:
        limiter, pause = throttle.limiter, throttle.pause
        trace.claims.append(Claim(loop.time(), limiter.in_flight, limiter.limit, pause.closed_at, pause.until))
        trace.parked_most = max(trace.parked_most, pool.parked)

    def done(step: Done, item: Asked) -> None:
        trace.records.append((step.record.line, None if step.record.code is None else str(step.record.code)))

    def note(note: Json, item: Asked) -> None:
        return None

    endpoint = SimulatedEndpoint(plan.server, plan.seed, watch)
    jitter = random.Random(plan.seed + 1).random
    endings = Endings(plan.retries, "the simulated endpoint")
    pool = LocalPool(route(plan.retries), endpoint, throttle, Outlet(done, note), endings, jitter)
    timers = _events(plan, loop, pool)
    try:
        await pool.run(GivenFeeder(request(line) for line in range(1, plan.items + 1)))
    except JobError as ending:
        trace.ending = ending
    finally:
        for timer in timers:
            timer.cancel()
    trace.ended = loop.time()
    trace.visits = endpoint.visits


def _events(plan: Plan, loop: asyncio.AbstractEventLoop, pool: LocalPool) -> list[asyncio.TimerHandle]:
    assert isinstance(loop, VirtualClockLoop)
    timers = [loop.call_later(at, loop.jump, seconds) for at, seconds in plan.suspends]
    if plan.stop_at is not None:
        timers.append(loop.call_later(plan.stop_at, pool.stop))
    return timers


def request(line: int) -> Request:
    body: Json = {"model": "m", "messages": [{"role": "user", "content": str(line)}], "max_tokens": 150}
    return Request(line, f"line-{line}", "/v1/chat/completions", body, f"{line:032x}")


def route(retries: Retries) -> Route:
    endpoint = endpoint_for("/v1/chat/completions")
    return Route(
        provider=provider("custom"),
        base_url="http://127.0.0.1:1/v1",
        headers={},
        endpoint_for=lambda url: endpoint,
        schema_for=lambda request: None,
        mode="json_object",
        retries=retries,
        reask=0,
        stream=None,
        settings_digest="",
        prices=lambda *names: None,
    )
