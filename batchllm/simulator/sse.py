"""Server-sent events: how chunks are framed."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
"""Ends a stream of chat completions and completions; a stream of responses has none."""


def data(payload: Any) -> bytes:
    """One unnamed event with a JSON payload."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def event(name: str, payload: Any) -> bytes:
    """One named event with a JSON payload, as the Responses API sends it."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(payload) + b"\n\n"


def comment(text: str) -> bytes:
    """A comment: keeps the connection busy and says nothing."""
    return b": " + text.encode() + b"\n\n"
