"""An endpoint that streams one fixed chat completion, a chunk to each reader in turn, and costs next to nothing.

    python -m benchmarks.stream_server [--chunks 100] [--tick MS]

Prints its port, serves on 127.0.0.1 until its standard input closes. With a tick every open stream gets one chunk each so
many milliseconds, in a write of its own, as tokens come from a model; without one a whole stream is one write, which a
client may read in one piece.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from typing import Any, cast

import orjson
import uvloop

from benchmarks.instant_server import request_end

WORDS = ("Three ", "oak ", "shelves ", "at ", "149.00 ", "EUR ", "each ", "are ", "wanted ", "by ", "March. ")
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nServer: instant\r\nx-request-id: req_5b1e0c7f3a\r\n\r\n"
)
USAGE = {
    "prompt_tokens": 118, "completion_tokens": 56, "total_tokens": 174,
    "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip


def pieces(chunks: int) -> list[bytes]:
    """The stream as it is written: `chunks` events with `data`, the last two of them the finish and the usage, then the end."""
    words = [_chunk({"content": WORDS[number % len(WORDS)]}) for number in range(chunks - 2)]
    events = [*words, _chunk({}, "stop"), {**_chunk(None), "usage": USAGE}]
    data = [b"data: " + orjson.dumps(event) + b"\n\n" for event in events]
    data[-1] += b"data: [DONE]\n\n"
    framed = [b"%x\r\n%s\r\n" % (len(one), one) for one in data]
    framed[0] = HEAD + framed[0]
    framed[-1] += b"0\r\n\r\n"
    return framed


def _chunk(delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-8f2c1d0a9b7e4c35", "object": "chat.completion.chunk", "created": 1735689600, "model": "instant",
        "system_fingerprint": "fp_instant", "choices": [] if delta is None else [choice], "usage": None,
    }  # fmt: skip


class Streams:
    """Every open stream, and how far each has come. One timer serves them all."""

    def __init__(self, stream: list[bytes], tick_s: float) -> None:
        self._stream = stream
        self._whole = b"".join(stream)
        self._tick_s = tick_s
        self._open: dict[asyncio.Transport, int] = {}
        self._ticking = False

    def begin(self, transport: asyncio.Transport) -> None:
        if not self._tick_s:
            transport.write(self._whole)
            return
        self._open[transport] = 0
        if not self._ticking:
            self._ticking = True
            self._later()

    def forget(self, transport: asyncio.Transport) -> None:
        self._open.pop(transport, None)

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        for transport, at in list(self._open.items()):
            transport.write(self._stream[at])
            if at + 1 < len(self._stream):
                self._open[transport] = at + 1
            else:
                del self._open[transport]
        self._ticking = bool(self._open)
        if self._ticking:
            self._later()


class Connection(asyncio.Protocol):
    """Begins a stream once a request's last byte is there."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := request_end(self._rest)) and len(self._rest) >= end:
            self._rest = self._rest[end:]
            self._streams.begin(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.forget(self._transport)


async def serve(chunks: int, tick_s: float) -> None:
    loop = asyncio.get_running_loop()
    streams = Streams(pieces(chunks), tick_s)
    server = await loop.create_server(lambda: Connection(streams), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_server", description="A constant stream.")
    parser.add_argument("--chunks", metavar="N", type=int, default=100, help="events in a stream (default: 100)")
    parser.add_argument("--tick", metavar="MS", type=float, default=0.0, help="between the chunks of a stream (default: 0)")
    given = parser.parse_args()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.chunks, given.tick / 1000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
