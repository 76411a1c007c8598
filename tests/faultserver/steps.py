"""What the server answers to one request, as data.

Rules:
* a `Step` is one answer; it never changes, so it may be shared by any number of scripts and requests;
* bytes leave in the order before, interim, head, body; `cut` and the drips act on what those would send;
* `framing` says how the client learns where the body ends; "raw" sends the body alone, without a head;
* a `Pause` with neither seconds nor `until` lasts until the client leaves or the server stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

Framing = Literal["length", "chunked", "close", "raw"]
How = Literal["keep", "fin", "rst", "hang"]
Headers = tuple[tuple[str, str], ...]

JSON_TYPE: Headers = (("Content-Type", "application/json"),)


class Waitable(Protocol):
    """Anything with an awaitable `wait`: an asyncio.Event of the server's loop, or a `Gate`."""

    async def wait(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop between bytes: for `seconds`, or `until` somebody opens it, or for ever."""

    seconds: float | None = None
    until: Waitable | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same bytes over and over, one write each; `times=None` never ends."""

    data: bytes
    times: int | None = None


Part = bytes | Pause | Repeat


@dataclass(frozen=True, slots=True)
class Cut:
    """The answer ends after `at` bytes of everything sent ("wire") or of the unchunked payload ("body")."""

    at: int
    of: Literal["wire", "body"] = "wire"
    how: How = "fin"


@dataclass(frozen=True, slots=True)
class Drip:
    """At most `n` bytes at once, `every_s` seconds apart."""

    n: int
    every_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One answer. `length` overrides the Content-Length that framing "length" would state."""

    status: int = 200
    headers: Headers = JSON_TYPE
    body: tuple[Part, ...] = ()
    framing: Framing = "length"
    length: int | None = None
    reason: str | None = None
    before: tuple[Pause, ...] = ()
    interim: tuple[bytes, ...] = ()
    head_drip: Drip | None = None
    body_drip: Drip | None = None
    cut: Cut | None = None
    after: How = "keep"


@dataclass(frozen=True, slots=True)
class Connect:
    """What happens to one connection before TLS and HTTP: `after_bytes` received, `say`, then `action`."""

    action: Literal["serve", "fin", "rst", "hang"] = "serve"
    after_bytes: int = 0
    say: bytes = field(default=b"", repr=False)


def as_parts(body: bytes | str | Part | Iterable[Part]) -> tuple[Part, ...]:
    """Any way to write a body, as the tuple that a `Step` holds."""
    if isinstance(body, str):
        return (body.encode(),)
    if isinstance(body, bytes | Pause | Repeat):
        return (body,)
    return tuple(body)


def cut(step: Step, at: int, how: How = "fin", of: Literal["wire", "body"] = "wire") -> Step:
    """`step`, ended after `at` bytes by FIN, by RST, or by silence."""
    return replace(step, cut=Cut(at, of, how))


def drip(step: Step, n: int, every_s: float, part: Literal["all", "head", "body"] = "all") -> Step:
    """`step`, sent `n` bytes at a time."""
    slow = Drip(n, every_s)
    head = slow if part != "body" else step.head_drip
    body = slow if part != "head" else step.body_drip
    return replace(step, head_drip=head, body_drip=body)


def delayed(step: Step, seconds: float | None = None, until: Waitable | None = None) -> Step:
    """`step`, whose first byte waits."""
    return replace(step, before=(*step.before, Pause(seconds, until)))


def framed(step: Step, framing: Framing, length: int | None = None) -> Step:
    """`step` with another framing; `length` may lie."""
    return replace(step, framing=framing, length=length)


def then(step: Step, how: How) -> Step:
    """`step`, after whose last byte the connection is kept, closed, reset or left silent, unannounced."""
    return replace(step, after=how)


def with_headers(step: Step, *headers: tuple[str, str]) -> Step:
    """`step` with further headers."""
    return replace(step, headers=(*step.headers, *headers))


def interim(step: Step, status: int = 103, *headers: tuple[str, str], times: int = 1) -> Step:
    """`step` after `times` interim (1xx) replies."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    reply = f"HTTP/1.1 {status} Interim\r\n{lines}\r\n".encode()
    return replace(step, interim=(*step.interim, *(reply,) * times))
