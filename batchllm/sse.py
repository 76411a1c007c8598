"""Server-sent events out of bytes, cut anywhere (html.spec.whatwg.org, "9.2.6 Interpreting an event stream").

Rules of the file:
* A line ends at LF, CRLF or CR; the LF of a CRLF may come in the next packet. One BOM at the very start is
  dropped.
* A blank line ends an event; one without a `data` field is none (keep-alives, comments, a lone `event:`).
* `id` and `retry` are of no use to a client that never reconnects a paid request: they are dropped.
* Bytes stay bytes: UTF-8 sequences cannot be torn, since no byte inside one looks like a line end or a colon.
* Every byte is looked at a bounded number of times, so that an event of megabytes in small packets stays
  cheap.

Unlike a browser we can ask for an unterminated last event (`tail`): servers do close after `data: [DONE]`
without the blank line.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_DATA = b"data"
_EVENT = b"event"


class Event(NamedTuple):
    """An event with a name of its own (`event: error`). One without is just its data, as bytes."""

    name: str
    data: bytes


class EventStream:
    """Bytes in, events out."""

    __slots__ = ("_data", "_fresh", "_head", "_name", "_pieces", "_skip_lf")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line whose end has not come
        self._head = b""  # the first bytes of that line, enough to see its field
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._name = b""
        self._skip_lf = False  # the last byte was a CR, and ended a line
        self._fresh = True  # nothing but perhaps a BOM has come

    def feed(self, data: bytes) -> list[bytes | Event]:
        """The events that these bytes complete."""
        if self._skip_lf and data:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._skip_lf = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._hold(data)
            return []
        lines = data.split(b"\n")
        if self._pieces:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
        rest = lines.pop()
        self._head = b""
        events = self._interpret(lines)
        if rest:
            self._hold(rest)
        return events

    @property
    def carries(self) -> bool:
        """Whether a data line is under way: bytes that complete no event, but are no keep-alive either."""
        return bool(self._data) or self._line_start().startswith(_DATA)

    @property
    def last(self) -> bytes:
        """The last byte of what is under way."""
        lines = self._pieces or self._data
        return lines[-1][-1:] if lines else b""

    def tail(self) -> bytes | Event | None:
        """The event that would come if the stream ended now; changes nothing."""
        lines = list(self._data)
        name = self._name
        if self._pieces:
            field, value = _field(self._first(b"".join(self._pieces)))
            if field == _DATA:
                lines.append(value)
            elif field == _EVENT:
                name = value
        return _event(name, lines) if lines else None

    def drop(self) -> None:
        """Forget the unterminated event: it was taken from `tail`."""
        self._pieces.clear()
        self._head = b""
        self._data = []
        self._name = b""
        self._fresh = False

    def close(self) -> list[bytes | Event]:
        """The unterminated last event, if there is one."""
        event = self.tail()
        self.drop()
        return [] if event is None else [event]

    def _hold(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            if len(self._head) < 8:
                self._head += data[:8]

    def _line_start(self) -> bytes:
        return self._first(self._head)

    def _first(self, line: bytes) -> bytes:
        return line.removeprefix(_BOM) if self._fresh else line

    def _interpret(self, lines: list[bytes]) -> list[bytes | Event]:
        events: list[bytes | Event] = []
        if self._fresh and lines:
            lines[0] = self._first(lines[0])
            self._fresh = False
        for line in lines:
            if not line:
                if self._data:
                    events.append(_event(self._name, self._data))
                    self._data = []
                self._name = b""
            elif line.startswith(b"data: "):  # what nearly every line looks like
                self._data.append(line[6:])
            else:
                field, value = _field(line)
                if field == _DATA:
                    self._data.append(value)
                elif field == _EVENT:
                    self._name = value
        return events


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Name and value: the rest after the first colon, less one space. A comment has an empty name."""
    name, _, value = line.partition(b":")
    return name, value[1:] if value.startswith(b" ") else value


def _event(name: bytes, lines: list[bytes]) -> bytes | Event:
    data = lines[0] if len(lines) == 1 else b"\n".join(lines)
    return Event(name.decode("utf-8", "replace"), data) if name else data
