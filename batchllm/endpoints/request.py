"""What every request body must have, whatever its endpoint."""

from __future__ import annotations

from typing import Any

from batchllm.types import Json


def fault(body: Json) -> str | None:
    """What is wrong with the fields that all generating endpoints share, in a sentence."""
    model = body.get("model")
    if type(model) is not str or not model or model.isspace():
        return 'There is no model: "model" must be a non-empty text, in the line or in the settings.'
    if "n" in body and not _is_count(body["n"]):
        return '"n" must be a whole number of at least 1.'
    if "stream" in body and not isinstance(body["stream"], bool | None):
        return '"stream" must be true or false.'
    return None


def choices_asked(body: Json) -> int:
    """How many answers to each prompt a request wants; some servers (transformers) give one whatever it says."""
    n = body.get("n")
    return n if isinstance(n, int) and not isinstance(n, bool) and n >= 1 else 1


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
