"""Starting a worker, and seeing that it would make the same requests as this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchllm.engines.engine import Elsewhere, Means
from batchllm.engines.ray_pool.desk import Desk
from batchllm.engines.ray_pool.hands import Crew, Hand, LostError, NoRoomError
from batchllm.engines.ray_pool.talking import unfit
from batchllm.engines.ray_pool.wire import Kit
from batchllm.errors import ExitCode, JobError
from batchllm.throttle.limiter import START

START_S = 120.0
STARTS = 3
"""Workers that may fail to start, one after the other with none at work, before the run ends."""


class Hiring:
    """Hires workers of a crew, `size` at a time, all with the same kit. `stop` is told of what no other worker would be free of."""

    def __init__(self, means: Means, elsewhere: Elsewhere, crew: Crew, size: int, stop: Callable[[JobError], None]) -> None:
        endings = means.endings
        auto, whole = means.throttle.gradient is not None, means.outlet.answered is None
        self._kit = Kit(elsewhere.recipe, endings.where, endings.key_hint, -(-START // size), auto, whole, size)
        self._secrets = elsewhere.secrets
        self._digest = means.route.settings_digest
        self._crew = crew
        self._stop = stop

    async def begin(self, desk: Desk) -> Hand:
        """A worker for this desk, ready for its first order. Raises `LostError` where there is none."""
        try:
            async with asyncio.timeout(START_S):
                desk.hand = await self._crew.hire()
                hello = await desk.hand.begin(self._kit, self._secrets)
        except TimeoutError:
            raise NoRoomError(f"the Ray cluster had no room for a worker within {START_S:.0f} s") from None
        desk.place.node, desk.place.started = hello.node, desk.place.started + 1
        desk.place.in_flight = 0
        problem = unfit(hello, self._digest)
        if problem is not None:
            self._stop(problem)
            raise LostError(str(problem))
        desk.begun = True
        return desk.hand

    def failed(self, lost: LostError, failures: int) -> None:
        """Nobody is at work: whether there is any use in trying again."""
        if isinstance(lost, NoRoomError):
            self._stop(JobError(ExitCode.TRY_LATER, str(lost)))
        elif failures >= STARTS:
            self._stop(JobError(ExitCode.UNAVAILABLE, f"no worker could be started on the Ray cluster: {lost}"))
