"""A server that answers every request after a fixed time: `python -m benchmarks.peers.late_server MS`. Prints its port."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from functools import partial

import uvloop

from benchmarks.instant_server import Came, Connection
from benchmarks.peers.servers import completion


def reply() -> bytes:
    body = completion().encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    return head.encode("ascii") + body


async def serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Connection, reply(), latency_s, Came()), "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(float(sys.argv[1]) / 1000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
