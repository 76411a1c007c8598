"""Opening connections: names looked up once a minute, addresses tried side by side, a proxy only where one is named, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from ipaddress import ip_address
from typing import TypeVar

import aiohappyeyeballs
from yarl import URL

NAMES_KEPT_S = 60.0
NEXT_ADDRESS_S = 0.25
"""How long an address has to itself before the next one is tried beside it (RFC 8305)."""
_LONGEST_ANSWER = 1 << 14
DIALS = 64
"""Connections to one origin that are being opened at a time: many servers let 100 wait to be accepted, and drop the rest."""

Addresses = Sequence[aiohappyeyeballs.AddrInfoType]
Made = TypeVar("Made", bound=asyncio.Protocol)


class ProxyRefusedError(OSError):
    """The proxy answered, and opened no tunnel."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is spoken to: connections to the same origin can be used for each other."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Origin:
        """Raises ValueError for a URL that names no host or is not http(s)."""
        if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
            raise ValueError("no http(s) URL")
        return cls(url.scheme == "https", url.raw_host, url.port)


class Dialer:
    """Raises `socket.gaierror` for a name that is not found, `ssl.SSLError` for a handshake, OSError for the rest."""

    def __init__(self, proxy: str | None, ca_file: str | None) -> None:
        """Raises ValueError for a proxy that is not spoken to by plain http."""
        self._proxy = None if proxy is None else URL(proxy)
        if self._proxy is not None and (self._proxy.scheme != "http" or not self._proxy.raw_host):
            raise ValueError("the proxy must be given as http://host:port for this transport")
        self._ca_file = ca_file
        self._names = _Names()
        self._turns: defaultdict[Origin, asyncio.Semaphore] = defaultdict(partial(asyncio.Semaphore, DIALS))

    def turn(self, origin: Origin) -> asyncio.Semaphore:
        """To be held while a connection to `origin` is opened."""
        return self._turns[origin]

    @property
    def proxied(self) -> bool:
        return self._proxy is not None

    @property
    def proxy_authorization(self) -> str | None:
        proxy = self._proxy
        if proxy is None or proxy.user is None:
            return None
        return "Basic " + b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def dial(self, origin: Origin, protocol: Callable[[], Made]) -> Made:
        """A new connection to `origin`, ready to be written to."""
        peer = origin if self._proxy is None else Origin.of(self._proxy)
        sock = await aiohappyeyeballs.start_connection(
            await self._names.addresses(peer.host, peer.port), happy_eyeballs_delay=NEXT_ADDRESS_S
        )
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._proxy is not None and origin.secure:
                await self._tunnel(sock, origin)
            context, host = (self._context, origin.host) if origin.secure else (None, None)
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(protocol, sock=sock, ssl=context, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        return made

    async def _tunnel(self, sock: socket.socket, origin: Origin) -> None:
        """Ask the proxy for a tunnel. It sends nothing of its own after its answer: the first word in a tunnel is ours."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
        if self.proxy_authorization is not None:
            lines.append(f"Proxy-Authorization: {self.proxy_authorization}")
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, "\r\n".join([*lines, "\r\n"]).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            data = await loop.sock_recv(sock, 4096)
            answer += data
            if not data or len(answer) > _LONGEST_ANSWER:
                raise ProxyRefusedError("the proxy broke off")
        status = answer.split(b" ", 2)[1:2]
        if not answer.startswith(b"HTTP/1.") or status != [b"200"]:
            raise ProxyRefusedError("the proxy opened no tunnel")


class _Names:
    """Looks a name up once for everybody who asks at the same time, and again after a minute.

    Where a name is suddenly not found, the addresses it last had are as good as any.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, Addresses]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[Addresses]] = {}

    async def addresses(self, host: str, port: int) -> Addresses:
        if (numeric := _numeric(host, port)) is not None:
            return numeric
        key = host, port
        loop = asyncio.get_running_loop()
        known = self._known.get(key)
        if known is not None and loop.time() < known[0]:
            return known[1]
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = loop.create_task(self._look_up(host, port), name=f"look up {host}")
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            found = await asyncio.shield(asked)
        except socket.gaierror:
            if known is None:
                raise
            found = known[1]
        self._known[key] = loop.time() + NAMES_KEPT_S, found
        return found

    async def _look_up(self, host: str, port: int) -> Addresses:
        try:
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        finally:
            del self._asked[host, port]


def _numeric(host: str, port: int) -> Addresses | None:
    """The address that a host in numbers is: no thread is needed to look it up."""
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return None
    where = (host, port, 0, 0) if family == socket.AF_INET6 else (host, port)
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]
