"""Looking into foreign JSON without ever raising."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from batchllm import strictjson
from batchllm.errors import ErrorCode
from batchllm.types import Answer, Json

SHOWN = 300  # characters of foreign text in a sentence of ours


def as_dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def dicts(value: Any) -> Iterator[Json]:
    """The objects in a list; nothing if it is none."""
    return (item for item in as_list(value) if isinstance(item, dict))


def first_text(source: Json, names: Iterable[str]) -> str | None:
    """The first of these fields that holds some text."""
    for name in names:
        value = source.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def bad(sentence: str) -> Answer:
    return Answer(problem=ErrorCode.BAD_RESPONSE, problem_text=sentence)


def shown(text: str) -> str:
    """Foreign text as it may stand in a message: on one line, not endless."""
    return " ".join(text[: SHOWN * 2].split())[:SHOWN]


def error_sentence(body: Json) -> str | None:
    """What an error object in the place of an answer says; None if there is none."""
    error = body.get("error")
    if not error:
        return None
    text = error if isinstance(error, str) else first_text(as_dict(error), ("message", "code", "type"))
    return f"The reply is an error object: {shown(text or 'without a message')}"


def written(value: Any) -> str:
    """A value as JSON text; empty where it is nested deeper than any writer goes."""
    try:
        return strictjson.dumps(value).decode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError):
        return ""


def strings_in(value: Any) -> Iterator[str]:
    """Every string in a JSON value, outermost first, however deep it is nested."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(reversed(item.values()))
        elif isinstance(item, list):
            stack.extend(reversed(item))
