"""JSON in and out of bytes: strict on what we write, lenient (but guarded) on what we read."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PLACE = re.compile(rb'"\\u0000([0-9]{1,3})\\u0000"')
DEEPEST = 200
"""Levels of nesting; orjson writes 254, and what is kept has some of its own around it."""
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")

_NESTED = (dict, list)  # a union would be made anew at each test


def loads(data: bytes) -> Any:
    """Parse one JSON document. Raises only `ValueError`, also on deep nesting and absurd numbers.

    orjson reads RFC 8259 strictly; where it refuses what many servers send (lone surrogates, integers of hundreds of
    digits) the standard library has the second word. `NaN` and `Infinity` are refused by both.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        strict = error
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError, MemoryError):
        raise ValueError(f"not valid JSON: {strict}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> bytes:
    """One line of strict JSON, valid UTF-8 whatever strings it holds: a lone surrogate is written as its escape.

    Raises `ValueError` for what is nested too deep to be written.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return _dumped(value)


def _dumped(value: Any) -> bytes:
    """The standard library's way, for lone surrogates and integers beyond 64 bits. Fragments go through as they are."""
    fragments: list[bytes] = []

    def place(item: Any) -> str:
        if not isinstance(item, orjson.Fragment):
            raise TypeError(f"{type(item).__name__} is not JSON")
        fragments.append(orjson.dumps(item))  # the only way to its contents
        return f"\0{len(fragments) - 1}\0"

    try:
        text = json.dumps(_finite(value), allow_nan=False, default=place).encode("ascii", "backslashreplace")
    except RecursionError:
        raise ValueError("nested too deep to be written") from None
    # A text of a document's own that looks like a place is left alone: only so many numbers are places.
    return _PLACE.sub(lambda found: fragments[int(found[1])] if int(found[1]) < len(fragments) else found[0], text)


def _finite(value: Any) -> Any:
    """The same value with what JSON cannot say (NaN, infinities) as null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def canonical(value: Any) -> bytes:
    """The same bytes for equal JSON values, whatever the order of their keys: what a digest is taken of.

    Raises `ValueError` for what is nested too deep to be written.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        if too_deep(value):
            raise ValueError(f"nested deeper than {DEEPEST} levels") from None
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def one_line(document: bytes) -> bytes:
    """A valid JSON document without raw line breaks. They can only be white space there (RFC 8259 §2)."""
    if b"\n" in document:
        document = document.replace(b"\n", b" ")
    if b"\r" in document:
        document = document.replace(b"\r", b" ")
    return document


def deep(document: bytes, value: Any) -> bool:
    """`too_deep`, at no cost for a document with few brackets."""
    return document.count(b"[") + document.count(b"{") > DEEPEST and too_deep(value)


def too_deep(value: Any) -> bool:
    """Whether a value is nested deeper than `DEEPEST`, told without recursion."""
    level = [value] if isinstance(value, _NESTED) else []
    for _ in range(DEEPEST):
        level = [
            item for one in level for item in (one.values() if isinstance(one, dict) else one) if isinstance(item, _NESTED)
        ]
        if not level:
            return False
    return True
