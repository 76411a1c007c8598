"""Workers of the Ray pool in this process, on a loop whose clock jumps: with deaths, cuts and blinks to order."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchllm.budget import Budgets
from batchllm.endings import Endings
from batchllm.engines.engine import Elsewhere, Means, Remade
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import GivenFeeder
from batchllm.engines.ray_pool.driver import RayPool
from batchllm.engines.ray_pool.hands import BlinkError, LostError
from batchllm.engines.ray_pool.wire import ANSWERED, DONE, Hello, Kit, Order, Report
from batchllm.engines.ray_pool.worker import LOOK_S, UNHEARD_S, Worker
from batchllm.errors import JobError
from batchllm.journal.storage import Storage
from batchllm.protocols import Feed
from batchllm.settings import Retries, Settings
from batchllm.sources.job_file import Rereading, Unread
from batchllm.sources.request_line import RequestLine
from batchllm.steps import Asked, Done, Finished
from batchllm.strictjson import dumps
from batchllm.testing.simulated_endpoint import ServerModel, SimulatedEndpoint
from batchllm.testing.simulation import request, route
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle
from batchllm.types import Call, Json, Reply, Request

TRAVEL_S = 0.002
QUIET_S = UNHEARD_S + 2 * LOOK_S
"""After so long without an order a worker has begun the last of its lines."""
READER = RequestLine({"model": "m"}, "/v1/chat/completions")
REREADING = Rereading(Path("job.jsonl"), READER)


def unread(line: int, raw: bytes | None = None) -> Unread:
    """A line as it stands in a job: that of `request(line)` where nothing else is said."""
    raw = raw or dumps({"body": request(line).body})
    read = READER.read(line, raw)
    assert isinstance(read, Request)
    return Unread(line, raw, int(read.digest[:16], 16))


class Mortal:
    """A transport whose requests vanish, unheard of, when its worker dies. `arrived` notes whose request came when."""

    def __init__(self, endpoint: SimulatedEndpoint) -> None:
        self._endpoint = endpoint
        self._dead = asyncio.Event()
        self.flying = 0

    async def __aenter__(self) -> Mortal:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def abort(self) -> None:
        return None

    def die(self) -> None:
        self._dead.set()

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        if self._dead.is_set():
            await asyncio.Event().wait()
        self.flying += 1
        sending = asyncio.ensure_future(self._endpoint.send(call, feed))
        dying = asyncio.ensure_future(self._dead.wait())
        try:
            await asyncio.wait({sending, dying}, return_when=asyncio.FIRST_COMPLETED)
            if self._dead.is_set():
                sending.cancel()
                await asyncio.Event().wait()
            return sending.result()
        finally:
            self.flying -= 1
            sending.cancel()
            dying.cancel()


class LocalHand:
    """One worker; orders and reports are pickled as if they travelled."""

    def __init__(self, crew: LocalCrew) -> None:
        self._crew = crew
        self.worker = Worker()
        self.transport: Mortal | None = None
        self.dead = False
        self.cut = False
        self.blinking = 0
        self._healed = asyncio.Event()

    async def begin(self, kit: Kit, secrets: Mapping[str, str]) -> Hello:
        await asyncio.sleep(self._crew.start_s)
        self.transport = Mortal(self._crew.endpoint)
        made = self._crew.made(self.transport)
        return await self.worker.begin(replace(kit, recipe=lambda _: made), secrets)

    async def exchange(self, order: Order) -> Report:
        await self._travel()
        report = await self.worker.exchange(pickle.loads(pickle.dumps(order)))
        await self._travel()
        if self.blinking:
            self.blinking -= 1
            raise BlinkError("a blink")
        self._crew.most_held = max(self._crew.most_held, len(pickle.dumps(report)))
        return pickle.loads(pickle.dumps(report))  # type: ignore[no-any-return]

    async def tell(self, order: Order) -> None:
        await self._travel()
        await self.worker.tell(pickle.loads(pickle.dumps(order)))

    async def _travel(self) -> None:
        await asyncio.sleep(TRAVEL_S)
        while self.cut and not self.dead:
            self._healed.clear()
            await self._healed.wait()
        if self.dead:
            raise LostError("it died")

    def dismiss(self) -> None:
        self.die()

    def die(self) -> None:
        if not self.dead:
            self.dead = True
            self._healed.set()
            if self.transport is not None:
                self.transport.die()

    def heal(self) -> None:
        self.cut = False
        self._healed.set()


class LocalCrew:
    """See `hands.Crew`; `hands` holds every worker there ever was."""

    def __init__(self, endpoint: SimulatedEndpoint, size: int, retries: Retries, start_s: float = 1.0) -> None:
        self.endpoint = endpoint
        self.size = size
        self.start_s = start_s
        self.hands: list[LocalHand] = []
        self.failures = 0
        self.gone_at: float | None = None
        self.stuck = False
        self.most_held = 0
        self._route = route(retries)

    def made(self, transport: Mortal) -> Remade:
        return Remade(self._route, Settings(), lambda: transport, REREADING)

    async def open(self, wanted: int | None) -> int:
        return self.size

    async def hire(self) -> LocalHand:
        if self.failures:
            self.failures -= 1
            raise LostError("no room")
        if self.stuck:
            await asyncio.Event().wait()
        self.hands.append(LocalHand(self))
        return self.hands[-1]

    async def gone(self) -> str:
        if self.gone_at is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.gone_at)
        return "the head is gone"

    async def close(self) -> None:
        for hand in self.hands:
            hand.die()
            if hand.worker._running is not None:
                hand.worker._running.cancel()

    @property
    def alive(self) -> list[LocalHand]:
        return [hand for hand in self.hands if not hand.dead and hand.transport is not None]


class RawLines:
    """See `engines.feed.RawFeeder`."""

    def __init__(self, lines: Iterator[Unread]) -> None:
        self._lines = lines

    async def next(self) -> Unread | None:
        return next(self._lines, None)


@dataclass
class Seen:
    """What came of a run: records and notes as the journal would hold them, and the server's ledger."""

    records: list[tuple[int, str | None]] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    visits: Any = ()
    arrivals: list[tuple[float, int, int]] = field(default_factory=list)
    lost_in_flight: int = 0
    ending: JobError | None = None
    figures: Json = field(default_factory=dict)
    most_held: int = 0
    seconds: float = 0.0

    @property
    def repeats(self) -> int:
        """Requests beyond the first for each line."""
        asked = Counter(line for _, line, _ in self.arrivals)
        return sum(asked.values()) - len(asked)


@dataclass(frozen=True)
class Event:
    """At this second one of the workers alive, by `which`, meets `what`; a cut lasts `lasts_s`."""

    at: float
    what: str
    which: int = 0
    lasts_s: float = 0.0


def conduct(
    items: int,
    workers: int,
    server: ServerModel,
    events: tuple[Event, ...] = (),
    *,
    cap: int = 32,
    rpm: float | None = None,
    tpm: float | None = None,
    seed: int = 1,
    retries: Retries | None = None,
    budgets: Budgets | None = None,
    start_s: float = 1.0,
    failures: int = 0,
    cancel_at: float | None = None,
    stop_at: float | None = None,
    gone_at: float | None = None,
    stuck: bool = False,
    raw: bool = False,
    changed: int = 0,
) -> Seen:
    """Run a job of so many lines with workers in this process. `raw`: the workers read them, and find that `changed` is not
    what it was."""
    seen = Seen()

    async def go() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def watch(line: int) -> None:
            seen.arrivals.append((loop.time() - began, line, endpoint.in_flight + 1))
            seen.most_held = max(seen.most_held, len(pool._custody))

        endpoint = SimulatedEndpoint(server, seed, watch)
        rules = retries or Retries()
        crew = LocalCrew(endpoint, workers, rules, start_s)
        crew.failures, crew.gone_at, crew.stuck = failures, gone_at, stuck
        throttle = Throttle(cap, began, rpm=rpm, tpm=tpm)

        def done(step: Done, item: Asked) -> None:
            for record in step.records:
                seen.records.append((record.line, None if record.code is None else str(record.code)))

        def note(one: Json, item: Asked) -> None:
            seen.notes.append(one)

        def answered(answers: Sequence[Finished]) -> None:
            seen.records.extend((one.line, None) for one in answers)

        means = Means(
            Settings(), route(rules), endpoint, throttle, Outlet(done, note, answered=answered), Endings(rules, "the endpoint"),
            random.Random(seed).random, budgets or Budgets(), Path(), Storage(), lambda *_: iter(()), lambda: True,
            Elsewhere(lambda _: crew.made(Mortal(endpoint)), {}, REREADING),
        )  # fmt: skip
        pool = RayPool(means, crew)
        timers = [loop.call_later(event.at, _happen, event, crew, seen, loop) for event in events]
        lines = (replace(unread(line), digest=0) if line == changed else unread(line) for line in range(1, items + 1))
        requests = GivenFeeder(request(line) for line in range(1, items + 1))
        running = asyncio.ensure_future(pool.forward(RawLines(lines)) if raw else pool.run(requests))
        if cancel_at is not None:
            timers.append(loop.call_later(cancel_at, running.cancel))
        if stop_at is not None:
            timers.append(loop.call_later(stop_at, pool.stop))
        try:
            await running
        except JobError as ending:
            seen.ending = ending
        except asyncio.CancelledError:
            if cancel_at is None:
                raise
        for timer in timers:
            timer.cancel()
        seen.seconds = loop.time() - began
        seen.visits, seen.figures = endpoint.visits, pool.figures()["ray"]

    run_virtual(go())
    return seen


def _happen(event: Event, crew: LocalCrew, seen: Seen, loop: asyncio.AbstractEventLoop) -> None:
    alive = crew.alive
    if not alive:
        return
    hand = alive[event.which % len(alive)]
    if event.what == "die":
        seen.lost_in_flight += _unsettled(hand)
        hand.die()
    elif event.what == "blink":
        hand.blinking += 1
    elif not hand.cut:
        hand.cut = True
        if event.lasts_s > QUIET_S:  # until then it may begin more
            loop.call_later(QUIET_S, _count_lost, hand, seen)
        loop.call_later(event.lasts_s, hand.heal)


def _count_lost(hand: LocalHand, seen: Seen) -> None:
    if not hand.dead:
        seen.lost_in_flight += _unsettled(hand)


def _unsettled(hand: LocalHand) -> int:
    """Lines that were begun and whose outcome the driver does not have: what may be asked twice."""
    assert hand.transport is not None
    outbox = hand.worker._outbox
    return hand.transport.flying + sum(not isinstance(one, int) and one[0] in (ANSWERED, DONE) for one in outbox.kept())
