"""Hands the job's pending lines to the workers, a small batch at a time, read in a thread so that no disk stops the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from batchllm.sources.job_file import Unread
from batchllm.types import Request

E = TypeVar("E")


class Feeder(Protocol):
    """Hands out requests one by one, or several that are sent as one; None when there are no more."""

    async def next(self) -> Request | tuple[Request, ...] | None: ...


class RawFeeder(Protocol):
    """The same where lines may come as they stand in the job."""

    async def next(self) -> Request | tuple[Request, ...] | Unread | None: ...


class LineFeeder(Generic[E]):
    """Requests one by one, in the job's order. One batch is held at most; `next` gives None at the end, and ever after."""

    def __init__(self, batches: Iterator[Sequence[E]]) -> None:
        self._batches = batches
        self._ready: deque[E] = deque()
        self._ended = False
        self._refilling = asyncio.Lock()

    async def next(self) -> E | None:
        while not self._ready:
            if self._ended:
                return None
            async with self._refilling:
                if not self._ready and not self._ended:
                    batch = await asyncio.to_thread(next, self._batches, None)
                    self._ended = batch is None
                    self._ready.extend(batch or ())
        return self._ready.popleft()


class GivenFeeder:
    """Requests that are in memory already."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests

    async def next(self) -> Request | None:
        return next(self._requests, None)
