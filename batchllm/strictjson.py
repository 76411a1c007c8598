"""JSON in and out of bytes: strict on what we write, lenient (but guarded) on what we read."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")


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
    """One line of strict JSON, valid UTF-8 whatever strings it holds: a lone surrogate is written as its escape."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(_finite(value), allow_nan=False, default=_fragment).encode("ascii", "backslashreplace")


def _fragment(value: Any) -> Any:
    if isinstance(value, orjson.Fragment):
        contents = value.contents
        return loads(contents if isinstance(contents, bytes) else contents.encode())
    raise TypeError(f"{type(value).__name__} is not JSON")


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
    """The same bytes for equal JSON values, whatever the order of their keys: what a digest is taken of."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def one_line(document: bytes) -> bytes:
    """A valid JSON document without raw line breaks. They can only be white space there (RFC 8259 §2)."""
    if b"\n" in document:
        document = document.replace(b"\n", b" ")
    if b"\r" in document:
        document = document.replace(b"\r", b" ")
    return document
