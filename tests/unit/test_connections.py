"""Connections of the default transport: opened in a controlled ramp, and left before their server leaves them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchllm.errors import Phase, TransportError
from batchllm.settings import Timeouts
from batchllm.transports import TransportOptions
from batchllm.transports.connection import KEEPALIVE_S, Connection
from batchllm.transports.dialing import DIALS, Origin
from batchllm.transports.httptools_transport import HttptoolsTransport
from batchllm.transports.incoming import Incoming
from batchllm.types import Call


class Tunnels(asyncio.Protocol):
    """A proxy that answers nothing until it is told to: all that time a connection through it is being opened."""

    def __init__(self, waiting: list[asyncio.Transport], came: asyncio.Event) -> None:
        self._waiting = waiting
        self._came = came

    def connection_made(self, transport: Any) -> None:
        self._waiting.append(transport)
        if len(self._waiting) == DIALS:
            self._came.set()


class Slow(asyncio.Protocol):
    """Notes which connection was asked, and when one is gone; somebody else answers."""

    def __init__(self, asked: list[asyncio.Transport], came: asyncio.Semaphore, gone: asyncio.Semaphore) -> None:
        self._asked = asked
        self._came = came
        self._gone = gone

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked.append(self._transport)
        self._came.release()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.release()


@pytest.mark.asyncio
async def test_only_so_many_connections_are_opened_at_a_time() -> None:
    waiting: list[asyncio.Transport] = []
    came, most = asyncio.Event(), 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Tunnels(waiting, came), "127.0.0.1", 0, backlog=1000)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    call = Call("https://127.0.0.1:1/v1/chat/completions", b"{}", {}, False)
    async with server, HttptoolsTransport(TransportOptions(Timeouts(), 1 << 20, 1000, proxy, None)) as transport:
        sending = [loop.create_task(transport.send(call)) for _ in range(3 * DIALS)]
        await asyncio.wait_for(came.wait(), 10)
        for _ in range(50):
            await asyncio.sleep(0)
        while not all(task.done() for task in sending):
            most = max(most, len(waiting))
            while waiting:
                waiting.pop().write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            await asyncio.sleep(0)
        failures = await asyncio.gather(*sending, return_exceptions=True)
        server.close()
    assert most == DIALS
    assert {failure.phase for failure in failures if isinstance(failure, TransportError)} == {Phase.CONNECT}
    assert len(failures) == 3 * DIALS


@pytest.mark.asyncio
async def test_a_connection_that_became_free_meanwhile_is_taken_instead_of_a_new_one() -> None:
    asked: list[asyncio.Transport] = []
    came, gone = asyncio.Semaphore(0), asyncio.Semaphore(0)

    def answer() -> None:
        asked[-1].write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Slow(asked, came, gone), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    call = Call(f"http://127.0.0.1:{port}/v1/chat/completions", b"{}", {}, False)
    async with HttptoolsTransport(TransportOptions(Timeouts(), 1 << 20, 1000)) as transport:
        first = loop.create_task(transport.send(call))
        await came.acquire()
        turn = transport._dialer.turn(Origin(False, "127.0.0.1", port))
        for _ in range(DIALS):
            await turn.acquire()
        second = loop.create_task(transport.send(call))
        await asyncio.sleep(0)
        answer()
        await first
        for _ in range(DIALS):
            turn.release()
        await came.acquire()
        answer()
        await second
        assert asked[0] is asked[1]
    await gone.acquire()
    server.close()


@pytest.mark.asyncio
async def test_waiting_for_ones_turn_is_not_a_slow_connection() -> None:
    loop = asyncio.get_running_loop()
    incoming = Incoming(loop, Timeouts(connect=1.0, total=500.0), 1 << 20, None)
    assert incoming.due - loop.time() > 400
    incoming.dialled()
    assert incoming.due - loop.time() <= 1.0


class Wire:
    """The other side of a connection as the loop sees it: takes what is written, and was told to close or not."""

    def __init__(self) -> None:
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"", KEEPALIVE_S),
        (b"Keep-Alive: timeout=5\r\n", KEEPALIVE_S),
        (b"Keep-Alive: timeout=75, max=100\r\n", KEEPALIVE_S),
        (b"Keep-Alive: timeout=3\r\n", 2.0),
        (b"keep-alive: max=7, TIMEOUT = 2\r\n", 1.0),
        (b"Keep-Alive: timeout=0\r\n", 0.0),
        (b"Keep-Alive: 300\r\n", KEEPALIVE_S),
    ],
)
async def test_a_connection_is_used_no_longer_than_its_server_keeps_it(header: bytes, seconds: float) -> None:
    kept: list[Connection] = []
    loop = asyncio.get_running_loop()
    connection = Connection(kept.append, lambda one: None, lambda due: None)
    connection.connection_made(Wire())  # type: ignore[arg-type]
    incoming = Incoming(loop, Timeouts(), 1 << 20, None)
    connection.ask(b"GET / HTTP/1.1\r\n\r\n", b"", incoming)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + header + b"\r\nok")
    assert kept == [connection]
    assert connection.keepalive_s == seconds
