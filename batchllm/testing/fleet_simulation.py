"""One run of the real pool against several simulated endpoints that are one target, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from batchllm.endings import Endings
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import GivenFeeder
from batchllm.engines.local import LocalPool
from batchllm.engines.roster import roster_for
from batchllm.errors import JobError
from batchllm.protocols import Feed
from batchllm.route import Site
from batchllm.settings import Retries
from batchllm.steps import Asked, Done
from batchllm.testing.simulated_endpoint import ServerModel, SimulatedEndpoint, Visit
from batchllm.testing.simulation import request, route
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle
from batchllm.types import Call, Json, Reply

TICK_S = 1e-6


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """A job of `items` lines, the pool's settings, and the servers it meets."""

    seed: int
    items: int
    servers: tuple[ServerModel, ...]
    cap: int = 64
    rpm: float | None = None
    tpm: float | None = None
    retries: Retries = field(default_factory=Retries)


class Coming(NamedTuple):
    """A request as it comes to one of the servers, and what its member said of itself at that moment."""

    at: float
    server: int
    closed_at: float
    paused_until: float


@dataclass(slots=True)
class FleetTrace:
    """What was seen of a run: each server's ledger, each line's record (its error code), what the user was told."""

    plan: FleetPlan
    began: float = 0.0
    ended: float = 0.0
    visits: tuple[list[Visit], ...] = ()
    comings: list[Coming] = field(default_factory=list)
    records: list[tuple[int, str | None]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    rows: list[Json] = field(default_factory=list)
    most: int = 0
    ending: JobError | None = None

    def answered(self, server: int, start: float = 0.0, end: float = float("inf")) -> int:
        """Answers that a server gave to requests that came between two times of the run."""
        return sum(one.mood == "ok" and start <= one.at - self.began < end for one in self.visits[server])


class SeveralEndpoints:
    """A `Transport` that leads to a simulated endpoint by the number in its port."""

    def __init__(self, endpoints: list[SimulatedEndpoint]) -> None:
        self._endpoints = endpoints

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def abort(self) -> None:
        """Nothing to cut."""

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        return await self._endpoints[(urlsplit(call.url).port or 1) - 1].send(call, feed)


def run_fleet(plan: FleetPlan) -> FleetTrace:
    """Run the plan to its end."""
    trace = FleetTrace(plan)
    run_virtual(_run(plan, trace))
    return trace


async def _run(plan: FleetPlan, trace: FleetTrace) -> None:
    loop = asyncio.get_running_loop()
    trace.began = loop.time()

    def done(step: Done, item: Asked) -> None:
        trace.records.append((step.record.line, None if step.record.code is None else str(step.record.code)))

    def note(note: Json, item: Asked) -> None:
        return None

    def coming(server: int) -> None:
        assert roster is not None
        pause = roster.fleet.members[server].throttle.pause
        trace.comings.append(Coming(loop.time(), server, pause.closed_at, pause.until))
        trace.most = max(trace.most, pool.in_flight)

    endpoints = [
        SimulatedEndpoint(model, plan.seed + number, lambda line, number=number: coming(number))  # type: ignore[misc]
        for number, model in enumerate(plan.servers)
    ]
    several = replace(route(plan.retries), sites=tuple(_sites(plan)))
    throttle = Throttle(plan.cap, loop.time(), rpm=plan.rpm, tpm=plan.tpm)
    endings = Endings(plan.retries, "the fleet")
    roster = roster_for(several, throttle, endings, loop.time(), trace.told.append)
    jitter = random.Random(plan.seed + 1).random
    pool = LocalPool(several, SeveralEndpoints(endpoints), throttle, Outlet(done, note), endings, jitter, roster=roster)
    try:
        await pool.run(GivenFeeder(request(line) for line in range(1, plan.items + 1)))
    except JobError as ending:
        trace.ending = ending
    trace.ended = loop.time()
    trace.visits = tuple(endpoint.visits for endpoint in endpoints)
    assert roster is not None
    trace.rows = roster.as_json()


def _sites(plan: FleetPlan) -> Iterator[Site]:
    for number in range(len(plan.servers)):
        yield Site(f"http://127.0.0.1:{number + 1}/v1", {})


def broken(trace: FleetTrace) -> list[str]:
    """Every promise of a fleet that does not hold."""
    return [*_once(trace), *_kept_waits(trace), *_kept_pauses(trace), *_within(trace)]


def _once(trace: FleetTrace) -> Iterator[str]:
    """A record for each line, an answer bought once and kept."""
    counts = Counter(line for line, _ in trace.records)
    if any(count > 1 for count in counts.values()):
        yield "a line has several records"
    if len(counts) < trace.plan.items and trace.ending is None:
        yield f"{trace.plan.items - len(counts)} lines have no record"
    good = {line for line, code in trace.records if code is None}
    answered = Counter(visit.line for visits in trace.visits for visit in visits if visit.mood == "ok")
    for line, count in answered.items():
        if count > 1 or line not in good:
            yield f"line {line} was answered {count} times, and {'has' if line in good else 'lacks'} a result"


def _kept_waits(trace: FleetTrace) -> Iterator[str]:
    """An endpoint's wait is never undercut by the line that met it there."""
    for number, visits in enumerate(trace.visits):
        ready: dict[int, float] = {}
        for visit in sorted(visits, key=lambda one: one.number):
            if visit.at < ready.get(visit.line, 0.0) - TICK_S:
                yield f"line {visit.line} came back to endpoint {number} {ready[visit.line] - visit.at:.3f} s early"
            if visit.told_s is not None:
                ready[visit.line] = visit.left + visit.told_s


def _kept_pauses(trace: FleetTrace) -> Iterator[str]:
    """Nothing is sent to an endpoint while its own pause lasts."""
    for one in trace.comings:
        if one.closed_at + TICK_S < one.at < one.paused_until - TICK_S:
            yield f"sent to endpoint {one.server} at {one.at:.3f}, paused until {one.paused_until:.3f}"


def _within(trace: FleetTrace) -> Iterator[str]:
    """The cap and `--rpm` hold over all endpoints together."""
    if trace.most > trace.plan.cap:
        yield f"{trace.most} in flight, the cap is {trace.plan.cap}"
    if trace.plan.rpm is not None:
        times = sorted(visit.at for visits in trace.visits for visit in visits)
        for at, first in zip(times[int(trace.plan.rpm) :], times, strict=False):
            if at - first < 60.0 - TICK_S:
                yield f"more than {trace.plan.rpm:g} requests in the minute before {at:.3f}"
