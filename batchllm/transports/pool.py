"""Connections that wait for their next request, by whom they lead to."""

from __future__ import annotations

import asyncio
from functools import partial

from batchllm.transports.connection import Connection, Notice
from batchllm.transports.dialing import Origin

_TURNS_TO_CLOSE = 50


class Pool:
    """Has no limit of its own: the throttle is the only one, a second would queue requests inside their time bounds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, notice: Notice) -> None:
        self._loop = loop
        self._notice = notice
        self._open: set[Connection] = set()
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was used last, if one is young enough."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if not connection.closing and self._loop.time() < connection.idle_until:
                return connection
            connection.cancel()
        return None

    def new(self, origin: Origin) -> Connection:
        """One that is yet to be connected, and `add`ed then."""
        return Connection(partial(self.give, origin), partial(self._gone, origin), self._notice)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def give(self, origin: Origin, connection: Connection) -> None:
        connection.idle_until = self._loop.time() + connection.keepalive_s
        self._idle.setdefault(origin, {})[connection] = None
        if self._sweeping is None:
            self._sweeping = self._loop.call_at(connection.idle_until, self._sweep)

    async def close(self) -> None:
        """Cut every connection, and return when the loop has let go of them."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in self._open:
            connection.cancel()
        for _ in range(_TURNS_TO_CLOSE):
            if not self._open:
                break
            await asyncio.sleep(0)

    def _gone(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.get(origin, {}).pop(connection, None)

    def _sweep(self) -> None:
        now = self._loop.time()
        for idle in self._idle.values():
            for connection in [one for one in idle if one.idle_until <= now]:
                del idle[connection]
                connection.cancel()
        # Those of one origin stand in the order in which they end, or nearly: what ends later than told is seen by `take`.
        soonest = min((next(iter(idle)).idle_until for idle in self._idle.values() if idle), default=None)
        self._sweeping = None if soonest is None else self._loop.call_at(soonest, self._sweep)
