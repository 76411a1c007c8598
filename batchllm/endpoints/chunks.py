"""The JSON objects of a streamed reply, and what is known of its end.

Rules of the file:
* `[DONE]` is OpenAI's terminal marker; servers may close behind it without the blank line of an event.
* A chunk that does not parse may hold a piece of the answer: the stream then has a hole (`torn`), and no
  later marker proves the answer whole. One that comes after the end was proved does no harm, and neither does
  an error then.
* An error comes as `{"error": …}` (OpenAI, OpenRouter), `{"type": "error", …}` (Anthropic), `{"object":
  "error", …}` (vLLM), a bare `{"code", "message"}` (SiliconFlow) or under the name `event: error`.
* A server that does not stream answers with one JSON document: it is paid for, and is read as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchllm import strictjson
from batchllm.sse import Event, EventStream
from batchllm.types import Json

DONE = b"[DONE]"
CLOSING = (b"}", b"]")  # what a whole chunk ends with; spares a look at what cannot be one
_WRAPPING = ("type", "object")


class Chunks:
    """Parses events and hands each object to `take`; `ended` says whether the taker has proof of the end."""

    __slots__ = ("_ended", "_pieces", "_plain", "_stream", "_take", "done", "error", "torn")

    def __init__(self, take: Callable[[Json], None], ended: Callable[[], bool]) -> None:
        self._take = take
        self._ended = ended
        self._stream = EventStream()
        # whether the reply is no stream but one document; unknown until its first byte
        self._plain: bool | None = None
        self._pieces: list[bytes] = []
        self.done = False
        self.torn = False
        self.error: Json | None = None

    def feed(self, data: bytes) -> bool:
        """Whether the bytes held payload."""
        if self._plain is None:
            data = self._open(data)
        if self._plain:
            self._pieces.append(data)
            return bool(data.strip())
        payload = False
        for event in self._stream.feed(data):
            payload = self._event(event) or payload
        return payload or self._stream.carries

    def settle(self) -> None:
        """Take an unterminated last event if it is whole. One that is not stays: its rest may yet come."""
        event = self._stream.tail() if self._stream.last in CLOSING else None
        if event is not None and (_data(event).strip() == DONE or isinstance(_parsed(_data(event)), dict)):
            self._stream.drop()
            self._event(event)

    @property
    def told(self) -> bool:
        """Whether the reply is known without the taker: an error, or a whole document for a stream."""
        return self.word() is not None

    def word(self) -> Json | None:
        """That error, as an ordinary reply has it, or that document."""
        if self.error is not None:
            return {"error": self.error}
        value = _parsed(b"".join(self._pieces)) if self._plain else None
        return value if isinstance(value, dict) else None

    def _open(self, data: bytes) -> bytes:
        """Decide by the first byte that is no white space: no field of a stream begins with a brace."""
        if first := data.lstrip():
            self._plain = first.startswith(b"{")
        return data

    def _event(self, event: bytes | Event) -> bool:
        data = _data(event)
        try:
            chunk = strictjson.loads(data)
        except ValueError:
            return self._unparsed(event, data.strip())
        if not isinstance(chunk, dict):
            return False
        if is_error(chunk) or (isinstance(event, Event) and event.name == "error"):
            self._fail(chunk)
        else:
            self._take(chunk)
        return True

    def _unparsed(self, event: bytes | Event, data: bytes) -> bool:
        if data == DONE:
            self.done = True
        elif isinstance(event, Event) and event.name == "error":
            self._fail({"message": data.decode("utf-8", "replace")})
        elif data and not self._proved():
            self.torn = True
        return bool(data)

    def _fail(self, chunk: Json) -> None:
        """The first error is the cause; what follows it are its echoes."""
        if self.error is None and not self._proved():
            self.error = error_of(chunk)

    def _proved(self) -> bool:
        return not self.torn and self._ended()


def is_error(chunk: Json) -> bool:
    if chunk.get("error"):
        return True
    if "choices" in chunk:
        return False
    return chunk.get("type") == "error" or chunk.get("object") == "error" or ("code" in chunk and "message" in chunk)


def error_of(chunk: Json) -> Json:
    """The error itself, as the object that stands under `error` in an ordinary reply."""
    error = chunk.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, **{key: value for key, value in chunk.items() if key == "code"}}
    return {key: value for key, value in chunk.items() if key not in _WRAPPING or value != "error"}


def _data(event: bytes | Event) -> bytes:
    return event.data if isinstance(event, Event) else event


def _parsed(data: bytes) -> Any:
    try:
        return strictjson.loads(data)
    except ValueError:
        return None


class Document:
    """The assembler of an endpoint that does not stream: the reply is one JSON document."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> bool:
        self._pieces.append(data)
        return bool(data.strip())

    @property
    def finished(self) -> bool:
        return isinstance(_parsed(b"".join(self._pieces)), dict)

    def body(self) -> Json:
        value = _parsed(b"".join(self._pieces))
        return value if isinstance(value, dict) else {}
