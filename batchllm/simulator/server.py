"""The endpoint on a socket: routes, waits and sends. What is answered is decided in `desk.py`."""

import asyncio
from asyncio import Task
from collections.abc import Callable
from random import Random
from typing import Any, Self

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from batchllm.simulator import wire
from batchllm.simulator.batch_desk import BatchDesk
from batchllm.simulator.batch_routes import BatchRoutes, is_batch_path
from batchllm.simulator.desk import Desk
from batchllm.simulator.file_store import FileStore
from batchllm.simulator.ledger import Ledger
from batchllm.simulator.options import SimulatorOptions
from batchllm.simulator.reply import CREATED, Reply

_ROUTES = (
    ("/chat/completions", "chat"),
    ("/completions", "completions"),
    ("/embeddings", "embeddings"),
    ("/responses", "responses"),
    ("/moderations", "moderations"),
    ("/models", "models"),
    ("/health", "health"),
    ("/simulator/stats", "stats"),
)
"""By how a path ends, so that each prefix works: /v1, /compatible-mode/v1, /openai/deployments/NAME."""
_READS = frozenset({"models", "health", "stats"})
_GRACE_S = 0.25


class Simulator:
    """A simulated endpoint on the running loop.

    async with Simulator(SimulatorOptions()) as simulator:
        simulator.base_url  # "http://127.0.0.1:<port>/v1"
    """

    def __init__(self, options: SimulatorOptions | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.options = options or SimulatorOptions()
        self._host, self._port = host, port
        self._listening: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._loop, self._clock = loop, loop.time
        self._desk = Desk(self.options, loop.time())
        self._files = FileStore()
        self._batches = BatchDesk(self.options, loop.time, self._files, self._note)
        self._batch_routes = BatchRoutes(self._desk, self._batches, self._files, loop.time)
        self._requests, self._statuses, self._most_in_flight = 0, dict[int, int](), 0
        self._server = Server(
            self._handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=self.options.keep_alive_s,
        )
        self._ledger = Ledger(self.options.ledger) if self.options.ledger else None
        try:
            self._listening = await loop.create_server(self._server, self._host, self._port, backlog=4096)
        except OSError:
            self._close_ledger()
            raise
        self._port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening, gives what is being answered a moment, and drops the rest."""
        if self._listening is None:
            return
        self._listening.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_GRACE_S)
        await self._listening.wait_closed()
        await self._batches.close()
        self._close_ledger()

    def _note(self, record: dict[str, Any]) -> None:
        if self._ledger:
            self._ledger.note(record)

    def _close_ledger(self) -> None:
        if self._ledger:
            self._ledger.close()

    @property
    def stats(self) -> dict[str, Any]:
        """Requests by status (0: none was sent), answers made, the most in flight at once; files, batches and lines in batches."""
        return {
            "requests": self._requests,
            "served": self._desk.served,
            "statuses": dict(self._statuses),
            "in_flight": self._desk.admission.in_flight,
            "most_in_flight": self._most_in_flight,
            "files": self._files.made,
            "batches": self._batches.created,
            "batch_lines": self._batches.lines,
        }

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "Task[None]",
    ) -> BaseRequest:
        limit = self.options.max_body_bytes
        return BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=limit)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        if is_batch_path(request.path):
            return await self._batch_routes.answer(request, self._key(request))
        endpoint = _endpoint(request.path)
        if endpoint is None or endpoint in _READS:
            return wire.whole(self._read_only(endpoint, request.path))
        if "Expect" in request.headers and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            raw = await request.read()
        except HTTPRequestEntityTooLarge:
            return wire.whole(self._desk.refused("too_large", self._clock()))
        self._requests += 1
        admission = self._desk.admission
        reply = self._desk.answer(endpoint, raw, self._clock(), self._key(request), request.headers.get("X-Request-Tag"))
        admission.in_flight += 1
        self._most_in_flight = max(self._most_in_flight, admission.in_flight)
        try:
            return await self._send(request, reply)
        except ConnectionError:  # the client went away: nothing to log
            return wire.Broken()
        finally:
            admission.in_flight -= 1

    async def _send(self, request: BaseRequest, reply: Reply) -> StreamResponse:
        pace = self.options.latency
        if not pace.none and reply.status == 200:
            pace = pace.drawn(Random(reply.pace))
            await asyncio.sleep(pace.whole_s(reply.tokens) if reply.frames is None else pace.first_s())
        if reply.record:
            self._note(reply.record)
        self._statuses[reply.status] = self._statuses.get(reply.status, 0) + 1
        match reply.fault:
            case "hang":
                return await wire.hang(request, self.options.hang_s)
            case "reset":
                return wire.reset(request, reply)
            case "truncated":
                return wire.truncated(request, reply)
        if reply.frames is None:
            return wire.whole(reply)
        return await wire.streamed(request, reply, reply.frames, pace)

    def _read_only(self, endpoint: str | None, path: str) -> Reply:
        _, found, name = path.partition("/models/")
        if found and name in self.options.models:
            return self._desk.listed(_model(name))
        if endpoint == "models":
            return self._desk.listed({"object": "list", "data": list(map(_model, self.options.models))})
        if endpoint is None:
            return self._desk.refused("not_found", self._clock(), "Unknown request URL.")
        return self._desk.listed(self.stats if endpoint == "stats" else {"status": "ok"})

    def _key(self, request: BaseRequest) -> str | None:
        """The API key, from the dialect's header or as a bearer token."""
        value = request.headers.get(self._desk.dialect.key_header) or request.headers.get("authorization")
        return value.removeprefix("Bearer ") if value else None


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "batchllm-simulator"}


def _endpoint(path: str) -> str | None:
    path = path.rstrip("/")
    return next((name for end, name in _ROUTES if path.endswith(end)), None)


async def serve(
    options: SimulatorOptions,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until cancelled. `ready` is called once with the base URL when connections are accepted."""
    async with Simulator(options, host, port) as simulator:
        if ready is not None:
            ready(simulator.base_url)
        await asyncio.Event().wait()
