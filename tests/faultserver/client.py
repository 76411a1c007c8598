"""For tests of the server itself: a client that shows bytes as they come, and a loop that bounds them."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request_bytes(text: str = "hi", path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    """A small chat request."""
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    return b"%b %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        method.encode(),
        path.encode(),
        len(body),
        body,
    )


@asynccontextmanager
async def connected(url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Streams]:
    """A connection to the URL's host, closed with RST or FIN whatever became of it."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def ask(url: str, text: str = "hi", tls: ssl.SSLContext | None = None) -> bytes:
    """Everything that comes until the server ends the connection, which it must; resets raise."""
    async with connected(url, tls) as (reader, writer):
        writer.write(request_bytes(text))
        return await reader.read()


async def ask_on(streams: Streams, text: str = "hi") -> bytes:
    """One whole reply with a Content-Length on an open connection."""
    reader, writer = streams
    writer.write(request_bytes(text))
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(length))


def bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in its own loop: within 20 s, and without tasks or sockets left over."""

    async def checked(*args: Any, **facts: Any) -> None:
        async with asyncio.timeout(20):
            await test(*args, **facts)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @functools.wraps(test)
    def run(*args: Any, **facts: Any) -> None:
        asyncio.run(checked(*args, **facts))
        gc.collect()

    return run
