"""The near end: the only reader of the job and the only writer of its journal, for any number of workers.

Each worker has a conversation: an order (lines, shares of the limits, what is safe in the journal), and a report (requests that
went out, what came of them). So every promise of the journal is kept here, and a worker can be lost at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any

from batchllm import __version__
from batchllm.billing import Charge
from batchllm.engines.engine import Means
from batchllm.engines.feed import Feeder
from batchllm.engines.ray_pool import losses
from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.desk import Desk, Place
from batchllm.engines.ray_pool.hands import BlinkError, Crew, Hand, LostError
from batchllm.engines.ray_pool.intake import Intake
from batchllm.engines.ray_pool.limits import Limits
from batchllm.engines.ray_pool.slowing import scaled
from batchllm.engines.ray_pool.supply import Supply
from batchllm.engines.ray_pool.wire import Ended, Hello, Kit, Order, Report, Share, Slowdown, Unit, request_of, size_of
from batchllm.errors import ExitCode, JobError
from batchllm.item import Item
from batchllm.steps import Done
from batchllm.throttle import Throttle
from batchllm.throttle.limiter import START
from batchllm.types import Json, Request

NOTHING = Charge("no")
WAIT_S = 1.0
HUNGRY_S = 0.05
"""How long a report may wait for something to tell; less where a worker has room and there was no line for it."""
LOST_S = 30.0
"""Without a report for so long a worker counts as lost; it has begun nothing new for half of that (`worker.UNHEARD_S`)."""
BLINK_S = 0.5
START_S = 120.0
STARTS = 3
"""Workers that may fail to start, one after the other with none at work, before the run ends."""
BACKOFF_MAX_S = 30.0
ABORT_S = 4.0
AHEAD = 1.25
AHEAD_LEAST = 4
"""Lines a worker has, for each request it may have in flight, so that it need not wait for the next order."""
ORDER_BYTES = 4 << 20


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
        return sum(desk.in_flight for desk in self._desks.values())

    def figures(self) -> Json:
        """Under `ray`: each worker's requests, and what was lost on the way."""
        if not self._places:
            return {}
        return {"ray": {**self._intake.figures(), "workers": [place.as_json() for place in self._places]}}

    # -- workers -------------------------------------------------------------------------------------------------------

    async def _work(self, feeder: Feeder) -> None:
        first = await feeder.next()
        if first is None:
            return
        self._supply = Supply(_Begun(first, feeder), self._custody, 2 * self.throttle.limiter.cap)
        size = await self._crew.open(self._means.settings.workers)
        self._places += [Place(number) for number in range(1, size + 1)]
        self._start = -(-START // size)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                running = [self._tasks.create_task(self._fetch(), name="fetch")]
                running += [self._tasks.create_task(self._serve(place), name=f"worker-{place.number}") for place in self._places]
                await self._over.wait()
                for task in (*running, *self._beside):
                    task.cancel()
        finally:
            for desk in self._desks.values():
                if desk.hand is not None:
                    desk.hand.dismiss()
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
                await self._begin(desk)
                failures = 0
                again = await self._converse(desk)
            except LostError as lost:
                failures += not desk.begun
                self._lost(desk, str(lost))
                if failures >= STARTS and not self._anybody():
                    self.stop(JobError(ExitCode.UNAVAILABLE, f"no worker could be started on the Ray cluster: {lost}"))
                await asyncio.sleep(min(2.0**failures - 1, BACKOFF_MAX_S))
            else:
                self._leave(desk)
                if not again:
                    return

    def _anybody(self, but: Desk | None = None) -> bool:
        return any(desk.begun for desk in self._desks.values() if desk is not but)

    async def _begin(self, desk: Desk) -> None:
        """Start a worker and see that it would make the same requests as this process."""
        elsewhere = self._means.elsewhere
        assert elsewhere is not None
        endings, throttle = self._means.endings, self.throttle
        kit = Kit(elsewhere.recipe, endings.where, endings.key_hint, self._start, throttle.gradient is not None)
        try:
            async with asyncio.timeout(START_S):
                desk.hand = await self._crew.hire()
                hello = await desk.hand.begin(kit, elsewhere.secrets)
        except TimeoutError:
            raise LostError(f"the cluster had no room for it within {START_S:.0f} s") from None
        desk.place.node, desk.place.started = hello.node, desk.place.started + 1
        problem = self._unfit(hello)
        if problem is not None:
            self.stop(problem)
        desk.begun = True

    def _unfit(self, hello: Hello) -> JobError | None:
        if hello.error is not None:
            return hello.error.error
        if hello.version != __version__:
            return JobError(
                ExitCode.USAGE,
                f"{hello.node} has batchllm {hello.version}, this is {__version__}: install the same version on every node",
            )
        if hello.settings_digest != self._means.route.settings_digest:
            return JobError(ExitCode.USAGE, f"on {hello.node} the settings come to other requests than here: are its files the same?")
        return None

    # -- a worker's conversation -------------------------------------------------------------------------------------

    async def _converse(self, desk: Desk) -> bool:
        """Orders and reports until the worker's pool has ended; whether another one is to take its place.

        Raises `LostError`.
        """
        while True:
            report = await self._answer(desk, self._next_order(desk))
            await self._take(desk, report)
            if report.ended is not None:
                return self._after(desk, report, report.ended)

    def _next_order(self, desk: Desk) -> Order:
        now = self._loop.time()
        desk.share = share = self._limits.share(desk.number, self._needs(now), now)
        units, hungry = ((), False) if self._stopping else self._units(desk, share)
        slow, desk.slow = desk.slow, None
        forget, desk.forget = tuple(desk.forget), []
        desk.order += 1
        return Order(
            desk.order, desk.taken, share, units, forget, slow, HUNGRY_S if hungry else WAIT_S, self._stopping, self._aborting
        )

    def _needs(self, now: float) -> dict[int, float]:
        """Lines each worker could have in flight; without bound while there are lines that nobody has."""
        desks = [desk for desk in self._desks.values() if desk.expected(now)]
        if self._supply.more:
            return dict.fromkeys((desk.number for desk in desks), inf)
        return {desk.number: float(self._custody.count(desk.number)) for desk in desks}

    def _units(self, desk: Desk, share: Share) -> tuple[tuple[Unit, ...], bool]:
        """What goes to the worker now, and whether it has room for more than there is."""
        room = int(share.cap * AHEAD) + AHEAD_LEAST - self._custody.count(desk.number) if share.cap else 0
        units: list[Unit] = []
        size = 0
        while room > 0 and size < ORDER_BYTES:
            unit = self._supply.next()
            if unit is None:
                return tuple(units), self._supply.more
            if self._limits.counts_tokens and not self._limits.fits(share, self._tokens(unit)):
                self._supply.put_back(unit)
                break
            self._custody.hand(desk.number, unit)
            units.append(unit)
            room -= len(unit)
            size += size_of(unit)
        return tuple(units), False

    def _tokens(self, unit: Unit) -> float:
        route = self._means.route
        return sum(Item(route, replace(request_of(line), extras=None)).token_estimate() for line in unit)

    async def _answer(self, desk: Desk, order: Order) -> Report:
        """The report to this order. An order that may not have come through is sent again, and counts once."""
        hand = desk.hand
        assert hand is not None
        deadline = self._loop.time() + LOST_S
        while True:
            asking = self._loop.create_task(hand.exchange(order))
            try:
                await asyncio.wait({asking}, timeout=deadline - self._loop.time())
                if not asking.done():
                    desk.belated = True
                    self._start_beside(self._belated(desk, hand, asking))
                    raise LostError(f"it said nothing for {LOST_S:.0f} s")
                return asking.result()
            except asyncio.CancelledError:
                asking.cancel()
                raise
            except BlinkError as blink:
                if self._loop.time() >= deadline - BLINK_S:
                    raise LostError(str(blink)) from None
                await asyncio.sleep(BLINK_S)

    async def _belated(self, desk: Desk, hand: Hand, asking: asyncio.Task[Report]) -> None:
        """What a worker that was given up still tells: it was paid for. It begins nothing new."""
        try:
            while True:
                report = await asking
                await self._take(desk, report)
                if report.ended is not None:
                    return
                asking = self._loop.create_task(hand.exchange(Order(desk.order, desk.taken, desk.share, wait_s=WAIT_S, stop=True)))
        except (LostError, BlinkError):
            return
        finally:
            asking.cancel()
            hand.dismiss()

    def _tell(self, desk: Desk) -> None:
        if desk.begun and desk.hand is not None:
            self._start_beside(_told(desk.hand, desk.word(stop=self._stopping, abort=self._aborting)))

    def _start_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _after(self, desk: Desk, report: Report, ended: Ended) -> bool:
        """The worker's pool has come to its end: for all of us, or for it alone."""
        if self._stopping:
            return False
        if ended.unheard:
            raise LostError("it was cut off")
        error = ended.error
        if error is None:
            raise LostError("its pool ended by itself")
        if ended.dry:
            if self._anybody(but=desk):
                return False
            if self._limits.could_have_more(desk.number, report):
                return True
            error = self._limits.reached()
        elif error.exit_code is ExitCode.UNAVAILABLE and self._anybody(but=desk):
            return False  # only this node does not reach the endpoint
        self.stop(error)
        return False

    # -- what comes in -------------------------------------------------------------------------------------------------

    async def _take(self, desk: Desk, report: Report) -> None:
        """Everything a report tells, to the journal first; then what it says of the worker itself."""
        steps = self._intake.take(desk, report)
        desk.in_flight, desk.limit, desk.parked = report.in_flight, report.limit, report.parked
        if desk.number in self._desks:
            self._limits.confirm(desk.number, report, self._loop.time())
            self._show()
        if report.slow is not None:
            self._slow_others(desk, report.slow)
        for step in steps:
            await self._conclude(step)
        self._check()

    async def _conclude(self, step: Done) -> None:
        one = losses.answered(losses.light(step.record.line), NOTHING)
        ending = self._means.endings.after(step, one, self.throttle, self._loop.time())
        if ending is not None and not self._stopping:
            self.stop(ending)
        if self._means.outlet.deliver is not None:
            await self._means.outlet.deliver(step)

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
        if desk.hand is not None and not desk.belated:
            desk.hand.dismiss()
        self._show()
        self._check()

    def _check(self) -> None:
        """Whether all is done, or as much as there will be."""
        if self._stopping:
            ended = not self._anybody()
        else:
            ended = not self._supply.more and not len(self._custody)
        if ended:
            self._over.set()


class _Begun:
    """A feeder whose first request was taken already."""

    def __init__(self, first: Request | tuple[Request, ...], rest: Feeder) -> None:
        self._first: Request | tuple[Request, ...] | None = first
        self._rest = rest

    async def next(self) -> Request | tuple[Request, ...] | None:
        first, self._first = self._first, None
        return first if first is not None else await self._rest.next()


async def _told(hand: Hand, word: Order) -> None:
    with suppress(LostError, BlinkError):  # the exchange under way tells the same
        await hand.tell(word)
