"""The bytes and pauses of a `Step`, lazily and purely: an endless answer is an endless iterator."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from itertools import count

from .steps import Drip, Part, Pause, Repeat, Step

Piece = bytes | Pause

_PLACE = re.compile(r"\{(elsewhere|date|epoch|rfc3339)([+-]\d+)?\}")


def program(step: Step, now: float = 0.0, elsewhere: str = "") -> Iterator[Piece]:
    """Everything the server does for one answer, in order, but for closing the connection."""
    yield from step.before
    pieces = _uncut(step, now, elsewhere)
    if step.cut is not None and step.cut.of == "wire":
        pieces = cut_at(pieces, step.cut.at)
    yield from pieces


def wire_bytes(step: Step, now: float = 0.0, elsewhere: str = "") -> bytes:
    """All bytes of a finite step, pauses left out."""
    if any(isinstance(part, Repeat) and part.times is None for part in step.body):
        raise ValueError("an endless step has no last byte")
    return b"".join(piece for piece in program(step, now, elsewhere) if isinstance(piece, bytes))


def payload_size(step: Step) -> float:
    """Bytes of the whole body before chunking; infinite for an endless one."""
    return sum(_size(part) for part in step.body)


def is_whole(step: Step) -> bool:
    """Whether the client gets every byte, so that the answer counts as paid."""
    if step.cut is None or payload_size(step) == math.inf:
        return step.cut is None
    uncut = replace(step, cut=None)
    size = payload_size(step) if step.cut.of == "body" else len(wire_bytes(uncut))
    return step.cut.at >= size


def fill(value: str, now: float, elsewhere: str) -> str:
    """Header text with {elsewhere}, {date+2}, {epoch+2} and {rfc3339+2} (seconds from now) filled in."""

    def place(found: re.Match[str]) -> str:
        at = now + int(found[2] or 0)
        if found[1] == "elsewhere":
            return elsewhere
        if found[1] == "date":
            return formatdate(at, usegmt=True)
        if found[1] == "epoch":
            return str(math.ceil(at))
        return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat().replace("+00:00", "Z")

    return _PLACE.sub(place, value)


def head_bytes(step: Step, now: float, elsewhere: str) -> bytes:
    """Status line and headers; text is UTF-8, so that odd header bytes can be sent."""
    lines = [f"HTTP/1.1 {step.status} {_reason(step)}"]
    lines += [f"{name}: {fill(value, now, elsewhere)}" for name, value in step.headers]
    if step.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    if step.framing == "length":
        stated = payload_size(step) if step.length is None else step.length
        lines.append(f"Content-Length: {int(stated)}")
    return "\r\n".join([*lines, "", ""]).encode()


def cut_at(pieces: Iterable[Piece], at: int) -> Iterator[Piece]:
    """The first `at` bytes of `pieces`, with the pauses before them."""
    left = at
    for piece in pieces:
        if left <= 0:
            return
        if isinstance(piece, Pause):
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)


def dripped(pieces: Iterable[Piece], slow: Drip | None) -> Iterator[Piece]:
    """`pieces` in small bites with a pause before each."""
    for piece in pieces:
        if slow is None or isinstance(piece, Pause):
            yield piece
            continue
        for start in range(0, len(piece), slow.n):
            yield Pause(slow.every_s)
            yield piece[start : start + slow.n]


def _uncut(step: Step, now: float, elsewhere: str) -> Iterator[Piece]:
    if step.framing != "raw":
        yield from dripped([*step.interim, head_bytes(step, now, elsewhere)], step.head_drip)
    yield from dripped(_framed(step), step.body_drip)


def _framed(step: Step) -> Iterator[Piece]:
    payload: Iterator[Piece] = _unrolled(step.body)
    shortened = step.cut is not None and step.cut.of == "body"
    if step.cut is not None and shortened:
        payload = cut_at(payload, step.cut.at)
    if step.framing != "chunked":
        yield from payload
        return
    for piece in payload:
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if isinstance(piece, bytes) and piece else piece
    if not shortened:
        yield b"0\r\n\r\n"


def _unrolled(parts: Iterable[Part]) -> Iterator[Piece]:
    for part in parts:
        if not isinstance(part, Repeat):
            yield part
            continue
        for _ in count() if part.times is None else range(part.times):
            yield part.data
            yield Pause(0.0)


def _size(part: Part) -> float:
    if isinstance(part, Pause):
        return 0
    if isinstance(part, bytes):
        return len(part)
    return math.inf if part.times is None else len(part.data) * part.times


def _reason(step: Step) -> str:
    if step.reason is not None:
        return step.reason
    try:
        return HTTPStatus(step.status).phrase
    except ValueError:
        return "Unknown"
