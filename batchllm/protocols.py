"""The seams between floors: what a transport, an endpoint, a source and a sink must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from batchllm.types import Answer, BadLine, Call, Json, Reply, Request

Feed = Callable[[bytes], bool]
"""Takes the next bytes of a streamed reply; says whether they carried payload (comments and blanks do not)."""


class Transport(Protocol):
    """A way to send one request. Never retries, never follows a redirect, never logs a header."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        """Send and read to the end. Raises `TransportError` if no complete reply came within the bounds.

        With `feed`, each piece of a 2xx reply is also handed to it as it comes, and silence is counted between pieces
        it calls payload; without, every piece that is not white space counts.
        """
        ...

    async def abort(self) -> None:
        """Cut every connection: requests that still wait for their reply end with `TransportError`, whole replies do not."""
        ...


class Assembler(Protocol):
    """Puts a streamed reply together into the body the same endpoint would have sent in one piece."""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes as they came; True if they held payload. Never raises on foreign bytes."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the stream proved its end (a finish for every choice, or the terminal marker)."""
        ...

    def body(self) -> Json:
        """The reply assembled so far. An error event appears as `{"error": {...}}`."""
        ...


class Endpoint(Protocol):
    """What requests to one path look like and what their replies mean. Pure: no I/O, no clock."""

    path: str
    streams: bool
    usage_on_request: bool
    """Whether a stream tells its usage only to those who ask (`stream_options.include_usage`)."""

    def check(self, body: Json) -> str | None:
        """What is wrong with a request body, in a sentence; None if it can be sent."""
        ...

    def read(self, body: Any) -> Answer:
        """What a parsed 2xx reply means. Never raises: a shape it does not know is `bad_response`."""
        ...

    def assembler(self, body: Json) -> Assembler:
        """For the streamed reply to this request; what it asked for (`n`) says what a whole reply has."""
        ...

    def with_schema(self, body: Json, name: str, schema: Json, mode: str) -> Json:
        """The body asking for an object of this schema, by `mode`: json_schema, json_object, tool or prompt."""
        ...

    def with_reask(self, body: Json, answer: Answer, complaint: str) -> Json:
        """The body asking once more, with the rejected answer and what is wrong with it."""
        ...

    def prompt_text(self, body: Json) -> str:
        """Every text a prompt is billed for, for estimates."""
        ...


class Source(Protocol):
    """A way to read requests, in order, any number of times."""

    def __iter__(self) -> Iterator[Request | BadLine]: ...
