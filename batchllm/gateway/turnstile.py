"""Who goes next: requests of all batches, and live ones, wait in one house with a door for each, over one throttle."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from operator import attrgetter

from batchllm.engines.gate import GateClosed
from batchllm.throttle import Throttle
from batchllm.throttle.fleet import NOBODY, Shunned

_FLYING = attrgetter("flying")
_Waiters = deque[tuple[asyncio.Future[None], float]]


class Turnstile:
    """Lets requests in as the throttle allows: live ones first, then the tenant with the fewest in flight, and of its
    batches the one with the fewest; where these are equal, in turn. Long requests so take no more than their share.
    """

    def __init__(self, throttle: Throttle) -> None:
        self.throttle = throttle
        self.loop = asyncio.get_running_loop()
        self.live = Doorway(self, Owner("live"))
        self._owners: dict[str, Owner] = {}
        self._waiting: deque[Owner] = deque()
        self.crowd = 0
        """How many wait, those among them who were cancelled and not yet passed over."""
        self._timer: asyncio.TimerHandle | None = None
        self._waking = False
        throttle.on_change = self.wake

    def door(self, tenant: str) -> Doorway:
        """A door for a batch of this tenant, to be closed when its run has ended."""
        owner = self._owners.setdefault(tenant, Owner(tenant))
        owner.open += 1
        return Doorway(self, owner)

    @property
    def shares(self) -> int:
        """Tenants among whom the slots are divided."""
        return max(1, sum(owner.open > 0 for owner in self._owners.values()))

    def closed(self, owner: Owner) -> None:
        owner.open -= 1
        if not owner.open and self._owners.get(owner.name) is owner:
            del self._owners[owner.name]

    def waits(self, door: Doorway) -> None:
        """Somebody waits at this door now."""
        if door is self.live:
            return
        owner = door.owner
        if door not in owner.waiting:
            owner.waiting.append(door)
        if owner not in self._waiting:
            self._waiting.append(owner)

    def wake_soon(self) -> None:
        """A slot is free. Not at once: the worker that left it may come back in this very step with its next line."""
        if not self._waking:
            self._waking = True
            self.loop.call_soon(self.wake)

    def before_all(self, door: Doorway) -> bool:
        """Whether this door has fewer in flight than everybody who waits, and so would be the next: who comes to it then
        need not stand in line, which costs more than all else here."""
        owner = door.owner
        return (
            not self.live.queued
            and not door.queued
            and all(other.flying > owner.flying for other in self._waiting if other is not owner)
            and all(other.flying > door.flying for other in owner.waiting if other is not door)
        )

    def wake(self) -> None:
        """Let in whoever may go now, and come back by timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waking = False
        now = self.loop.time()
        while (door := self._next()) is not None:
            queue = door.line()
            waiter, tokens = queue[0]
            wait = self.throttle.wait(now, tokens)
            if wait > 0:
                if wait != inf:
                    self._timer = self.loop.call_later(wait, self.wake)
                return
            queue.popleft()
            self.crowd -= 1
            self.throttle.sent(now, tokens)
            door.let_in()
            waiter.set_result(None)
            self._to_the_end(door)

    def _next(self) -> Doorway | None:
        if self.live.waiting:
            return self.live
        while self._waiting:
            owner = min(self._waiting, key=_FLYING) if len(self._waiting) > 1 else self._waiting[0]
            while owner.waiting:
                door: Doorway = min(owner.waiting, key=_FLYING) if len(owner.waiting) > 1 else owner.waiting[0]
                if door.waiting:
                    return door
                owner.waiting.remove(door)
            self._waiting.remove(owner)
        return None

    def _to_the_end(self, door: Doorway) -> None:
        owner = door.owner
        if len(owner.waiting) > 1:
            owner.waiting.remove(door)
            owner.waiting.append(door)
        if len(self._waiting) > 1 and owner in self._waiting:
            self._waiting.remove(owner)
            self._waiting.append(owner)

    def close(self) -> None:
        """Turn away whoever waits for a live request; the doors of batches are closed by their runs."""
        self.live.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Owner:
    """A tenant's share: the doors of its batches that are open, those where somebody waits, its requests in flight."""

    __slots__ = ("flying", "name", "open", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = self.flying = 0
        self.waiting: deque[Doorway] = deque()


class Doorway:
    """One batch's door: repeats before new lines, as at a `Gate`. No slot is held while waiting."""

    def __init__(self, house: Turnstile, owner: Owner) -> None:
        self.throttle = house.throttle
        self.owner = owner
        self.closed = False
        self.flying = 0
        self._house = house
        self._again: _Waiters = deque()
        self._new: _Waiters = deque()

    @property
    def width(self) -> int:
        """Every slot while nobody waits for one, else this batch's share and one more, to have a request at hand."""
        limit = self.throttle.limiter.limit
        if not self._house.crowd:
            return limit
        return min(limit, limit // (self._house.shares * max(1, self.owner.open)) + 1)

    async def enter(self, tokens: float = 0.0, *, again: bool = False, shunned: Shunned = NOBODY) -> None:
        """Wait until one request may go and count it as sent. Raises `GateClosed` once nothing more may.

        There is one endpoint here, so none is shunned, and it is the throttle that what becomes of it is told to.
        """
        if self.closed:
            raise GateClosed
        if not self._house.crowd or self._house.before_all(self):
            now = self._house.loop.time()
            if self.throttle.wait(now, tokens) <= 0:
                self.throttle.sent(now, tokens)
                self.let_in()
                return
        waiter = self._house.loop.create_future()
        (self._again if again else self._new).append((waiter, tokens))
        self._house.crowd += 1
        self._house.waits(self)
        self._house.wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                now = self._house.loop.time()
                self.throttle.cancelled(now, now)
                self.leave()
            raise

    def let_in(self) -> None:
        self.flying += 1
        self.owner.flying += 1

    def leave(self) -> None:
        """One that was let in has come to its end."""
        self.flying -= 1
        self.owner.flying -= 1
        if self._house.crowd:
            self._house.wake_soon()

    @property
    def waiting(self) -> bool:
        """Whether somebody waits here who was not cancelled meanwhile."""
        for queue in (self._again, self._new):
            while queue and queue[0][0].done():
                queue.popleft()
                self._house.crowd -= 1
        return bool(self._again or self._new)

    @property
    def queued(self) -> int:
        return len(self._again) + len(self._new)

    def line(self) -> _Waiters:
        """Whose turn it is at this door: repeats first, in an outage lines that have not failed yet."""
        if self._new and self.throttle.breaker.troubled:
            return self._new
        return self._again or self._new

    def close(self) -> None:
        """Turn everybody away, those who wait included."""
        if self.closed:
            return
        self.closed = True
        for queue in (self._again, self._new):
            while queue:
                waiter, _ = queue.popleft()
                self._house.crowd -= 1
                if not waiter.done():
                    waiter.set_exception(GateClosed())
        if self is not self._house.live:
            self._house.closed(self.owner)
