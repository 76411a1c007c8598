"""One HTTP/1.1 connection: a request goes out in one write, its reply is parsed as it comes (llhttp, as in Node)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import httptools

from batchllm.errors import Phase
from batchllm.transports.incoming import Incoming

MAX_OVERHEAD = 1 << 18
"""Bytes of a reply that are no body (its head, trailers, the frames of its chunks), beside eight for each byte that is."""
COPIED = 1 << 16
"""A body up to this size goes out in one piece with its head; a larger one is not copied for that."""
_BODILESS = frozenset({204, 304})
KEEPALIVE_S = 4.0
"""Below the five seconds after which uvicorn (vLLM, SGLang) closes an idle connection: no request meets one closing."""
_TOLD = re.compile(r"timeout\s*=\s*(\d{1,9})", re.IGNORECASE | re.ASCII)


Notice = Callable[[float], None]


class Connection(asyncio.Protocol):
    """`idle` is called when a whole reply leaves it fit for the next, `lost` when it is gone.

    `notice` hears when a reply under way has to go on until.
    """

    def __init__(self, idle: Callable[[Connection], None], lost: Callable[[Connection], None], notice: Notice) -> None:
        self._idle = idle
        self._lost = lost
        self._notice = notice
        self._incoming: Incoming | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._fresh: list[bytes] = []
        self._overhead = self._status = 0
        self._whole = self._surplus = self._lasting = False
        self.keepalive_s = KEEPALIVE_S
        self.idle_until = 0.0

    # -- sending ---------------------------------------------------------------------------------------------------

    def ask(self, head: bytes, body: bytes, incoming: Incoming) -> None:
        """Send a request whose reply goes to `incoming`."""
        self._incoming = incoming
        incoming.carrier = self
        self._headers = {}
        self._overhead = self._status = 0
        self._whole = False
        incoming.sent()
        if len(body) > COPIED:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def cancel(self) -> None:
        """Give it up at once."""
        self._transport.abort()

    # -- what the loop tells ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        incoming = self._incoming
        if incoming is None:
            self._transport.abort()  # nobody asked: it would be taken for the next reply
            return
        sound = self._parsed(data)
        self._overhead += len(data)
        for piece in self._fresh:
            self._overhead -= 9 * len(piece)
            incoming.take(piece)
        self._fresh.clear()
        if self._whole:
            self._end(incoming, reusable=sound and not self._surplus)
        elif not sound:
            incoming.lost()
        elif self._overhead > MAX_OVERHEAD:
            incoming.fail(Phase.READ if incoming.status else Phase.SEND, "the reply's head has no end")
        if incoming.over.done():
            if self._incoming is not None:
                self._transport.abort()
        else:
            self._notice(incoming.due)

    def _parsed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return True

    def eof_received(self) -> None:
        incoming = self._incoming
        if incoming is not None and self._status and self._until_eof():
            self._end(incoming, reusable=False)

    def connection_lost(self, error: Exception | None) -> None:
        if self._incoming is not None:
            self._incoming.lost()
            self._incoming.carrier = None
            self._incoming = None
        self._lost(self)
        del self._parser  # it holds this connection, and this one it

    # -- what the parser tells -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._surplus = self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # afterwards they are trailers
            self._headers[_lower(name)] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self._headers = {}
            return
        if self._incoming is not None and not self._whole:
            self._status = status
            self._incoming.begin(status, self._headers)

    def on_body(self, data: bytes) -> None:
        if not self._whole:
            self._fresh.append(data)

    def on_message_complete(self) -> None:
        if self._status and not self._whole:
            self._whole = True
            self._lasting = self._parser.should_keep_alive()  # the parser forgets it with the message

    # -- ends ------------------------------------------------------------------------------------------------------

    def _until_eof(self) -> bool:
        """Whether only the connection's end ends this reply."""
        headers = self._headers
        if "transfer-encoding" in headers:
            return not headers["transfer-encoding"].lower().endswith("chunked")
        return "content-length" not in headers and self._status not in _BODILESS

    def _end(self, incoming: Incoming, *, reusable: bool) -> None:
        """The reply is whole; the connection goes back, if nothing speaks against it."""
        self._incoming = incoming.carrier = None
        incoming.whole()
        if (
            reusable
            and incoming.error is None
            and self._lasting
            and not self._transport.get_write_buffer_size()
            and not self._transport.is_closing()
        ):
            if "keep-alive" in self._headers:
                self.keepalive_s = _kept_s(self._headers["keep-alive"])
            self._idle(self)
        else:
            self._transport.abort()


@lru_cache(maxsize=256)
def _lower(name: bytes) -> str:
    """A header's name as a reply has it; the same few come with every reply."""
    return name.decode("latin-1").lower()


def _kept_s(told: str) -> float:
    """How long a connection may be used again, where the server says how long it keeps it: a second less than that."""
    found = _TOLD.search(told)
    if found is None:
        return KEEPALIVE_S
    seconds = int(found[1])
    return min(KEEPALIVE_S, seconds - 1.0 if seconds > 2 else seconds / 2)
