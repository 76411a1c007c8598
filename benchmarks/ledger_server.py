"""The instant endpoint with an outside ledger: a digest of each request, written before it is answered.

python -m benchmarks.ledger_server FILE [--latency MS]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from functools import partial
from hashlib import blake2b
from typing import cast

import uvloop

from benchmarks.instant_server import reply, request_end

DIGEST = 16
"""Bytes of each entry; the ledger is nothing but entries."""


class Noting(asyncio.Protocol):
    """Answers each request, after a while, and writes one entry for it first, in one `os.write`."""

    def __init__(self, answer: bytes, latency_s: float, ledger: int) -> None:
        self._answer = answer
        self._latency_s = latency_s
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := request_end(self._rest)) and len(self._rest) >= end:
            body = self._rest[self._rest.find(b"\r\n\r\n") + 4 : end]
            os.write(self._ledger, blake2b(body, digest_size=DIGEST).digest())
            self._rest = self._rest[end:]
            self._loop.call_later(self._latency_s, self._answer_now)

    def _answer_now(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)


async def serve(latency_s: float, path: str) -> None:
    ledger = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Noting, reply(), latency_s, ledger), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    os.close(ledger)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger_server", description="A constant endpoint with a ledger."
    )
    parser.add_argument("ledger", metavar="FILE")
    parser.add_argument("--latency", metavar="MS", type=float, default=100.0, help="before each answer (default: 100)")
    given = parser.parse_args()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.latency / 1000, given.ledger))
    return 0


if __name__ == "__main__":
    sys.exit(main())
