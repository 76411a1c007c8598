"""The JSON value in an answer, however it is wrapped.

    plain   the whole answer is one JSON document (white space and a byte order mark around it aside)
    fence   a Markdown code fence holds it; fences are whole lines, so backticks inside a string end nothing
    prose   an object or array stands between words

The ways are tried in this order, on the answer without its reasoning. Where one of them finds several values,
the longest wins, the first among equals: citations (`[1]`) and placeholders (`{}`) are short. A value inside
a broken or cut-off one is no answer, it is a piece of one, and is not taken.

Refused as JSON: `NaN`, `Infinity`, numbers beyond a double (`1e400`), integers of more digits than the
interpreter reads, nesting deeper than `MAX_DEPTH`. Accepted: lone surrogates; control characters in strings, which
guided decoding lets through too; repeated keys, the last one winning, with a flag. Every way takes time linear in the
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from batchllm.thinking import BLANK, split_thinking

MAX_DEPTH = 200
"""Deeper values could be read but not checked or written: jiter stops at 200 levels, orjson writes 254."""

# What orjson reads otherwise than we want: it rounds integers beyond 64 bits and refuses lone surrogates.
_NOT_FOR_ORJSON = re.compile(r"[0-9]{19}|[\ud800-\udfff]|\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[\x00-\x1f]")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
# A bracket that can open JSON: "{x, y}" and "[see below]" are punctuation.
_OPENING = re.compile(r'\{(?=\s*["}])|\[(?=\s*(?:["{\[\]\-0-9]|true\b|false\b|null\b))')
# The closing quote may be missing, so that an unfinished string is passed over once and not once per quote.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{\[]|[}\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """A JSON value and the way it was found: `plain`, `fence` or `prose`."""

    value: Any
    path: str
    duplicate_keys: bool = False


def find_json(text: str) -> Found | None:
    """The JSON value an answer holds, None if there is none. Never raises."""
    if whole := _read(text.strip(BLANK), "plain"):
        return whole
    answer = split_thinking(text).answer.strip(BLANK)
    if len(answer) < len(text) and (whole := _read(answer, "plain")):
        return whole
    return _longest(_fenced(answer), "fence") or _longest(_bracketed(answer), "prose")


def _longest(pieces: Iterator[str], path: str) -> Found | None:
    best, size = None, 0
    for piece in pieces:
        if len(piece) > size and (found := _read(piece, path)):
            best, size = found, len(piece)
    return best


def _fenced(text: str) -> Iterator[str]:
    """What stands between fence lines (CommonMark 4.5). A fence left open ends with the text."""
    mark, start = "", 0
    for line in _FENCE.finditer(text):
        fence, rest = line.group(1), line.group(2)
        if not mark:
            mark, start = ("", 0) if "`" in rest else (fence, line.end())
        elif fence.startswith(mark) and not rest.strip():
            yield text[start : line.start()].strip(BLANK)
            mark = ""
    if mark:
        yield text[start:].strip(BLANK)


def _bracketed(text: str) -> Iterator[str]:
    """Every outermost `{…}` and `[…]` that opens like JSON. One that never closes ends the search."""
    at = 0
    while opening := _OPENING.search(text, at):
        end = _closing(text, opening.start())
        if end is None:
            return
        yield text[opening.start() : end]
        at = end


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        first = text[token.start()]
        if first in "{[":
            depth += 1
        elif first in "}]":
            depth -= 1
            if not depth:
                return token.end()
    return None


def _read(text: str, path: str) -> Found | None:
    """One whole JSON document. orjson reads it where that is sure to be right, else the standard library."""
    if _NOT_FOR_ORJSON.search(text):
        return _read_slowly(text, path)
    try:
        value = orjson.loads(text)
    except ValueError:
        return _read_slowly(text, path) if _CONTROL.search(text) else None
    pairs, depth = _measure(value)
    if depth > MAX_DEPTH:
        return None
    # As many colons as pairs: no key was repeated. Colons in strings only make us look closer.
    return Found(value, path) if pairs == text.count(":") else _read_slowly(text, path)


def _read_slowly(text: str, path: str) -> Found | None:
    repeated = False

    def pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        value = dict(pairs)
        repeated = repeated or len(value) < len(pairs)
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs_hook, parse_constant=_refuse, parse_float=_finite, strict=False)
    except (ValueError, RecursionError, MemoryError):
        return None
    return Found(value, path, repeated) if _measure(value)[1] <= MAX_DEPTH else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return _refuse(digits) if number in (float("inf"), float("-inf")) else number


def _measure(value: Any) -> tuple[int, int]:
    """How many key-value pairs a value has, and how deep it goes: no further than just past the bound."""
    pairs, depth, level = 0, 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                pairs += len(item)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return pairs, depth
