"""The server: accepts, reads whole requests, plays a script's steps byte by byte, and remembers it all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from .connection import Connection, GoneError, Wire, open_wire
from .exchange import answer, ending, read_request
from .ledger import Answer, Ledger
from .script import Request, Script, ScriptLike, echo
from .steps import Connect, How
from .tls import Tls, certificate, server_context

SERVE = Connect()
PLAIN_ON_TLS = Connect("fin", 1, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


class FaultServer:
    """Listens on 127.0.0.1 while its `async with` block lasts.

    `connect` says what happens to the first connections, in order; later ones are served. `elsewhere` is a
    second server on another origin (host `localhost`), to which redirects point: see its `requests`.
    """

    def __init__(
        self,
        script: ScriptLike = echo,
        *,
        connect: Sequence[Connect] = (),
        tls: Tls | None = None,
        ledger: Path | None = None,
        elsewhere: bool = True,
    ) -> None:
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.in_flight = 0
        self.peak_in_flight = 0
        self.elsewhere = FaultServer(elsewhere=False) if elsewhere else None
        self._play = Script.of(script).player()
        self._connect = tuple(connect)
        self._tls = tls
        self._ledger_path = ledger
        self._ledger = Ledger()
        self._port = 0
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return f"{self.origin}/v1"

    @property
    def _elsewhere_url(self) -> str:
        return f"http://localhost:{self.elsewhere._port}" if self.elsewhere else ""

    @property
    def ca_file(self) -> Path | None:
        """The certificate a client must trust, where there is one."""
        return certificate(self._tls) if self._tls is not None and self._tls != "plain" else None

    @property
    def calls(self) -> list[Request]:
        """Every whole POST request."""
        return [request for request in self.requests if request.method == "POST"]

    @property
    def answers(self) -> list[Answer]:
        """Every answer that ended, whole or not."""
        return self._ledger.answers

    @property
    def paid(self) -> list[Request]:
        """Requests whose 2xx answer was sent to its last byte."""
        return [answer.request for answer in self.answers if answer.paid]

    def gaps_s(self, text: str | None = None) -> list[float]:
        """Seconds between successive POSTs, of those with this last user message if one is given."""
        times = [request.at for request in self.calls if text is None or request.text == text]
        return [later - earlier for earlier, later in pairwise(times)]

    @property
    def deserted(self) -> bool:
        """Whether every connection has been served to its end: nobody's request is still on its way into `calls`."""
        return not self._tasks

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once the condition over this server's facts holds; only for the server's own loop."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """As `until`, for any other thread."""
        assert self._loop is not None
        bounded = asyncio.wait_for(self.until(condition), timeout_s)
        asyncio.run_coroutine_threadsafe(bounded, self._loop).result()

    async def listen(self) -> None:
        """Accepts connections, after `refuse` on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._listener), name="faultserver accept")

    async def refuse(self) -> None:
        """New connections are refused; open ones live on."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._listener is not None:
            self._listener.close()

    async def __aenter__(self) -> FaultServer:
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(self._ledger_path)
        await self.listen()
        if self.elsewhere is not None:
            await self.elsewhere.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ledger.close()
        if self.elsewhere is not None:
            await self.elsewhere.__aexit__(kind, error, trace)
        if self._failures and error is None:
            raise self._failures[0]

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            record = Connection(len(self.connections) + 1)
            self.connections.append(record)
            task = asyncio.create_task(self._connection(sock, record), name=f"faultserver {record.number}")
            self._tasks.add(task)
            task.add_done_callback(partial(self._finished, sock))

    def _finished(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        sock.close()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
        self._changed.set()

    async def _connection(self, sock: socket.socket, record: Connection) -> None:
        usual = PLAIN_ON_TLS if self._tls == "plain" else SERVE
        plan = self._connect[record.number - 1] if record.number <= len(self._connect) else usual
        secure = self._tls is not None and plan.action == "serve"
        self._changed.set()
        try:
            wire = await open_wire(sock, record, server_context(self._tls) if secure else None)
        except OSError:
            record.ended = "handshake"
            return
        await self._converse(wire, plan)

    async def _converse(self, wire: Wire, plan: Connect) -> None:
        record = wire.record
        try:
            await wire.received(plan.after_bytes)
            if plan.say:
                await wire.send(plan.say)
            how: How = await self._serve(wire) if plan.action == "serve" else plan.action
            record.ended = how
            self._changed.set()
            await wire.end(how)
        except GoneError:
            record.ended = record.ended or "client"
        finally:
            record.ended = record.ended or "server stopped"
            wire.abort()
            await wire.lost.wait()

    async def _serve(self, wire: Wire) -> How:
        while True:
            request = await read_request(wire)
            self.requests.append(request)
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            self._changed.set()
            step = self._play(request)
            try:
                await answer(wire, request, step, self._ledger, self._elsewhere_url, self._changed.set)
            finally:
                self.in_flight -= 1
                self._changed.set()
            if (how := ending(step)) != "keep":
                return how
