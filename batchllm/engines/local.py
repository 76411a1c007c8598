"""The pool on this machine: workers that share one stream of requests, a gate, and a task for each line that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_never

from batchllm.budget import Budgets
from batchllm.endings import Endings
from batchllm.engines.deferral import Deferral
from batchllm.engines.engine import Means
from batchllm.engines.exchange import Exchange, Outlet
from batchllm.engines.feed import Feeder
from batchllm.engines.gate import Door, Gate, GateClosed
from batchllm.engines.roster import Roster, roster_for
from batchllm.engines.spending import Spending
from batchllm.errors import JobError
from batchllm.item import Item
from batchllm.pack import Pack
from batchllm.protocols import Transport
from batchllm.retry import budget_cost
from batchllm.route import Route
from batchllm.steps import Again, AnyStep, Asked, Done, Halt, Onward
from batchllm.talk import Talk
from batchllm.throttle import Throttle
from batchllm.throttle.fleet import NOBODY, Shunned
from batchllm.types import Json, Request

ABORT_S = 1.0
"""How long an abort waits for what was cut off to end by itself."""
PARKED_PER_SLOT = 4
"""Lines waiting to be asked again, per slot of the cap: beyond it no new line is begun, so that memory stays bounded."""


NO_BUDGET = Budgets()


def pool(means: Means, door: Door | None = None) -> LocalPool:
    """The pool for the table of engines; behind a door of its own where several share one throttle."""
    m = means
    roster = None if door is not None else m.roster or _roster(m)
    return LocalPool(m.route, m.transport, m.throttle, m.outlet, m.endings, m.jitter, m.budget, door, roster)


def _roster(means: Means) -> Roster | None:
    """The endpoints of a run that has several, where nobody wants to be told of them."""
    return roster_for(means.route, means.throttle, means.endings, asyncio.get_running_loop().time())


class LocalPool:
    """Runs every request of a feeder to its record. One TaskGroup owns all tasks; `stop` drains.

    A cancel ends at once, but not blindly: connections are cut, so that a reply that is here already still becomes a
    record, and only what then still waits is cancelled.
    """

    def __init__(
        self,
        route: Route,
        transport: Transport,
        throttle: Throttle,
        outlet: Outlet,
        endings: Endings,
        jitter: Callable[[], float],
        budget: Budgets = NO_BUDGET,
        door: Door | None = None,
        roster: Roster | None = None,
    ) -> None:
        self._route = route
        self._transport = transport
        self._outlet = outlet
        self.throttle = throttle
        self.parked = 0
        self._workers = 0
        self._loop = asyncio.get_running_loop()
        self.gate: Door = door or Gate(throttle, None if roster is None else roster.fleet)
        spending = Spending(budget, self.stop)
        self._exchange = Exchange(route, transport, self.gate, outlet, endings, spending, jitter, self._ended, roster)
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
        work = self._loop.create_task(self._work(), name="pool")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await self._abort(work)
            raise
        if self.ending is not None:
            raise self.ending

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._more_workers()

    async def _abort(self, work: asyncio.Task[None]) -> None:
        """Cut the connections; what still waits after a moment (for a name, a connection, a caller) is cancelled."""
        self._exchange.aborting = True
        self.stop()
        cutting = self._loop.create_task(self._transport.abort(), name="abort")
        try:
            await asyncio.wait({cutting, work}, timeout=ABORT_S)
        finally:
            cutting.cancel()
            work.cancel()
            await asyncio.wait({cutting, work})
            _seen = [task.exception() for task in (cutting, work) if not task.cancelled()]

    def stop(self, ending: JobError | None = None) -> None:
        """Begin nothing new; requests in flight go on to their end, lines waiting for another try are left pending."""
        if self.ending is None:
            self.ending = ending
        self.gate.close()
        self._room.set()
        for task in self._parked_tasks:
            task.cancel()

    def _ended(self, ending: JobError | None) -> None:
        """After each attempt: room for more workers, tokens for deferred retries, perhaps the end of the run."""
        if self._workers < self.gate.width:
            self._more_workers()
        if self._deferral:
            self._deferral.release(idle=self.in_flight == 1)  # this one, which is about to leave
        if ending is not None and not self.gate.closed:
            self.stop(ending)

    @property
    def in_flight(self) -> int:
        return self.gate.flying

    def figures(self) -> Json:
        """What `concurrency = auto` found; the summary says all else there is to say of this one."""
        gradient = self.throttle.gradient
        return {} if gradient is None or gradient.found is None else {"concurrency_found": gradient.found}

    def _more_workers(self) -> None:
        """As many workers as requests may be in flight now; more are added as the limit grows."""
        while self._workers < self.gate.width and not self.gate.closed:
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
        step = await self._exchange.attempt(item, again=False)
        while isinstance(step, Onward):
            step = await self._onward(item, step)
        if isinstance(step, Again):
            self._park(item, step)
        else:
            await self._finish(item, step)

    async def _onward(self, item: Asked, step: Onward) -> AnyStep:
        if isinstance(step.kept, Done):
            await self._deliver(step.kept)
        return await self._exchange.attempt(item, again=True)

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
            free, shunned = await self._afford(step), _shunned(step)
            self._parked_tasks.discard(this)  # in flight: a drain waits for it
            try:
                step = await self._exchange.attempt(item, again=True, shunned=shunned)
                while isinstance(step, Onward):
                    step = await self._onward(item, step)
            finally:
                self._parked_tasks.add(this)
                if free:
                    self._deferral.ended(idle=self.in_flight == 0)
            return step

        retrying = AsyncRetrying(retry=retry_if_result(_is_again), wait=_wait, stop=stop_never, sleep=self._sleep, reraise=True)
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


def _shunned(step: AnyStep) -> Shunned:
    return (step.shunned if isinstance(step, Again) else None) or NOBODY


def _is_again(step: Any) -> bool:
    return isinstance(step, Again)


def _wait(state: RetryCallState) -> float:
    assert state.outcome is not None
    step = state.outcome.result()
    assert isinstance(step, Again)
    return step.wait_s
