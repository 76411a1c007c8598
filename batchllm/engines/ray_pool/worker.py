"""The far end: an ordinary pool with its own transport, fed by orders and emptied by reports. It knows nothing of Ray."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchllm import __version__
from batchllm.budget import Budget, Budgets
from batchllm.endings import Endings
from batchllm.engines import local
from batchllm.engines.engine import Means
from batchllm.engines.exchange import Outlet
from batchllm.engines.local import LocalPool
from batchllm.engines.ray_pool.outbox import Outbox
from batchllm.engines.ray_pool.shares import part
from batchllm.engines.ray_pool.slowing import Lesson
from batchllm.engines.ray_pool.wire import (
    NOTE,
    NUMBER,
    Ended,
    Hello,
    Kit,
    Order,
    Report,
    Share,
    Unit,
    asked_of,
    outcome_of,
)  # fmt: skip
from batchllm.engines.spending import BudgetReached
from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage
from batchllm.protocols import Transport
from batchllm.route import Route
from batchllm.sources.job_file import Rereading
from batchllm.steps import Asked, Done
from batchllm.strictjson import dumps
from batchllm.throttle import Throttle
from batchllm.types import Json, Request

UNHEARD_S = 15.0
"""Without an order for so long a worker begins nothing new: the driver is cut off, and gives its lines to others."""
LOOK_S = 0.2


class Queue:
    """The lines a worker was handed and has not begun; `next` gives None once it is closed.

    Raises `JobError` (65) for a line that is not what it was when it was first read: the pool then begins nothing new.
    """

    def __init__(self, rereading: Rereading) -> None:
        self._rereading = rereading
        self._units: deque[Unit] = deque()
        self._more = asyncio.Event()
        self._closed = False

    def add(self, unit: Unit) -> None:
        self._units.append(unit)
        self._more.set()

    def forget(self, numbers: frozenset[int]) -> None:
        """Leave out lines that others answered; what has begun goes on."""
        left = (tuple(line for line in unit if line[NUMBER] not in numbers) for unit in self._units)
        self._units = deque(unit for unit in left if unit)

    def close(self) -> None:
        self._closed = True
        self._more.set()

    async def next(self) -> Request | tuple[Request, ...] | None:
        while not self._units and not self._closed:
            self._more.clear()
            await self._more.wait()
        return None if self._closed else asked_of(self._units.popleft(), self._rereading)


class Worker:
    """One pool on one node. Every method returns soon; the pool runs in a task between `begin` and its end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._limits: tuple[int, float | None, float | None] = (0, None, None)
        self._throttle = Throttle(0, self._loop.time())
        self._lesson = Lesson(self._throttle)
        self._budgets = Budgets()
        self._pool: LocalPool | None = None
        self._running: asyncio.Task[None] | None = None
        self._ended: Ended | None = None
        self._unheard = self._aborted = False
        self._order = -1
        self._heard = self._loop.time()

    async def begin(self, kit: Kit, secrets: Mapping[str, str]) -> Hello:
        """Make everything the pool needs; it starts with the first order that lets it send."""
        try:
            made = await asyncio.to_thread(kit.recipe, secrets)
        except JobError as error:
            return Hello(error=_ended(error))
        self._kit, self._remade, self._queue = kit, made, Queue(made.rereading)
        self._route = with_parts(made.route, kit.workers)
        return Hello(socket.gethostname(), os.getpid(), __version__, made.route.settings_digest)

    async def exchange(self, order: Order) -> Report:
        """Take an order, and tell what came meanwhile: at once where something did, else after a bounded wait."""
        self._heard = self._loop.time()
        self._outbox.ack(order.acked)
        self._take(order)
        await self._outbox.gathered(0.0 if self._ended is not None else order.wait_s)
        return self._report()

    async def tell(self, order: Order) -> None:
        """An order that does not wait for the exchange under way to end."""
        self._take(order)

    def _take(self, order: Order) -> None:
        self._share(order.share)
        self._outbox.slots = order.share.cap
        if order.number > self._order:
            self._order = order.number
            for unit in order.units:
                self._queue.add(unit)
        if order.forget:
            self._queue.forget(frozenset(order.forget))
        if order.slow is not None and self._running is not None:
            self._lesson.learn(order.slow, self._loop.time())
        if order.stop:
            self._stop()
        if order.abort and self._running is not None and not self._aborted:
            self._aborted = True
            self._running.cancel()

    def _stop(self) -> None:
        """Begin nothing new; what is in flight goes on to its end."""
        if self._pool is not None:
            self._pool.stop()
        self._queue.close()
        if self._running is None:
            self._end(Ended())

    def _share(self, share: Share) -> None:
        if self._ended is not None or (self._pool is not None and self._pool.gate.closed):
            return  # what its share was when it stopped is to be told
        if self._running is None:
            if share.cap:
                self._start(share)
            return
        throttle, now = self._throttle, self._loop.time()
        if (share.cap, share.rpm, share.tpm) != self._limits:
            self._limits = (share.cap, share.rpm, share.tpm)
            throttle.relimit(now, cap=share.cap, rpm=_rate(share.rpm), tpm=_rate(share.tpm))
        if share.held != throttle.held:
            throttle.hold(share.held)
        for budget, limit in ((self._budgets.money, share.usd), (self._budgets.tokens, share.tokens)):
            if budget is not None and limit is not None:
                budget.limit = max(limit, budget.committed)

    def _start(self, share: Share) -> None:
        now = self._loop.time()
        self._limits = (share.cap, share.rpm, share.tpm)
        self._throttle = Throttle(
            share.cap, now, rpm=_rate(share.rpm), tpm=_rate(share.tpm), start=self._kit.start, auto=self._kit.auto
        )
        self._throttle.held = share.held
        self._lesson = Lesson(self._throttle)
        self._budgets = Budgets(
            None if share.usd is None else Budget(share.usd), None if share.tokens is None else Budget(share.tokens)
        )
        self._running = self._loop.create_task(self._run(self._remade.transport()), name="worker")

    async def _run(self, closed: Transport) -> None:
        """The pool from its start to its end, however that comes."""
        try:
            async with closed as transport:
                self._pool = self._made(transport)
                looking = self._loop.create_task(self._look(self._pool), name="look")
                try:
                    await self._pool.run(self._queue)
                finally:
                    looking.cancel()
        except JobError as error:
            self._end(_ended(error))
        except asyncio.CancelledError:  # an abort: what came before it is in the outbox
            self._end(Ended())
        except Exception as defect:
            text = f"a defect in batchllm itself ({type(defect).__name__}); please report it"
            self._end(Ended(int(ExitCode.SOFTWARE), text))
        else:
            self._end(Ended())

    def _made(self, transport: Transport) -> LocalPool:
        # Whether all lines are refused alike is for the driver to see: it knows the lines of all workers.
        endings = Endings(self._remade.route.retries, self._kit.where, self._kit.key_hint, True)
        outlet = Outlet(self._done, self._note, self._delivered, self._begun)
        return local.pool(
            Means(
                settings=self._remade.settings, route=self._route, transport=transport, throttle=self._throttle, outlet=outlet,
                endings=endings, jitter=random.random, budget=self._budgets, folder=Path(), storage=Storage(),
                lines=_no_lines, durable=lambda: True,
            )
        )  # fmt: skip

    async def _look(self, pool: LocalPool) -> None:
        """Wakes the pool's idle tasks where it has stopped by itself, and stops it where nobody is heard any more."""
        while not pool.gate.closed:
            await asyncio.sleep(LOOK_S)
            if self._loop.time() - self._heard > UNHEARD_S:
                self._unheard = True
                pool.stop()
        self._queue.close()

    def _end(self, ended: Ended) -> None:
        self._ended = Ended(unheard=True) if self._unheard else ended
        self._outbox.wake()

    # -- what the pool tells -----------------------------------------------------------------------------------------

    def _begun(self, item: Asked) -> None:
        self._outbox.add(item.request.line)

    def _done(self, step: Done, item: Asked) -> None:
        self._outbox.add(outcome_of(step, item, whole=self._kit.whole))
        self._outbox.took(step.record.facts["latency_s"])

    def _note(self, note: Json, item: Asked) -> None:
        self._outbox.add((NOTE, (dumps(note), item.request.line)))
        if note.get("kind") == "refused":
            self._lesson.refused(float(note.get("wait_s") or 0.0))

    async def _delivered(self, step: Done) -> None:
        await self._outbox.acked()

    def _report(self) -> Report:
        first, outcomes = self._outbox.first, self._outbox.kept()
        if self._pool is None:
            return Report(first, outcomes, ended=self._ended)
        pool, budgets, now = self._pool, self._budgets, self._loop.time()
        return Report(
            first,
            outcomes,
            pool.in_flight,
            self._throttle.limiter.limit,
            pool.parked,
            0.0 if budgets.money is None else budgets.money.limit,
            0.0 if budgets.tokens is None else budgets.tokens.limit,
            self._lesson.since(now),
            self._ended,
        )


def with_parts(route: Route, workers: int) -> Route:
    """The route of one worker: of what each of several addresses bears, it has its part."""
    sites = (site if site.cap is None else replace(site, cap=part(site.cap, workers)) for site in route.sites)
    return replace(route, sites=tuple(sites))


def _rate(share: float | None) -> float:
    """A share of nothing lets nothing through: it is no missing limit."""
    return 0.0 if share is None else max(share, 1e-6)


def _ended(error: JobError) -> Ended:
    return Ended(int(error.exit_code), str(error), error.resume_after_s, isinstance(error, BudgetReached))


def _no_lines(*_: Any) -> Iterator[list[Request]]:
    return iter(())
