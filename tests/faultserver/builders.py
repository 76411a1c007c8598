"""Ready-made steps: every builder returns a plain `Step`, from which `cut`, `drip`, `delayed` go on."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from .steps import JSON_TYPE, Headers, How, Pause, Repeat, Step, Waitable, as_parts

USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
OMIT: Final = object()
"""Leaves a key out, where None would write null."""

SSE_TYPE: Headers = (("Content-Type", "text/event-stream; charset=utf-8"),)
PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"


def dumps(value: object) -> bytes:
    """Compact ASCII JSON; NaN and lone surrogates pass, since servers send them."""
    return json.dumps(value, separators=(",", ":")).encode()


def json_reply(value: object, status: int = 200, *headers: tuple[str, str]) -> Step:
    """Any JSON value with any status."""
    return Step(status=status, headers=(*JSON_TYPE, *headers), body=(dumps(value),))


def chat_body(
    content: object = "ok",
    *,
    usage: object = USAGE,
    finish_reason: object = "stop",
    message: Mapping[str, object] | None = None,
    **extra: object,
) -> dict[str, object]:
    """A chat completion; `message` adds to or replaces keys of the message, `extra` those of the body."""
    said = {"role": "assistant", "content": content, **(message or {})}
    choice = {"index": 0, "message": _kept(said), "finish_reason": finish_reason}
    body: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "test-model",
        "choices": [_kept(choice)],
        "usage": usage,
        **extra,
    }
    return _kept(body)


def ok_chat(content: object = "ok", *headers: tuple[str, str], **body: Any) -> Step:
    """200 with `chat_body(content, **body)`."""
    return json_reply(chat_body(content, **body), 200, *headers)


def error(status: int, body: object = None, *headers: tuple[str, str]) -> Step:
    """An error reply: `body` is JSON, text or bytes; None writes an OpenAI-like error object."""
    if isinstance(body, bytes | str):
        return Step(status=status, headers=(("Content-Type", "text/plain"), *headers), body=as_parts(body))
    return json_reply(error_body(f"status {status}") if body is None else body, status, *headers)


def error_body(message: str, code: object = None, type_: object = "error", **extra: object) -> dict[str, object]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code, **extra}}


def chunk(
    delta: Mapping[str, object] | None, *, index: int = 0, finish_reason: str | None = None, **extra: object
) -> dict[str, object]:
    """One chunk of a streamed chat completion; `delta=None` has empty choices."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
    }
    return {**head, "choices": [] if delta is None else [choice], **extra}


def sse_events(
    chunks: Iterable[str | bytes | Mapping[str, object]],
    *,
    finish_reason: str | None = "stop",
    done: bool = True,
    usage: object = None,
    eol: bytes = b"\n",
) -> tuple[bytes, ...]:
    """Events of a stream: text is a content delta, a mapping a whole chunk, bytes go as they are."""
    payloads: list[bytes] = [_event(item, eol) for item in chunks]
    if finish_reason is not None:
        payloads.append(_event(chunk({}, finish_reason=finish_reason), eol))
    if usage is not None:
        payloads.append(_event(chunk(None, usage=usage), eol))
    return (*payloads, b"data: [DONE]" + eol * 2) if done else tuple(payloads)


def sse(chunks: Iterable[str | bytes | Mapping[str, object]] = ("o", "k"), **options: Any) -> Step:
    """A chunked event stream, each event one write; options as of `sse_events`."""
    return Step(headers=SSE_TYPE, body=sse_events(chunks, **options), framing="chunked")


def raw(data: bytes, after: How = "fin") -> Step:
    """Exactly these bytes and no head: garbage, or a whole reply written by hand."""
    return Step(body=(data,), framing="raw", after=after)


def drop(how: How = "fin") -> Step:
    """The connection ends without one byte of an answer."""
    return Step(framing="raw", after=how)


def hang(until: Waitable | None = None) -> Step:
    """No byte until the gate opens, then the connection closes; without a gate, never."""
    return Step(framing="raw", before=(Pause(until=until),), after="fin")


def html(status: int = 200, page: str = PAGE) -> Step:
    """A web page where an answer should be."""
    return Step(status=status, headers=(("Content-Type", "text/html; charset=utf-8"),), body=as_parts(page))


def redirect(status: int = 307, to: str = "{elsewhere}/v1/chat/completions") -> Step:
    """Sends the client to another host; the default is the server's own second listener."""
    return Step(status=status, headers=(("Location", to),))


def endless(data: bytes = b" " * 65536, start: bytes = b"") -> Step:
    """A chunked body without an end."""
    return Step(body=(start, Repeat(data)) if start else (Repeat(data),), framing="chunked")


def huge_chat(mebibytes: int) -> Step:
    """A well-formed answer of about this size, written piece by piece."""
    head, tail = dumps(chat_body("\x00")).split(b"\\u0000")
    return Step(body=(head, Repeat(b"x" * 65536, mebibytes * 16), tail))


def gzipped(step: Step) -> Step:
    """`step` with its body compressed."""
    body = b"".join(part for part in step.body if isinstance(part, bytes))
    return Step(step.status, (*step.headers, ("Content-Encoding", "gzip")), (gzip.compress(body),))


def gzip_bomb(mebibytes: int = 1024) -> Step:
    """A valid gzip stream of zeros: about a thousandth of the size it unpacks to."""
    head, block, tail = _bomb(mebibytes)
    return Step(headers=(*JSON_TYPE, ("Content-Encoding", "gzip")), body=(head, Repeat(block, mebibytes), tail))


@lru_cache
def _bomb(mebibytes: int) -> tuple[bytes, bytes, bytes]:
    zeros = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(mebibytes):
        crc = zlib.crc32(zeros, crc)
    size = (mebibytes << 20) & 0xFFFFFFFF
    trailer = crc.to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff", block, b"\x03\x00" + trailer


def _event(item: str | bytes | Mapping[str, object], eol: bytes) -> bytes:
    if isinstance(item, bytes):
        return item
    body = chunk({"content": item}) if isinstance(item, str) else item
    return b"data: " + dumps(body) + eol * 2


def _kept(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not OMIT}
