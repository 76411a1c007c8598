"""What every request body must have, whatever its endpoint."""

from __future__ import annotations

from typing import Any

from batchllm.types import Json


def fault(body: Json) -> str | None:
    """What is wrong with the fields that all generating endpoints share, in a sentence."""
    if not _is_name(body.get("model")):
        return 'There is no model: "model" must be a non-empty text, in the line or in the settings.'
    if not _is_count(body.get("n")):
        return '"n" must be a whole number of at least 1.'
    if not isinstance(body.get("stream", False), bool | None):
        return '"stream" must be true or false.'
    return None


def choices_asked(body: Json) -> int:
    """How many answers to each prompt a request wants; some servers (transformers) give one whatever it says."""
    n = body.get("n")
    return n if isinstance(n, int) and not isinstance(n, bool) and n >= 1 else 1


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
