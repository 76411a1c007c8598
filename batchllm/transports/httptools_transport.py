"""Sending over connections of our own, parsed by httptools: a fifth of the CPU of a general client, with the same bounds."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from yarl import URL

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.transports import TransportOptions
from batchllm.transports.connection import Connection
from batchllm.transports.dialing import Dialer, Origin
from batchllm.transports.incoming import Incoming
from batchllm.transports.pool import Pool
from batchllm.transports.watch import Watch
from batchllm.types import Call, Reply

_LOCAL_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
_OURS = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "batchllm"}
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADS_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Head:
    """A request without its length and body. `headers` are those of the call it was made for."""

    origin: Origin
    headers: dict[str, str]
    data: bytes


class HttptoolsTransport:
    """A `Transport` that speaks HTTP/1.1: one write and mostly one read for a request, one timer for all in flight."""

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._heads: dict[tuple[str, str], _Head] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(self._options.proxy, self._options.ca_file)
        self._watch: Watch[Incoming] = Watch(self._loop)
        self._pool = Pool(self._loop, self._watch.notice)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.abort()
        self._watch.close()

    async def abort(self) -> None:
        for incoming in tuple(self._watch.flying):
            incoming.lost()
        await self._pool.close()

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        head = self._head(call)
        options, watch = self._options, self._watch
        incoming = Incoming(self._loop, options.timeouts, options.max_response, feed)
        watch.flying.add(incoming)
        connection = self._pool.take(head.origin)
        if connection is not None:
            connection.ask(_with_length(head, call), call.body, incoming)
        else:
            incoming.carrier = self._loop.create_task(self._dial(head, call, incoming), name="dial")
        watch.notice(incoming.due)
        try:
            await incoming.over
            return incoming.outcome()
        finally:
            watch.flying.discard(incoming)
            if incoming.carrier is not None:
                incoming.carrier.cancel()

    async def _dial(self, head: _Head, call: Call, incoming: Incoming) -> None:
        """Open a connection, when it is this request's turn to, and send the request over it."""
        try:
            async with self._dialer.turn(head.origin):
                connection = self._pool.take(head.origin) or await self._opened(head.origin, incoming)
            if connection.closing:
                return
            if incoming.over.done():
                self._pool.give(head.origin, connection)
            else:
                connection.ask(_with_length(head, call), call.body, incoming)
                self._watch.notice(incoming.due)
        except (OSError, ValueError) as error:
            incoming.fail(*_told(error, head.origin))
        finally:
            if not incoming.connected:
                incoming.lost()

    async def _opened(self, origin: Origin, incoming: Incoming) -> Connection:
        incoming.dialled()
        self._watch.notice(incoming.due)
        connection = await self._dialer.dial(origin, partial(self._pool.new, origin))
        if not connection.closing:
            self._pool.add(connection)
        return connection

    def _head(self, call: Call) -> _Head:
        """The head of a call, made once for all calls with the same address and headers."""
        key = call.method, call.url
        kept = self._heads.get(key)
        if kept is not None and kept.headers == call.headers:
            return kept
        try:
            url = URL(call.url)
            origin = Origin.of(url)
            data = self._head_bytes(call, url, origin)
        except ValueError:
            raise TransportError(Phase.CERTIFICATE, "the endpoint's address is no valid URL, or a header is none") from None
        while len(self._heads) >= _HEADS_KEPT:
            del self._heads[next(iter(self._heads))]
        made = self._heads[key] = _Head(origin, dict(call.headers), data)
        return made

    def _head_bytes(self, call: Call, url: URL, origin: Origin) -> bytes:
        plain_proxy = self._dialer.proxied and not origin.secure
        target = f"http://{url.host_port_subcomponent}{url.raw_path_qs}" if plain_proxy else url.raw_path_qs
        headers = {"Host": url.host_port_subcomponent or "", **_OURS}
        if plain_proxy and self._dialer.proxy_authorization is not None:
            headers["Proxy-Authorization"] = self._dialer.proxy_authorization
        return f"{call.method} {target} HTTP/1.1\r\n{_lines(headers, call.headers)}".encode()


def _lines(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Header lines; `theirs` win. Raises ValueError for what would not stay one line."""
    named = {name.lower(): (name, value) for name, value in (*ours.items(), *theirs.items())}
    for name, value in named.values():
        if not _NAME.fullmatch(name) or _NO_VALUE.search(value):
            raise ValueError("no header")
    return "".join(f"{name}: {value}\r\n" for key, (name, value) in named.items() if key not in _FRAMING)


def _with_length(head: _Head, call: Call) -> bytes:
    if not call.body and call.method == "GET":
        return head.data + b"\r\n"
    return b"%sContent-Length: %d\r\n\r\n" % (head.data, len(call.body))


def _told(error: Exception, origin: Origin) -> tuple[Phase, str]:
    """What a connection failed at, and the sentence for it."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return Phase.DNS, f"the host name {origin.host} was not found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Phase.CERTIFICATE, "the server's TLS certificate cannot be verified"
    if isinstance(error, ssl.SSLError):
        return Phase.TLS, "the TLS handshake failed"
    if isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
        return Phase.LOCAL, f"this machine has run out of something: {error.strerror}"
    return Phase.CONNECT, "the connection was refused or failed"
