"""An endpoint that costs next to nothing: one fixed chat completion to every request, over keep-alive connections.

    python -m benchmarks.instant_server [--latency MS]

Prints its port, serves on 127.0.0.1 until its standard input closes, then prints what came as a line of JSON. It reads no
JSON: what a client costs against it is the client's own cost.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import orjson
import uvloop

ANSWER = (
    "Three oak shelves at 149.00 EUR each and a box of a hundred M8 hex bolts at 12.40 EUR are wanted by the 14th of March; "
    "the delivery address is the workshop in Lindau, and the invoice is to name order 4711."
)
COMPLETION = {
    "id": "chatcmpl-8f2c1d0a9b7e4c35",
    "object": "chat.completion",
    "created": 1735689600,
    "model": "instant",
    "choices": [
        {
            "index": 0, "message": {"role": "assistant", "content": ANSWER, "refusal": None}, "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 118, "completion_tokens": 56, "total_tokens": 174,
        "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 0},
    },
    "system_fingerprint": "fp_instant",
}  # fmt: skip


def reply() -> bytes:
    """The whole reply, header included: what a hosted endpoint sends, without its network."""
    body = orjson.dumps(COMPLETION)
    head = (
        "HTTP/1.1 200 OK\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\nServer: instant\r\n"
        "x-request-id: req_5b1e0c7f3a\r\n\r\n"
    )
    return head.encode("ascii") + body


@dataclass(slots=True)
class Came:
    """Connections that came, how many were open at most and at the end, how many came within one tenth of a second at most."""

    connections: int = 0
    open: int = 0
    open_most: int = 0
    burst: int = 0
    _tenth: int = 0
    _in_tenth: int = 0

    def one_more(self, now: float) -> None:
        self.connections += 1
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        tenth = int(now * 10)
        self._in_tenth = self._in_tenth + 1 if tenth == self._tenth else 1
        self._tenth = tenth
        self.burst = max(self.burst, self._in_tenth)


class Connection(asyncio.Protocol):
    """Answers each request once its last byte is there; requests may share a piece or come in several."""

    def __init__(self, answer: bytes, latency_s: float, came: Came) -> None:
        self._answer = answer
        self._latency_s = latency_s
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._came = came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._came.one_more(self._loop.time())

    def connection_lost(self, error: Exception | None) -> None:
        self._came.open -= 1

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := request_end(self._rest)) and len(self._rest) >= end:
            self._rest = self._rest[end:]
            if self._latency_s:
                self._loop.call_later(self._latency_s, self._transport.write, self._answer)
            else:
                self._transport.write(self._answer)


def request_end(data: bytes) -> int:
    """Where the first request in `data` ends; 0 while its header is not whole."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    name = data.lower().find(b"content-length:", 0, head)
    return head + 4 + (int(data[name + 15 : data.index(b"\r", name)]) if name >= 0 else 0)


async def serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    came = Came()
    server = await loop.create_server(partial(Connection, reply(), latency_s, came), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    print(orjson.dumps({name: value for name, value in asdict(came).items() if name[0] != "_"}).decode(), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instant_server", description="A constant endpoint.")
    parser.add_argument("--latency", metavar="MS", type=float, default=0.0, help="milliseconds before each answer (default: 0)")
    latency_ms: float = parser.parse_args().latency
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(latency_ms / 1000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
