"""One accepted connection: bytes in, bytes out, and the ways it can end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from .steps import How, Pause

_LINGER_0 = struct.pack("ii", 1, 0)


class GoneError(Exception):
    """The client left."""


@dataclass
class Connection:
    """What is known of one connection. `ended` is "" while open, else who or what ended it."""

    number: int
    opened_at: float = field(default_factory=time.monotonic)
    requests: int = 0
    received: int = 0
    ended: str = ""


class Wire(asyncio.Protocol):
    """Reads and writes of one connection; every wait ends with `GoneError` when the client leaves."""

    def __init__(self, record: Connection) -> None:
        self.record = record
        self.lost = asyncio.Event()
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        encrypted = transport.get_extra_info("ssl_object") is not None
        transport.set_write_buffer_limits(high=1 if encrypted else 0)  # with 0, asyncio's TLS never resumes

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.record.received += len(data)
        self._news.set()

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self.lost.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def receive(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    async def receive_until(self, mark: bytes) -> bytes:
        """Everything up to `mark`, which is left out."""
        while (at := self._buffer.find(mark)) < 0:
            await self._more()
        return self._take(at + len(mark))[: -len(mark)]

    async def received(self, size: int) -> None:
        """Waits until so many bytes came, without taking them."""
        while self.record.received < size:
            await self._more()

    async def send(self, data: bytes) -> None:
        """Returns when the kernel has all of `data`."""
        if self._gone.is_set() or self._transport is None:
            raise GoneError
        self._transport.write(data)
        await self._writable.wait()
        if self._gone.is_set():
            raise GoneError

    async def pause(self, pause: Pause) -> None:
        """Waits as the pause says, or until the client leaves."""
        if pause.until is not None:
            await self._wait_for(pause.until.wait())
        elif pause.seconds is None:
            await self._gone.wait()
        elif pause.seconds > 0:
            await self._wait_for(asyncio.sleep(pause.seconds))
        else:
            await asyncio.sleep(0)
        if self._gone.is_set():
            raise GoneError

    async def end(self, how: How) -> None:
        """Closes, resets, or stays silent until the client leaves."""
        if how == "hang":
            await self.pause(Pause())
        if self._transport is None:
            return
        if how == "rst":
            self.reset()
        else:
            self._transport.close()
        await self.lost.wait()

    def reset(self) -> None:
        """RST instead of FIN, and nothing that is still buffered."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self._transport.abort()

    def abort(self) -> None:
        """Gives the socket up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _more(self) -> None:
        if self._gone.is_set():
            raise GoneError
        self._news.clear()
        await self._news.wait()

    def _leave(self) -> None:
        self._gone.set()
        self._news.set()
        self._writable.set()

    async def _wait_for(self, waiting: Coroutine[Any, Any, object]) -> None:
        tasks: set[asyncio.Task[object]] = {
            asyncio.create_task(waiting),
            asyncio.create_task(self._gone.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def open_wire(sock: socket.socket, record: Connection, tls: ssl.SSLContext | None) -> Wire:
    """Takes an accepted socket over; with `tls` the handshake comes first."""
    loop = asyncio.get_running_loop()
    wire = Wire(record)
    shutdown_s = None if tls is None else 1.0
    await loop.connect_accepted_socket(lambda: wire, sock, ssl=tls, ssl_shutdown_timeout=shutdown_s)
    return wire
