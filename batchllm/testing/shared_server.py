"""A server that never refuses, in memory: what it is asked shares its hardware, waits in its queue, or overloads it."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp
from types import TracebackType
from typing import NamedTuple, Self

from batchllm.endings import Endings
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import GivenFeeder
from batchllm.engines.local import LocalPool
from batchllm.protocols import Feed
from batchllm.settings import Retries
from batchllm.steps import Asked, Done
from batchllm.testing.simulation import request, route
from batchllm.testing.virtual_clock import run_virtual
from batchllm.throttle import Throttle
from batchllm.throttle.gradient import START, Gradient
from batchllm.types import Call, Json, Reply, Request


@dataclass(frozen=True, slots=True)
class Hardware:
    """`slots` requests run at once, the others queue. A running one gets a token every `step_s` seconds, or more where
    more than `knee` run: the time of a step is then step_s * (1 + (running / knee)^sharpness)^(1/sharpness), so that
    `knee` is where the work a second stops growing. `thrash` slows every step by so much for each request beyond the
    knee, as swapped-out caches do: the work a second falls.

    A prompt's tokens are read `prefill` times as fast. Answers are lognormal: `tokens` is their median, `spread` the sigma.
    """

    slots: int = 1_000_000
    step_s: float = 0.02
    knee: float = 1e9
    sharpness: float = 4.0
    thrash: float = 0.0
    tokens: float = 150.0
    spread: float = 0.6
    prompt: float = 200.0
    prefill: float = 50.0

    def speed(self, running: int) -> float:
        """Tokens a second that each running request gets."""
        step: float = self.step_s * (1 + (running / self.knee) ** self.sharpness) ** (1 / self.sharpness)
        return 1 / (step * (1 + self.thrash * max(0.0, running - self.knee)))


BATCHING = Hardware(slots=256, knee=48.0)
QUEUEING = Hardware(slots=24)
THRASHING = Hardware(knee=40.0, sharpness=8.0, thrash=0.04)


class _Running(NamedTuple):
    """A request that ends when each has got so many tokens since the server began."""

    ends_at: float
    number: int
    done: asyncio.Future[None]


_ANSWER = b'{"object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'  # noqa: E501


class SharedServer:
    """A `Transport` whose other end is `hardware`, which may be exchanged while it runs. Lengths are seeded."""

    def __init__(self, hardware: Hardware, seed: int) -> None:
        self.hardware = hardware
        self.in_flight = self.most_in_flight = self.answered = self.tokens = 0
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._running: list[_Running] = []
        self._queue: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._got = 0.0
        self._got_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def abort(self) -> None:
        """Nothing to cut: whoever waits here is cancelled."""

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        hardware, at = self.hardware, self._loop.time()
        answer = max(1, round(hardware.tokens * exp(self._random.gauss(0.0, hardware.spread))))
        prompt = max(1, round(hardware.prompt * exp(self._random.gauss(0.0, hardware.spread))))
        done = self._loop.create_future()
        self._queue.append((answer + prompt / hardware.prefill, done))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._turn()
        try:
            await done
        finally:
            self.in_flight -= 1
        self.answered += 1
        self.tokens += answer
        return Reply(200, {}, _ANSWER % (prompt, answer, prompt + answer), self._loop.time() - at)

    def change(self, hardware: Hardware) -> None:
        """Be other hardware from now on, also to what runs."""
        self._advance()
        self.hardware = hardware
        self._turn()

    def _advance(self) -> None:
        now = self._loop.time()
        if self._running:
            self._got += (now - self._got_at) * self.hardware.speed(len(self._running))
        self._got_at = now

    def _turn(self) -> None:
        """What has ended leaves, what waits comes in; a timer for the next that ends."""
        self._advance()
        while self._running and self._running[0].ends_at <= self._got + 1e-6:
            heapq.heappop(self._running).done.set_result(None)
        while self._queue and len(self._running) < self.hardware.slots:
            work, done = self._queue.popleft()
            heapq.heappush(self._running, _Running(self._got + work, id(done), done))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running:
            left = self._running[0].ends_at - self._got
            self._timer = self._loop.call_later(left / self.hardware.speed(len(self._running)), self._turn)


@dataclass(slots=True)
class Ran:
    """How a job went until its last line was begun: the seconds, and the tokens of the answers that came in them.

    What follows is the wait for the longest answers, which no limit changes. `held` are (seconds, limit) whenever the limit
    that is held changed.
    """

    seconds: float = 0.0
    tokens: int = 0
    answered: int = 0
    held: list[tuple[float, int]] = field(default_factory=list)
    most_in_flight: int = 0
    figures: Json = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds

    def held_at(self, seconds: float) -> int:
        return [limit for at, limit in self.held if at <= seconds][-1]


def ran(
    hardware: Hardware,
    items: int,
    *,
    limit: int | None,
    seed: int = 1,
    cap: int = 1024,
    changes: tuple[tuple[float, Hardware], ...] = (),
) -> Ran:
    """A job of `items` lines in virtual time, at a fixed `limit`, or at one found by itself (None)."""
    found = Ran()
    run_virtual(_run(found, hardware, items, limit, seed, cap, changes))
    return found


async def _run(
    found: Ran,
    hardware: Hardware,
    items: int,
    limit: int | None,
    seed: int,
    cap: int,
    changes: tuple[tuple[float, Hardware], ...],
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    server = SharedServer(hardware, seed)
    throttle = Throttle(cap if limit is None else limit, began, start=START if limit is None else limit, auto=limit is None)
    found.held.append((0.0, throttle.limiter.limit))

    def done(step: Done, item: Asked) -> None:
        gradient = throttle.gradient
        if isinstance(gradient, Gradient) and gradient.best != found.held[-1][1]:
            found.held.append((loop.time() - began, gradient.best))

    def note(note: Json, item: Asked) -> None:
        return None

    retries = Retries()
    pool = LocalPool(
        route(retries), server, throttle, Outlet(done, note), Endings(retries, "the shared server"), random.Random(seed).random
    )
    timers = [loop.call_later(at, server.change, other) for at, other in changes]

    def lines() -> Iterator[Request]:
        for line in range(1, items + 1):
            yield request(line)
        found.seconds, found.tokens = loop.time() - began, server.tokens

    await pool.run(GivenFeeder(lines()))
    for timer in timers:
        timer.cancel()
    found.answered, found.most_in_flight, found.figures = server.answered, server.most_in_flight, pool.figures()
