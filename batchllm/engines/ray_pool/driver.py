"""The near end: the only reader of the job and the only writer of its journal, for any number of workers.

Each worker has a conversation: an order (lines, shares of the limits, what is safe in the journal), and a report (requests that
went out, what came of them). So every promise of the journal is kept here, and a worker can be lost at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from batchllm.billing import Charge
from batchllm.engines.engine import Means
from batchllm.engines.feed import Feeder, RawFeeder
from batchllm.engines.ray_pool import losses
from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.desk import Desk, Place
from batchllm.engines.ray_pool.hands import BlinkError, Crew, Hand, LostError
from batchllm.engines.ray_pool.hiring import Hiring
from batchllm.engines.ray_pool.intake import Intake
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.orders import WAIT_S, Orders
from batchllm.engines.ray_pool.parting import parted
from batchllm.engines.ray_pool.slowing import scaled
from batchllm.engines.ray_pool.supply import Begun, Supply
from batchllm.engines.ray_pool.talking import SilentError, answer, tell
from batchllm.engines.ray_pool.wire import Ended, Order, Report, Slowdown
from batchllm.errors import ExitCode, JobError
from batchllm.steps import Done
from batchllm.throttle import Throttle
from batchllm.types import Json

NO_ITEM = losses.answered(losses.light(0), Charge("no"))
BACKOFF_MAX_S = 30.0
ABORT_S = 4.0
LAST_S = 15.0


class RayPool:
    """Runs every request of a feeder to its record, by workers of a crew. See `engines.engine.Engine` for its use."""

    def __init__(self, means: Means, crew: Crew) -> None:
        self._means = means
        self._crew = crew
        self.throttle: Throttle = means.throttle
        self.parked = 0
        self.ending: JobError | None = None
        self._loop = asyncio.get_running_loop()
        self._custody = Custody()
        self._limits = Limits(means.throttle, means.budget)
        self._desks: dict[int, Desk] = {}
        self._places: list[Place] = []
        self._hired = 0
        self._stopping = self._aborting = False
        self._over = asyncio.Event()
        self._intake = Intake(means, self._custody, self._limits, self._desks)
        self._beside: set[asyncio.Task[None]] = set()

    # -- the engine's face -------------------------------------------------------------------------------------------

    async def run(self, feeder: Feeder) -> None:
        await self.forward(feeder)

    async def forward(self, feeder: RawFeeder) -> None:
        work = self._loop.create_task(self._work(feeder), name="ray-pool")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await self._abort(work)
            raise
        if self.ending is not None:
            raise self.ending

    async def _abort(self, work: asyncio.Task[None]) -> None:
        """Have every worker cut its connections, and take what it still tells."""
        self._aborting = True
        self.stop()
        await asyncio.wait({work}, timeout=ABORT_S)
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()

    def stop(self, ending: JobError | None = None) -> None:
        if self.ending is None:
            self.ending = ending
        self._stopping = True
        for desk in self._desks.values():
            self._tell(desk)
        self._check()

    @property
    def in_flight(self) -> int:
        return sum(desk.in_flight for desk in tuple(self._desks.values()))

    def figures(self) -> Json:
        """Under `ray`: each worker's requests, and what was lost on the way."""
        return {"ray": {**self._intake.figures(), "workers": self.workers()}} if self._places else {}

    def workers(self) -> list[Json]:
        return [place.as_json() for place in self._places]

    # -- workers -------------------------------------------------------------------------------------------------------

    async def _work(self, feeder: RawFeeder) -> None:
        means, elsewhere = self._means, self._means.elsewhere
        assert elsewhere is not None
        first = await feeder.next()
        if first is None:
            return
        self._supply = Supply(Begun(first, feeder), self._custody, 2 * self.throttle.limiter.cap)
        self._orders = Orders(means.route, elsewhere.rereading, self._supply, self._custody, self._limits, self._desks)
        size = await self._crew.open(means.settings.workers)
        self._places += [Place(number) for number in range(1, size + 1)]
        self._hiring = Hiring(means, elsewhere, self._crew, size, self.stop)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                running = [self._tasks.create_task(self._fetch(), name="fetch")]
                running.append(self._tasks.create_task(self._watch(), name="watch"))
                running += [
                    self._tasks.create_task(self._serve(place), name=f"worker-{place.number}") for place in self._places
                ]
                await self._over.wait()
                for task in (*running, *self._beside):
                    task.cancel()
        finally:
            for desk in self._desks.values():
                desk.place.in_flight = None
                if desk.hand is not None:
                    desk.hand.dismiss()
            self._desks.clear()
            await self._crew.close()

    async def _fetch(self) -> None:
        try:
            await self._supply.fetch()
        except JobError as error:
            self.stop(error)
        self._check()

    async def _serve(self, place: Place) -> None:
        """One worker after the other, until the run is over or this place is given up."""
        failures = 0
        while not self._stopping:
            self._hired += 1
            desk = self._desks[self._hired] = Desk(self._hired, place, self._loop.time())
            try:
                hand = await self._hiring.begin(desk)
                failures = 0
                again = await self._converse(desk, hand)
            except LostError as lost:
                failures += not desk.begun
                self._lost(desk, str(lost))
                if not self._anybody():
                    self._hiring.failed(lost, failures)
                await asyncio.sleep(min(2.0**failures - 1, BACKOFF_MAX_S))
            else:
                self._leave(desk)
                if not again:
                    return

    async def _watch(self) -> None:
        """Where the cluster goes, what is in flight has a moment to end."""
        why = await self._crew.gone()
        self.stop(JobError(ExitCode.UNAVAILABLE, why))
        await asyncio.sleep(LAST_S)
        self._aborting = True
        for desk in self._desks.values():
            self._tell(desk)
        await asyncio.sleep(ABORT_S)
        self._over.set()

    def _anybody(self, but: Desk | None = None) -> bool:
        return any(desk.begun for desk in self._desks.values() if desk is not but)

    # -- a worker's conversation -------------------------------------------------------------------------------------

    async def _converse(self, desk: Desk, hand: Hand) -> bool:
        """Orders and reports until the worker's pool has ended; whether another one is to take its place.

        Raises `LostError`.
        """
        while True:
            order = self._orders.next(desk, self._loop.time(), stop=self._stopping, abort=self._aborting)
            try:
                report = await answer(hand, order)
            except SilentError as silent:
                desk.belated = True
                self._start_beside(self._belated(desk, hand, silent.asking))
                raise
            await self._take(desk, report)
            if report.ended is not None:
                return self._after(desk, report, report.ended)

    async def _belated(self, desk: Desk, hand: Hand, asking: asyncio.Task[Report]) -> None:
        """What a worker that was given up still tells: it was paid for. It begins nothing new."""
        try:
            while True:
                report = await asking
                await self._take(desk, report)
                if report.ended is not None:
                    return
                asking = self._loop.create_task(
                    hand.exchange(Order(desk.order, desk.taken, desk.share, wait_s=WAIT_S, stop=True))
                )
        except (LostError, BlinkError):
            return
        finally:
            asking.cancel()
            hand.dismiss()

    def _tell(self, desk: Desk) -> None:
        if desk.begun and desk.hand is not None:
            self._start_beside(tell(desk.hand, desk.word(stop=self._stopping, abort=self._aborting)))

    def _start_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _after(self, desk: Desk, report: Report, ended: Ended) -> bool:
        """The worker's pool has come to its end: for all of us, or for it alone."""
        if self._stopping:
            return False
        found = parted(ended, report, desk.number, self._limits, alone=not self._anybody(but=desk))
        if isinstance(found, JobError):
            self.stop(found)
            return False
        return found

    # -- what comes in -------------------------------------------------------------------------------------------------

    async def _take(self, desk: Desk, report: Report) -> None:
        """Everything a report tells, to the journal first; then what it says of the worker itself."""
        steps = self._intake.take(desk, report)
        desk.in_flight, desk.limit, desk.parked = report.in_flight, report.limit, report.parked
        if desk.number in self._desks:
            desk.place.in_flight = report.in_flight
            self._limits.confirm(desk.number, report, self._loop.time())
            self._show()
        if report.slow is not None:
            self._slow_others(desk, report.slow)
        self._judge(steps)
        if self._means.outlet.deliver is not None:
            for step in steps:
                await self._means.outlet.deliver(step)
        self._check()

    def _judge(self, steps: list[Done]) -> None:
        """Whether lines are refused alike from the first one on: no worker sees enough of them to tell."""
        endings, now = self._means.endings, self._loop.time()
        for step in steps:
            ending = endings.after(step, NO_ITEM, self.throttle, now)
            if ending is not None and not self._stopping:
                self.stop(ending)

    def _slow_others(self, desk: Desk, slow: Slowdown) -> None:
        """A refusal met by one worker slows all."""
        for other in self._desks.values():
            if other is not desk and other.begun:
                other.slows(scaled(slow, other.share.cap / max(1, desk.share.cap)))
                self._tell(other)

    def _show(self) -> None:
        """What progress, series and watchers look at."""
        limiter, desks = self.throttle.limiter, self._desks.values()
        limiter.in_flight = sum(desk.in_flight for desk in desks)
        limiter.limit = sum(desk.limit for desk in desks)
        self.parked = sum(desk.parked for desk in desks)

    # -- ends ------------------------------------------------------------------------------------------------------------

    def _lost(self, desk: Desk, why: str) -> None:
        self._intake.lost(desk, why)
        self._leave(desk)

    def _leave(self, desk: Desk) -> None:
        """The worker takes no further part; what it had is for others."""
        self._intake.returned(desk)
        self._limits.release(desk.number, self._loop.time())
        self._desks.pop(desk.number, None)
        desk.place.in_flight = None
        if desk.hand is not None and not desk.belated:
            desk.hand.dismiss()
        self._show()
        self._check()

    def _check(self) -> None:
        """Whether all is done, or as much as there will be."""
        done = not self._stopping and not self._supply.more and not len(self._custody)
        if done or (self._stopping and not self._anybody()):
            self._over.set()
