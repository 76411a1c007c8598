"""What has come of one reply so far: its bounds on time and size, and what is kept of it where it breaks off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.transports.unpacking import DamagedError, Unpacker
from batchllm.types import Reply

if TYPE_CHECKING:
    from batchllm.settings import Timeouts

KEPT_OF_TOO_LARGE = 1 << 16


class Carrier(Protocol):
    """What works for a reply, and is given up with it: the task that opens its connection, then the connection."""

    def cancel(self) -> object: ...


class Incoming:
    """One reply, from before its connection to its end. `over` is set when it is whole or has failed, then `outcome` tells.

    `due` is when it has taken too long: for its connection, its first byte, its next payload, or as a whole.
    """

    __slots__ = (
        "_bounds", "_cap", "_feed", "_loop", "_size", "_unpacker", "carrier", "connected", "due", "end", "error", "headers",
        "over", "pieces", "started", "status", "ttft_s",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: Timeouts, cap: int, feed: Feed | None) -> None:
        self._loop = loop
        self._bounds = bounds
        self._cap = cap
        self._feed = feed
        self._size = 0
        self._unpacker: Unpacker | None = None
        self.over: asyncio.Future[None] = loop.create_future()
        self.error: TransportError | None = None
        self.carrier: Carrier | None = None
        self.connected = False
        self.started = now = loop.time()
        self.end = now + bounds.total
        self.due = self.end
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.ttft_s: float | None = None

    def dialled(self) -> None:
        """Its connection is being opened now: before, it waited for its turn to."""
        self.due = min(self._loop.time() + self._bounds.connect, self.end)

    def sent(self) -> None:
        self.connected = True
        self.due = min(self._loop.time() + self._bounds.first_byte, self.end)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.due = min(self._loop.time() + self._bounds.silence, self.end)
        if self._feed is not None and not 200 <= status < 300:
            self._feed = None
        if "content-encoding" in headers:
            self._unpacker = Unpacker.of(headers["content-encoding"])

    def take(self, data: bytes) -> None:
        """Keep the next bytes of the body, unpacked; payload among them ends a silence."""
        if self.error is not None:
            return
        if self._unpacker is None:
            self._keep(data)
            return
        try:
            for piece in self._unpacker.unpacked(data):
                if not self._keep(piece):
                    return
        except DamagedError:
            self.fail(Phase.READ, "the reply's compression is damaged")

    def _keep(self, data: bytes) -> bool:
        """False where there is more than may be."""
        self.pieces.append(data)
        self._size += len(data)
        if self._size > self._cap:
            self.fail(Phase.TOO_LARGE, f"the reply is larger than {self._cap:,} bytes (sizes.response)")
            return False
        if self._feed is None:
            if not data.isspace():
                self.due = min(self._loop.time() + self._bounds.silence, self.end)
        elif self._feed(data):
            now = self._loop.time()
            self.due = min(now + self._bounds.silence, self.end)
            if self.ttft_s is None:
                self.ttft_s = now - self.started
        return True

    def whole(self) -> None:
        if self._unpacker is not None and not self._unpacker.whole:
            self.fail(Phase.READ, "the reply broke off")
        elif not self.over.done():
            self.over.set_result(None)

    def lost(self) -> None:
        """Its connection is gone before it was whole."""
        if self.status:
            self.fail(Phase.READ, "the reply broke off")
        else:
            self.fail(Phase.SEND, "the connection was lost before the reply began")

    def expire(self) -> None:
        bounds = self._bounds
        if self._loop.time() >= self.end:
            self.fail(Phase.TOTAL, f"not finished within {bounds.total:g} s")
        elif not self.connected:
            self.fail(Phase.CONNECT, f"no connection within {bounds.connect:g} s")
        elif not self.status:
            self.fail(Phase.FIRST_BYTE, f"no reply within {bounds.first_byte:g} s")
        else:
            self.fail(Phase.SILENCE, f"the reply fell silent for {bounds.silence:g} s")

    def fail(self, phase: Phase, message: str) -> None:
        """The first failure is the one that is told; a whole reply cannot fail any more."""
        if self.over.done():
            return
        kept = b"".join(self.pieces)
        self.error = TransportError(
            phase,
            message,
            partial=kept[:KEPT_OF_TOO_LARGE] if phase is Phase.TOO_LARGE else kept,
            status=self.status,
            headers=self.headers,
            elapsed_s=self._loop.time() - self.started,
        )
        self.over.set_result(None)

    def outcome(self) -> Reply:
        """The whole reply. Raises the `TransportError` it ended with."""
        if self.error is not None:
            raise self.error
        body = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        return Reply(self.status, self.headers, body, self._loop.time() - self.started, self.ttft_s)
