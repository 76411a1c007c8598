"""Bends bytes: the same for the same random source."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = (
    b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"-0", b"9" * 400, b"0.1e-9999", b'""', b"{}", b"[]", b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 300, b'{"a":' * 300, b'"\\u2028"', b"\xe2\x80\xa8", b"\xff", b"\xed\xa0\x80", b"\x00", b"\r", b"\n",
    b"\r\n", b"\n\n", b"data: ",
    b"data: [DONE]\n\n", b"event: error\n", b": ping\n\n", b"\xef\xbb\xbf", b"<think>", b"</think>", b"```", b"\\", b'"',
    b"\x1b[31m",
    b"sk-canary/+Q7vLx2=Zt9&kkWm5", b"\xf0\x9f\x99\x82", "\uff11\uff12".encode(), b"18446744073709551616", b"1999999999999",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 0.5, 1e308, 10**30, 2**63, "", "x", "\ud800", "\u2028", [], {},
    [None], [[]], {"": None}, "9" * 50,
    [1, "a", {}],
    {"error": {"message": {"message": ["x"]}}}, "stop", "length", "content_filter", {"index": -1},
    [{"index": 10**9, "delta": {"content": 1}}],
)  # fmt: skip

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def _flip(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _delete(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    start = rng.randint(0, len(data))
    del data[start : start + rng.randint(1, 40)]


def _double(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    start = rng.randint(0, len(data))
    data[start:start] = data[start : start + rng.randint(1, 200)]


def _insert(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    start = rng.randint(0, len(data))
    data[start : start + rng.choice((0, 0, 1, 5))] = rng.choice(TOKENS)


def _cut(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    del data[rng.randint(0, len(data)) :]


def _splice(data: bytearray, rng: random.Random, corpus: Sequence[bytes]) -> None:
    other = rng.choice(corpus)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


CHANGES: tuple[Change, ...] = (_flip, _flip, _delete, _double, _insert, _insert, _insert, _cut, _splice)


def mutated(seeds: Sequence[bytes], corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """One of `seeds`, changed a few times: in its bytes, or as a JSON value in one of its nodes."""
    grafts = rng.random() < 0.5
    data = _grafted(rng.choice(seeds), rng) if grafts else rng.choice(seeds)
    bent = bytearray(data)
    for _ in range(rng.choice((0, 0, 0, 1) if grafts else (1, 1, 2, 4, 8))):
        rng.choice(CHANGES)(bent, rng, corpus)
    return bytes(bent)


def _grafted(data: bytes, rng: random.Random) -> bytes:
    """The same document with some of its nodes exchanged; of an event stream one of its events."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    prefix = b"data: " if lines[at].startswith(b"data: ") else b""
    whole = data if not prefix else lines[at].removeprefix(prefix)
    try:
        value = json.loads(whole)
    except (ValueError, RecursionError):
        return data
    for _ in range(rng.randint(1, 3)):
        value = _exchanged(value, rng)
    made = json.dumps(value).encode()
    if not prefix:
        return made
    lines[at] = prefix + made
    return b"\n".join(lines)


def _exchanged(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _exchanged(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], _exchanged(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)
