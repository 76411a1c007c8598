"""The job's lines on their way to whichever worker has room: a few are held ready, so that no order waits for the disk."""

from __future__ import annotations

import asyncio
from collections import deque

from batchllm.engines.feed import RawFeeder
from batchllm.engines.ray_pool.custody import Custody
from batchllm.engines.ray_pool.wire import Unit, size_of, unit_of
from batchllm.errors import JobError
from batchllm.sources.job_file import Unread
from batchllm.types import Request

READY = 512
READY_BYTES = 16 << 20


class Supply:
    """Lines of lost workers first, then the job's. `more` is False once there are no lines but those that workers have."""

    def __init__(self, feeder: RawFeeder, custody: Custody, ready: int = READY) -> None:
        self._feeder = feeder
        self._custody = custody
        self._ready: deque[Unit] = deque()
        self._most = ready
        self._bytes = 0
        self._taken = asyncio.Event()
        self._ended = False

    @property
    def more(self) -> bool:
        return not self._ended or bool(self._ready) or bool(self._custody.waiting)

    async def fetch(self) -> None:
        """Keep lines ready until the job has no more. Raises the `JobError` that keeps it from being read."""
        try:
            while (request := await self._feeder.next()) is not None:
                unit = unit_of(request)
                self._ready.append(unit)
                self._bytes += size_of(unit)
                while len(self._ready) >= self._most or self._bytes >= READY_BYTES:
                    self._taken.clear()
                    await self._taken.wait()
        except JobError:
            self.drop()
            raise
        finally:
            self._ended = True

    def next(self) -> Unit | None:
        """The next unit; None if there is none at the moment."""
        unit = self._custody.next_waiting()
        if unit is None and self._ready:
            unit = self._ready.popleft()
            self._bytes -= size_of(unit)
            self._taken.set()
        return unit

    def put_back(self, unit: Unit) -> None:
        """A unit that the worker at hand may not send; it comes next."""
        self._ready.appendleft(unit)
        self._bytes += size_of(unit)

    def drop(self) -> None:
        """Nothing is handed over any more."""
        self._ready.clear()
        self._bytes = 0


class Begun:
    """A feeder whose first request was taken already."""

    def __init__(self, first: Request | tuple[Request, ...] | Unread, rest: RawFeeder) -> None:
        self._first: Request | tuple[Request, ...] | Unread | None = first
        self._rest = rest

    async def next(self) -> Request | tuple[Request, ...] | Unread | None:
        first, self._first = self._first, None
        return first if first is not None else await self._rest.next()
