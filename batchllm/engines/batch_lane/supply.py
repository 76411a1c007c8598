"""What goes into the next batch: the follow-ups of batches that are applied first, then the job's lines."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable

from batchllm.engines.batch_lane.application import Application
from batchllm.engines.batch_lane.sheets import in_a_batch, line_id
from batchllm.engines.feed import Feeder
from batchllm.item import Item
from batchllm.journal.batches import BatchState
from batchllm.providers.batch_services import Service
from batchllm.types import Request


class Supply:
    """Hands out lines as items, each with the batch it follows or None.

    `owed` are applied batches whose follow-ups are still to be sent. `under_way` are the ids of lines that earlier runs
    have submitted, or that stand among the follow-ups: the job's reader brings them too. `sent_already` are, by batch, the
    follow-ups that earlier runs have sent. `left` counts lines that no batch
    can take (conversations, endpoints the service does not have): they stay pending.
    """

    def __init__(self, feeder: Feeder, service: Service, application: Application) -> None:
        self._feeder = feeder
        self._service = service
        self._application = application
        self._following: AsyncGenerator[tuple[Item, str], None] | None = None
        self._group: deque[Request] = deque()
        self._ended = False
        self._put_back: tuple[Item, str | None] | None = None
        self.owed: deque[BatchState] = deque()
        self.sent_already: dict[str, set[str]] = {}
        self.under_way: frozenset[str] = frozenset()
        self.left = 0

    def put_back(self, item: Item, after: str | None) -> None:
        """One item that found no room comes first the next time."""
        self._put_back = item, after

    async def next(self) -> tuple[Item, str | None] | None:
        """None where there is nothing more now: follow-ups may still come."""
        if self._put_back is not None:
            given, self._put_back = self._put_back, None
            return given
        while self.owed or self._following is not None:
            if self._following is None:
                self._following = self._follow_ups(self.owed.popleft())
            found = await anext(self._following, None)
            if found is not None:
                return found
            self._following = None
        request = await self._request()
        return None if request is None else (self._application.item(request, []), None)

    async def close(self) -> None:
        """Let go of the files that are being read."""
        if self._following is not None:
            await self._following.aclose()

    async def _follow_ups(self, state: BatchState) -> AsyncGenerator[tuple[Item, str], None]:
        async with self._application.files.follow_ups(state) as (ids, history):
            wanted = ids - self.sent_already.get(state.tag, set())
            async for batch in self._application.read(state, wanted):
                for request in batch:
                    yield self._application.item(request, history.of(line_id(request))), state.tag

    async def _request(self) -> Request | None:
        while True:
            while self._group:
                request = in_a_batch(self._group.popleft())
                if line_id(request) not in self.under_way and self._takes(request):
                    return request
            if self._ended:
                return None
            given = await self._feeder.next()
            self._ended = given is None
            if given is not None:
                self._group.extend(_each(given))

    def _takes(self, request: Request) -> bool:
        talks = request.extras is not None and bool(request.extras.turns)
        takes = not talks and request.url.endswith(self._service.endpoints)
        self.left += not takes
        return takes


def _each(given: Request | tuple[Request, ...]) -> Iterable[Request]:
    return given if isinstance(given, tuple) else (given,)
