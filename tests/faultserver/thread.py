"""Servers for tests that have no loop of their own: in a thread, or no server at all."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .script import ScriptLike
from .server import FaultServer

_Ready = tuple[asyncio.AbstractEventLoop, asyncio.Event]


@contextmanager
def run_in_thread(script: ScriptLike | FaultServer) -> Iterator[FaultServer]:
    """Serves on a thread while the block lasts; read its lists freely, wait with `wait_until`.

    For more than a script, hand over a server: `run_in_thread(FaultServer(script, ledger=path))`.
    """
    server = script if isinstance(script, FaultServer) else FaultServer(script)
    ready: queue.SimpleQueue[_Ready | None] = queue.SimpleQueue()
    with concurrent.futures.ThreadPoolExecutor(1, "faultserver") as pool:
        serving = pool.submit(asyncio.run, _serve(server, ready))
        serving.add_done_callback(lambda _: ready.put(None))
        begun = ready.get()
        if begun is None:
            serving.result()
            raise RuntimeError("the server ended before it began")
        loop, stop = begun
        try:
            yield server
        finally:
            if not serving.done():
                loop.call_soon_threadsafe(stop.set)
        serving.result()


@contextmanager
def refused() -> Iterator[str]:
    """A base URL whose port nobody listens on, and nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


async def _serve(server: FaultServer, ready: queue.SimpleQueue[_Ready | None]) -> None:
    stop = asyncio.Event()
    async with server:
        ready.put((asyncio.get_running_loop(), stop))
        await stop.wait()
