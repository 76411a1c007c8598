"""`--lane auto`: batches first; what is not back in time for the live pool to finish before the deadline is done live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from batchllm.endings import seconds_until
from batchllm.engines.batch_lane.lane import BatchLane
from batchllm.engines.batch_lane.timing import LivePool, live_in
from batchllm.engines.engine import Means
from batchllm.engines.exchange import Outlet
from batchllm.engines.feed import Feeder, LineFeeder
from batchllm.engines.local import LocalPool, pool
from batchllm.errors import ExitCode, JobError
from batchllm.reports.summary import live_rate
from batchllm.steps import Asked, Done
from batchllm.types import Json, Request


class Lanes:
    """The two lanes one after the other. `deadline` is in the loop's time."""

    def __init__(self, means: Means, deadline: float, live: LivePool) -> None:
        self._means = means
        self._deadline = deadline
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._batch = BatchLane(means, takes_over=self._takes_over)
        self._pool: LocalPool | None = None
        self._handed = bytearray()
        self._count = LiveCount()
        self.throttle = means.throttle

    async def run(self, feeder: Feeder) -> None:
        watched = _Handing(feeder, self._handed)
        try:
            await self._batch.run(watched)
        except JobError as ending:
            if ending.exit_code != ExitCode.TRY_LATER or not self._batch.may_go_live:
                raise
        if not self._means.pending():
            return
        outlet = self._means.outlet
        counting = Outlet(self._count.counts(outlet.done, self._loop.time), outlet.note, outlet.deliver)
        self._count.began = self._loop.time()
        self._pool = pool(replace(self._means, outlet=counting))
        await self._pool.run(_Chain((LineFeeder(self._rest()), watched)))

    def _rest(self) -> Iterator[list[Request]]:
        """What the batches were given and did not bring back. Blocking."""
        handed = self._handed
        return self._means.lines(lambda line: line < len(handed) and bool(handed[line]))

    def _takes_over(self) -> float:
        left = self._deadline - self._loop.time()
        return live_in(left, self._means.pending(), self._live, cancelling=True)

    def stop(self, ending: JobError | None = None) -> None:
        (self._pool or self._batch).stop(ending)

    @property
    def in_flight(self) -> int:
        return (self._pool or self._batch).in_flight

    @property
    def parked(self) -> int:
        return self._pool.parked if self._pool is not None else 0

    def figures(self) -> Json:
        """What each lane answered, and what it cost."""
        lanes: Json = {"lanes": self._batch.figures().get("lanes", {})}
        lanes["lanes"]["live"] = self._count.facts(self._loop.time())
        return lanes


class LiveCount:
    """What the live pool of one run has answered."""

    def __init__(self) -> None:
        self.began: float | None = None
        self._answered = self._failed = 0
        self._cost: float | None = 0.0
        self._last = 0.0

    def counts(self, done: Callable[[Done, Asked], None], clock: Callable[[], float]) -> Callable[[Done, Asked], None]:
        """The same, counted."""

        def counted(step: Done, item: Asked) -> None:
            done(step, item)
            ok = sum(one.ok for one in step.records)
            self._answered += ok
            self._failed += len(step.records) - ok
            usd = item.last.usd
            self._cost = None if usd is None or self._cost is None else self._cost + usd
            self._last = clock()

        return counted

    def facts(self, now: float) -> Json:
        seconds = (self._last - self.began) if self.began is not None and self._last else 0.0
        done = self._answered + self._failed
        return {
            "answered": self._answered,
            "failed": self._failed,
            "cost_usd": None if self._cost is None else round(self._cost, 6),
            "lines_per_s": round(done / seconds, 3) if seconds > 0 else None,
        }


class _Handing:
    """Notes which lines it has handed out."""

    def __init__(self, feeder: Feeder, handed: bytearray) -> None:
        self._feeder = feeder
        self._handed = handed

    async def next(self) -> Request | tuple[Request, ...] | None:
        given = await self._feeder.next()
        for one in given if isinstance(given, tuple) else () if given is None else (given,):
            missing = one.line + 1 - len(self._handed)
            if missing > 0:
                self._handed.extend(bytes(missing))
            self._handed[one.line] = 1
        return given


class _Chain:
    """One feeder after the other."""

    def __init__(self, feeders: tuple[Feeder, ...]) -> None:
        self._feeders = list(feeders)

    async def next(self) -> Request | tuple[Request, ...] | None:
        while self._feeders:
            given = await self._feeders[0].next()
            if given is not None:
                return given
            self._feeders = self._feeders[1:]
        return None


def lanes(means: Means) -> Lanes:
    """The engine for the table; `refuse_lane` has seen that there is a deadline."""
    settings = means.settings
    assert settings.until is not None
    left = seconds_until(settings.until, datetime.now())
    measured = live_rate(means.folder)
    live = LivePool.reckoned(measured, settings.most_in_flight, settings.rpm)
    return Lanes(means, asyncio.get_running_loop().time() + left, live)
