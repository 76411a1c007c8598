"""Schemas of JSON Schema documents: sent as they are, checked by `jsonschema_rs`.

Formats count, patterns run in linear time (so no look-around and no back-references), references stay inside
the document: nothing is ever fetched or read to check an answer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from batchllm import strictjson
from batchllm.types import Json
from batchllm.validation import dialect
from batchllm.validation.schema import MAX_MESSAGE, MAX_PROBLEMS, Problem, Schema, legal_name

if TYPE_CHECKING:
    from jsonschema_rs import Validator

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def from_json_schema(json_schema: Json, name: str) -> Schema:
    """The schema of a JSON Schema document. Raises `ValueError`, in a sentence, where it cannot be used."""
    _refuse_unusable(json_schema)
    validator = _validator(json_schema)

    def check(value: Any) -> tuple[Any, list[Problem]]:
        try:
            return value, _problems(validator, value)
        except UnicodeEncodeError:
            return value, _problems(validator, _readable(value))

    return Schema(legal_name(name), json_schema, dialect.is_strict(json_schema), check)


def _validator(json_schema: Json) -> Validator:
    import jsonschema_rs

    linear = jsonschema_rs.RegexOptions()
    try:
        return jsonschema_rs.validator_for(json_schema, validate_formats=True, pattern_options=linear, offline=True)
    except ValueError as error:
        # The library's text goes on with the schema and the place; its first line says what is wrong.
        reason = str(error).split("\n", 1)[0][:MAX_MESSAGE]
        raise ValueError(f"not a valid JSON schema: {reason}") from None


def _problems(validator: Validator, value: Any) -> list[Problem]:
    if validator.is_valid(value):  # asked first because it is many times faster than describing errors
        return []
    errors = islice(validator.iter_errors(value), MAX_PROBLEMS)
    return [Problem.at(error.instance_path, error.message) for error in errors]


def _refuse_unusable(json_schema: Any) -> None:
    if not isinstance(json_schema, dict):
        raise ValueError(f"a JSON schema is an object, not {type(json_schema).__name__}")
    if reference := dialect.foreign_reference(json_schema):
        raise ValueError(f"the reference {reference!r} leads out of the schema; use local ones (#/…)")
    try:
        size = dialect.size(json_schema)
    except RecursionError:
        raise ValueError("the schema is nested too deep") from None
    if size > dialect.MAX_PARTS:
        raise ValueError(f"the schema has over {dialect.MAX_PARTS:,} parts with its references written out")


def own_format(url: str, body: Json) -> Any:
    """Where a request says itself in which form it wants its answer: `text.format` (responses) or `response_format`."""
    if not url.endswith("/responses"):
        return body.get("response_format")
    text = body.get("text")
    return text.get("format") if isinstance(text, dict) else None


def from_response_format(response_format: Any) -> Schema | None:
    """The schema in a request's own `response_format` (chat) or `text.format` (responses), None without one.

    Raises `ValueError`, in a sentence, where it is no valid schema. The last 256 are kept ready.
    """
    if not isinstance(response_format, dict) or response_format.get("type") != "json_schema":
        return None
    inner = response_format.get("json_schema", response_format)
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise ValueError("a response_format of type json_schema needs an object under `schema`")
    return _cached(strictjson.canonical(inner["schema"]), str(inner.get("name") or "answer"))


@lru_cache(maxsize=256)
def _cached(document: bytes, name: str) -> Schema:
    return from_json_schema(strictjson.loads(document), name)


def _readable(value: Any) -> Any:
    """The value for a checker that reads valid Unicode only; each lone surrogate counts as one character."""
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
