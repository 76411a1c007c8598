"""A stop that a test opens from any thread, and at which it can see the server arrive."""

from __future__ import annotations

import asyncio
import threading


class Gate:
    """Closed until `open()`; then open for good. `arrivals` counts how often a server came to it."""

    def __init__(self) -> None:
        self.arrivals = 0
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Lets everyone through, now and later."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        """Returns once the gate is open."""
        event = asyncio.Event()
        with self._lock:
            if self._is_open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()
