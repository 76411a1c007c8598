"""The pool on this machine: workers that share one stream of requests, a gate, and a task for each line that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_never

from batchllm.endings import Endings
from batchllm.engines.deferral import Deferral
from batchllm.engines.gate import Gate, GateClosed
from batchllm.errors import JobError, TransportError
from batchllm.item import Again, AnyStep, Asked, Done, Halt, Item, Onward, Route
from batchllm.media import loaded
from batchllm.media_files import MediaError
from batchllm.pack import Pack
from batchllm.protocols import Transport
from batchllm.ratelimit_headers import read_limits
from batchllm.retry import budget_cost
from batchllm.talk import Talk
from batchllm.throttle import Throttle
from batchllm.types import Json, Request

PARKED_PER_SLOT = 4
"""Lines waiting to be asked again, per slot of the cap: beyond it no new line is begun, so that memory stays bounded."""


class Feeder(Protocol):
    """Hands out requests one by one, or several that are sent as one; None when there are no more."""

    async def next(self) -> Request | tuple[Request, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where what comes of requests goes. `done` and `note` return with the bytes safe; `deliver` may wait."""

    done: Callable[[Done, Asked], None]
    note: Callable[[Json, Asked], None]
    deliver: Callable[[Done], Awaitable[None]] | None = None


class LocalPool:
    """Runs every request of a feeder to its record. One TaskGroup owns all tasks; `stop` drains, a cancel ends at once."""

    def __init__(
        self,
        route: Route,
        transport: Transport,
        throttle: Throttle,
        outlet: Outlet,
        endings: Endings,
        jitter: Callable[[], float],
    ) -> None:
        self._route = route
        self._transport = transport
        self._outlet = outlet
        self._endings = endings
        self._jitter = jitter
        self.throttle = throttle
        self.parked = 0
        self._workers = 0
        self._loop = asyncio.get_running_loop()
        self.gate = Gate(throttle)
        self._deferral = Deferral(throttle.budget)
        self._room = asyncio.Event()
        self._room.set()
        self._parked_tasks: set[asyncio.Task[None]] = set()
        self.ending: JobError | None = None

    async def run(self, feeder: Feeder) -> None:
        """Return when every request has its record, or the pool was stopped and what was in flight has ended.

        Raises the `JobError` that stopped it, if one did.
        """
        self._feeder = feeder
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._more_workers()
        except* JobError as errors:
            raise errors.exceptions[0] from None
        if self.ending is not None:
            raise self.ending

    def stop(self, ending: JobError | None = None) -> None:
        """Begin nothing new; requests in flight go on to their end, lines waiting for another try are left pending."""
        if self.ending is None:
            self.ending = ending
        self.gate.close()
        self._room.set()
        for task in self._parked_tasks:
            task.cancel()

    @property
    def in_flight(self) -> int:
        return self.throttle.limiter.in_flight

    def _more_workers(self) -> None:
        """As many workers as requests may be in flight now; more are added as the limit grows."""
        while self._workers < self.throttle.limiter.limit and not self.gate.closed:
            self._workers += 1
            self._tasks.create_task(self._worker(), name=f"worker-{self._workers}")

    async def _worker(self) -> None:
        try:
            while not self.gate.closed:
                await self._room.wait()
                request = await self._next()
                if request is None:
                    return
                await self._ask(request)
        except GateClosed:
            return

    async def _next(self) -> Request | tuple[Request, ...] | None:
        """The next line; where none can be read, the run drains: what is in flight has been paid for."""
        try:
            return await self._feeder.next()
        except JobError as error:
            self.stop(error)
            return None

    async def _ask(self, request: Request | tuple[Request, ...]) -> None:
        item = _asked(self._route, request)
        step = await self._send(item, again=False)
        while isinstance(step, Onward):
            step = await self._onward(item, step)
        if isinstance(step, Again):
            self._park(item, step)
        else:
            await self._finish(item, step)

    async def _onward(self, item: Asked, step: Onward) -> AnyStep:
        if isinstance(step.kept, Done):
            await self._deliver(step.kept)
        return await self._send(item, again=True)

    async def _send(self, item: Asked, *, again: bool) -> AnyStep:
        """One attempt: a slot, the request, what its reply comes to. Between the reply and `_safe` nothing awaits."""
        throttle = self.throttle
        reserved = item.token_estimate() if throttle.counts_tokens else 0.0
        await self.gate.enter(reserved, again=again)
        try:
            extras = item.request.extras
            if extras is not None and extras.media:
                return await self._exchange_media(item, reserved)
            return await self._exchange(item, reserved)
        finally:
            if self.gate.waiting:
                self.gate.wake()

    async def _exchange_media(self, item: Asked, reserved: float) -> AnyStep:
        """An exchange whose local files are read in a thread, and held no longer than it lasts."""
        began = self._loop.time()
        try:
            data, files = await asyncio.to_thread(loaded, item.body, self._route.media)
        except MediaError as error:
            self.throttle.cancelled(began, self._loop.time())
            step = item.unsendable(str(error))
            self._safe(item, step)
            return step
        except asyncio.CancelledError:
            self.throttle.cancelled(began, self._loop.time())
            raise
        item.sends(files)
        return await self._exchange(item, reserved, data)

    async def _exchange(self, item: Asked, reserved: float, data: bytes | None = None) -> AnyStep:
        throttle, loop = self.throttle, self._loop
        sent_at, mark = loop.time(), throttle.sent_count
        try:
            call = item.call(sent_at, data)
            reply = await self._transport.send(call, item.feed)
        except TransportError as error:
            now = loop.time()
            step = item.failed(error, now, self._jitter(), outage=throttle.breaker.shields(item.request.line))
        except asyncio.CancelledError:
            throttle.cancelled(sent_at, loop.time())
            self._outlet.note(item.abandoned(), item)
            raise
        else:
            now = loop.time()
            limits = read_limits(reply.headers)
            if limits is not None:
                throttle.saw(limits, mark, reserved, sent_at, now)
            step = item.received(reply, now, self._jitter(), outage=throttle.breaker.shields(item.request.line))
        self._safe(item, step)
        self._learn(item, step, sent_at, now, reserved)
        return step

    def _safe(self, item: Asked, step: AnyStep) -> None:
        """Paid bytes to the journal, before anything else happens to them."""
        if isinstance(step, Done):
            self._outlet.done(step, item)
        elif not isinstance(step, Onward):
            self._outlet.note(step.note, item)
        elif isinstance(step.kept, Done):
            self._outlet.done(step.kept, item)
        else:
            self._outlet.note(step.kept, item)

    def _learn(self, item: Asked, step: AnyStep, sent_at: float, now: float, reserved: float) -> None:
        throttle = self.throttle
        if isinstance(step, Onward) and isinstance(step.kept, Done):
            step = step.kept
        if isinstance(step, Onward) or (isinstance(step, Done) and step.verdict is None):
            throttle.succeeded(sent_at, now)
            if self._workers < throttle.limiter.limit:
                self._more_workers()
        else:
            assert step.verdict is not None
            throttle.failed(step.verdict, item.request.line, sent_at, now)
        if reserved:
            throttle.settle(sent_at, reserved, item.last_tokens(reserved))
        if self._deferral:
            self._deferral.release(idle=self.in_flight == 0)
        ending = self._endings.after(step, item, throttle, now)
        if ending is not None and not self.gate.closed:
            self.stop(ending)

    def _park(self, item: Asked, step: Again) -> None:
        """A line to be asked again waits in a task of its own, without a slot; the worker goes on to the next line."""
        if self.gate.closed:
            return
        self.parked += 1
        if self.parked >= PARKED_PER_SLOT * self.throttle.limiter.cap:
            self._room.clear()
        task = self._tasks.create_task(self._ask_again(item, step), name=f"again-{item.request.line}")
        self._parked_tasks.add(task)
        task.add_done_callback(self._unpark)

    def _unpark(self, task: asyncio.Task[None]) -> None:
        self.parked -= 1
        self._parked_tasks.discard(task)
        if self.parked < PARKED_PER_SLOT * self.throttle.limiter.cap:
            self._room.set()

    async def _ask_again(self, item: Asked, failed: Again) -> None:
        """tenacity holds the loop: it is entered only after a first failure, whose outcome is its first result."""
        step: AnyStep = failed
        pending: AnyStep | None = failed

        async def attempt() -> AnyStep:
            nonlocal pending, step
            if pending is not None:
                first, pending = pending, None
                return first
            this = asyncio.current_task()
            assert this is not None
            free = await self._afford(step)
            self._parked_tasks.discard(this)  # in flight: a drain waits for it
            try:
                step = await self._send(item, again=True)
                while isinstance(step, Onward):
                    step = await self._onward(item, step)
            finally:
                self._parked_tasks.add(this)
                if free:
                    self._deferral.ended(idle=self.in_flight == 0)
            return step

        retrying = AsyncRetrying(
            retry=retry_if_result(_is_again), wait=_wait, stop=stop_never, sleep=self._sleep, reraise=True
        )
        try:
            last: AnyStep = await retrying(attempt)
        except GateClosed:
            return
        await self._finish(item, last)

    async def _afford(self, step: AnyStep) -> bool:
        """Wait for tokens of the retry budget where this retry needs them; True if it goes on the free pass."""
        assert isinstance(step, Again)
        cost = budget_cost(step.verdict)
        return cost > 0 and await self._deferral.take(cost, idle=self.in_flight == 0)

    async def _sleep(self, seconds: float) -> None:
        if self.gate.closed:
            raise GateClosed
        await asyncio.sleep(seconds)

    async def _finish(self, item: Asked, step: AnyStep) -> None:
        if isinstance(step, Halt):
            return
        assert isinstance(step, Done)
        await self._deliver(step)

    async def _deliver(self, step: Done) -> None:
        if self._outlet.deliver is not None:
            await self._outlet.deliver(step)


def _asked(route: Route, request: Request | tuple[Request, ...]) -> Asked:
    if isinstance(request, tuple):
        return Pack(route, request)
    if request.extras is not None and request.extras.turns:
        return Talk(route, request)
    return Item(route, request)


def _is_again(step: Any) -> bool:
    return isinstance(step, Again)


def _wait(state: RetryCallState) -> float:
    assert state.outcome is not None
    step = state.outcome.result()
    assert isinstance(step, Again)
    return step.wait_s
