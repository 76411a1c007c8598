"""Which batches run: so many at once, tenants in turn; those that have to wait, cancel and expire; the drain at the end."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any

from batchllm.gateway import rows
from batchllm.gateway.rows import Entry
from batchllm.gateway.shop import Shop
from batchllm.gateway.work import Work
from batchllm.terminal import say

FEW = 4
AHEAD = 2
"""Lines without a record in the batches that run, per slot: below it the next batch begins, so that no slot is idle."""
TICK_S = 5.0
"""Seconds between looks at the clock."""


class Floor:
    """Owns the task of every running batch. `run` lasts until `stop` and returns when all have settled their journals."""

    def __init__(self, shop: Shop, running: int, drain_s: float, tick_s: float = TICK_S) -> None:
        self.works: dict[str, Work] = {}
        """Every unfinished batch by its id."""
        self.answered = self.failed = 0
        """Lines that came to an end in this process."""
        self._shop = shop
        self._most = running
        self._drain_s = drain_s
        self._tick_s = tick_s
        self._ready: dict[str, deque[Work]] = {}
        self._resting: set[Work] = set()
        self._running: dict[Work, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._by_tenant: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def add(self, entry: Entry) -> Work:
        """Take on a batch that is in the book."""
        work = self.works[entry.id] = Work(self._shop, entry)
        self._queue(work)
        return work

    async def cancel(self, work: Work) -> dict[str, object]:
        shown = await work.cancel()
        self._resting.discard(work)
        self._start()
        return shown

    def stop(self) -> None:
        """Begin nothing; a second call ends what is in flight, too."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Conduct what was added, and what will be."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            ticking = tasks.create_task(self._tick_on(), name="tick")
            self._start()
            try:
                await self._stopping.wait()
            finally:
                self._stopping.set()
            ticking.cancel()
            await self._drain()

    async def _drain(self) -> None:
        for work in self._running:
            work.pause()
        hurry = self._loop.create_task(self._hurry.wait(), name="hurry")
        settled = asyncio.gather(*self._running.values(), return_exceptions=True)
        either: set[asyncio.Future[Any]] = {hurry, settled}
        await asyncio.wait(either, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for task in list(self._running.values()):
            task.cancel()
        await settled

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            await self.tick()

    async def tick(self) -> None:
        """What is due by the clock: batches whose window is over, files whose time is."""
        for work in self.works.values():
            if work.check_time():
                self._resting.discard(work)
        self._start()
        now = self._shop.now
        try:
            gone = await self._shop.store.call(lambda book: rows.remove_expired(book, now))
        except OSError as error:
            say(f"expired files could not be removed: {error.strerror}")
            return
        if gone:
            await asyncio.to_thread(self._shop.places.remove_files, gone)

    def _queue(self, work: Work) -> None:
        self._resting.discard(work)
        if work.id in self.works and work not in self._running:
            waiting = self._ready.setdefault(work.tenant, deque())
            if work not in waiting:
                waiting.append(work)
            self._start()

    def _start(self) -> None:
        """Start what may run: what only has to be closed at once, of the rest so many, the tenant with the fewest first."""
        if self._stopping.is_set() or self._tasks is None:
            return
        busy = self._running.keys() | self._resting
        for work in [one for one in self.works.values() if one.leaving is not None and one not in busy]:
            self._begin(work)
        while self._ready:
            tenant = min(self._ready, key=lambda name: self._by_tenant[name])
            if self._by_tenant[tenant] and not self._room():
                return
            self._begin(self._ready[tenant][0])

    def _room(self) -> bool:
        """A few at a time end sooner and cost less than many; more only where those few no longer fill the slots."""
        if len(self._running) < min(FEW, self._most):
            return True
        enough = AHEAD * self._shop.house.throttle.limiter.limit
        return len(self._running) < self._most and sum(work.left for work in self._running) < enough

    def _begin(self, work: Work) -> None:
        waiting = self._ready.get(work.tenant)
        if waiting is not None:
            if work in waiting:
                waiting.remove(work)
            if not waiting:
                del self._ready[work.tenant]
        assert self._tasks is not None
        self._by_tenant[work.tenant] += 1
        self._running[work] = self._tasks.create_task(self._conduct(work), name=work.id)

    async def _conduct(self, work: Work) -> None:
        again_s: float | None = 0.0
        before = work.asked, work.answered
        try:
            again_s = await work.step()
        finally:
            self.answered += work.answered - before[1]
            self.failed += work.asked - before[0] - (work.answered - before[1])
            del self._running[work]
            self._by_tenant[work.tenant] -= 1
            if again_s is None:
                del self.works[work.id]
            elif not self._stopping.is_set():
                self._resting.add(work)
                self._loop.call_later(again_s, self._queue, work)
            self._start()
