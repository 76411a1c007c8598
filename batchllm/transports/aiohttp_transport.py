"""Sending with aiohttp: one session, every bound on time and size; no redirects, retries, cookies, proxies by chance."""

from __future__ import annotations

import asyncio
import errno
import ssl
from functools import lru_cache
from io import BytesIO
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.types import Call, Reply

if TYPE_CHECKING:
    from batchllm.settings import Timeouts
    from batchllm.transports import TransportOptions

KEEPALIVE_S = 4.0
"""Below the five seconds after which uvicorn (vLLM, SGLang) closes an idle connection: no request meets one closing."""
DNS_CACHE_S = 60
_LARGE = 1 << 20
"""A body above this aiohttp wants as a file: it is written in pieces then, and other requests go on meanwhile."""
_LOCAL_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})


class AiohttpTransport:
    """A `Transport` over one aiohttp session.

    aiohttp's own timers come to four a request and are the costliest thing it does. Here one timer stands for all
    requests in flight, at the earliest of their bounds; a bound that has moved away by then is seen when it rings.
    """

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._bounds = options.timeouts
        self._flying: set[_Attempt] = set()
        self._look_at = inf
        self._timer: asyncio.TimerHandle | None = None
        self._url = lru_cache(256)(_url)

    async def __aenter__(self) -> Self:
        options, bounds = self._options, self._bounds
        context = ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True
        connector = aiohttp.TCPConnector(
            limit=0,  # the throttle is the only limiter: a second one would queue requests inside their time bounds
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=DNS_CACHE_S,
            ssl=context,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=bounds.connect, sock_connect=bounds.connect),
            headers={"Accept-Encoding": "gzip", "User-Agent": "batchllm"},
            auto_decompress=True,
            read_bufsize=1 << 18,
        )
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._session.close()

    async def abort(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # a reply that is here already is taken
        for attempt in self._flying:  # aiohttp tells those in the midst of a body nothing
            attempt.cut = attempt.expired = True
            attempt.due = inf
            attempt.task.cancel()

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        attempt = _Attempt(self._loop.time(), self._bounds)
        self._flying.add(attempt)
        if attempt.due < self._look_at:
            self._watch(attempt.due)
        try:
            return await self._exchange(call, feed, attempt)
        except asyncio.CancelledError:
            if attempt.expired and attempt.task.uncancel() <= attempt.cancelling:
                raise self._mapped(ConnectionAbortedError() if attempt.cut else TimeoutError(), attempt) from None
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if attempt.expired:
                attempt.task.uncancel()
            raise self._mapped(error, attempt) from None
        finally:
            self._flying.discard(attempt)

    async def _exchange(self, call: Call, feed: Feed | None, attempt: _Attempt) -> Reply:
        response = await self._session.request(
            call.method,
            self._url(call.url),
            data=call.body if 0 < len(call.body) <= _LARGE else BytesIO(call.body) if call.body else None,
            headers=call.headers,
            allow_redirects=False,
            proxy=self._options.proxy,
        )
        try:
            attempt.status = response.status
            attempt.headers = {name.lower(): value for name, value in response.headers.items()}
            if feed is not None and not 200 <= response.status < 300:
                feed = None
            await self._read(response.content, feed, attempt)
        except BaseException:
            response.close()
            raise
        return Reply(
            attempt.status,
            attempt.headers,
            b"".join(attempt.pieces) if len(attempt.pieces) != 1 else attempt.pieces[0],
            self._loop.time() - attempt.started,
            attempt.ttft_s,
        )

    async def _read(self, content: aiohttp.StreamReader, feed: Feed | None, attempt: _Attempt) -> None:
        """Read to the end, which is mostly here already. At its end aiohttp gives the connection back by itself."""
        loop, silence = self._loop, self._bounds.silence
        cap = self._options.max_response
        if content.is_eof():
            data = content.read_nowait()
            if data:
                attempt.take(data, feed, loop, cap)
            if content.at_eof():
                return
        attempt.due = min(loop.time() + silence, attempt.end)
        if attempt.due < self._look_at:
            self._watch(attempt.due)
        while data := await content.readany():
            if attempt.take(data, feed, loop, cap):
                attempt.due = min(loop.time() + silence, attempt.end)

    def _watch(self, when: float) -> None:
        """Set the one timer to an earlier time."""
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._look_at, self._timer = inf, None
        for attempt in self._flying:
            if attempt.due <= now:
                # Not at once: a reply that came in this same turn is paid for, and its task is yet to take it.
                self._loop.call_soon(self._expire, attempt)
        later = min((one.due for one in self._flying if one.due > now), default=inf)
        if later != inf:
            self._watch(later)

    def _expire(self, attempt: _Attempt) -> None:
        if attempt not in self._flying:
            return
        if attempt.due <= self._loop.time():
            attempt.expired = True
            attempt.due = inf
            attempt.task.cancel()
        elif attempt.due < self._look_at:
            self._watch(attempt.due)

    def _mapped(self, error: Exception, attempt: _Attempt) -> TransportError:
        elapsed = self._loop.time() - attempt.started
        phase, message = self._phase(error, attempt, elapsed)
        return TransportError(
            phase, message, partial=b"".join(attempt.pieces), status=attempt.status, headers=attempt.headers, elapsed_s=elapsed
        )

    def _phase(self, error: Exception, attempt: _Attempt, elapsed: float) -> tuple[Phase, str]:
        bounds = self._bounds
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Phase.CONNECT, f"no connection within {bounds.connect:g} s"
        if isinstance(error, TimeoutError):
            if elapsed >= bounds.total * 0.999:
                return Phase.TOTAL, f"not finished within {bounds.total:g} s"
            if not attempt.status:
                return Phase.FIRST_BYTE, f"no reply within {bounds.first_byte:g} s"
            return Phase.SILENCE, f"the reply fell silent for {bounds.silence:g} s"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return Phase.DNS, f"the host name {error.host} was not found"
        if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
            return Phase.CERTIFICATE, "the server's TLS certificate cannot be verified"
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            return Phase.TLS, "the TLS handshake failed"
        if isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
            return Phase.LOCAL, f"this machine has run out of something: {error.strerror}"
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError):
            return Phase.CONNECT, "the connection was refused or failed"
        if isinstance(error, aiohttp.InvalidURL):
            return Phase.CERTIFICATE, "the endpoint's address is no valid URL"
        if not attempt.status:
            return Phase.SEND, "the connection was lost before the reply began"
        return Phase.READ, "the reply broke off"


def _url(text: str) -> URL:
    try:
        return URL(text)
    except ValueError:
        raise aiohttp.InvalidURL(text) from None


class _Attempt:
    """What has come of one reply so far; survives the exception that ends it. `due` is when it has taken too long."""

    __slots__ = (
        "cancelling", "cut", "due", "end", "expired", "headers", "pieces", "size", "started", "status", "task", "ttft_s",
    )  # fmt: skip

    def __init__(self, started: float, bounds: Timeouts) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.cancelling = task.cancelling()
        self.expired = self.cut = False
        self.started = started
        self.end = started + bounds.total
        self.due = min(started + bounds.first_byte, self.end)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.size = 0
        self.ttft_s: float | None = None

    def take(self, data: bytes, feed: Feed | None, loop: asyncio.AbstractEventLoop, cap: int) -> bool:
        """Keep a piece; True if it was payload, so that silence is counted from it."""
        self.pieces.append(data)
        self.size += len(data)
        if self.size > cap:
            raise TransportError(
                Phase.TOO_LARGE,
                f"the reply is larger than {cap:,} bytes (sizes.response)",
                partial=b"".join(self.pieces)[: 1 << 16],
                status=self.status,
                headers=self.headers,
                elapsed_s=loop.time() - self.started,
            )
        if feed is None:
            return not data.isspace()
        payload = feed(data)
        if payload and self.ttft_s is None:
            self.ttft_s = loop.time() - self.started
        return payload
