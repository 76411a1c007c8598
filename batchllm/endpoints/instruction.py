"""Asking for an object of a schema: the words, and the pieces every mode is made of."""

from __future__ import annotations

import re

from batchllm import strictjson
from batchllm.types import Json

JSON_SCHEMA, JSON_OBJECT, TOOL, PROMPT = "json_schema", "json_object", "tool", "prompt"
MODES = (JSON_SCHEMA, JSON_OBJECT, TOOL, PROMPT)


def instruction(schema: Json) -> str:
    """What a model is told when the server cannot hold it to a schema.

    It says "JSON", which OpenAI and DashScope demand of the messages in `json_object` mode.
    """
    text = strictjson.dumps(_bare(schema)).decode("utf-8", "backslashreplace")
    return (
        "Answer with one JSON object and nothing else: no explanation, no code fence. "
        f"It must be valid against this JSON Schema:\n{text}"
    )


def schema_name(name: str) -> str:
    """The name as OpenAI takes it: letters, digits, `_`, `-`, at most 64 of them."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name)[:64] or "answer"


def spec(name: str, schema: Json) -> Json:
    """`{"name", "schema", "strict"}`. A `strict` beside the schema's own keys is the user's word and moves
    out.
    """
    return {"name": schema_name(name), "schema": _bare(schema), "strict": _strict(schema)}


def function(name: str, schema: Json) -> Json:
    """The same as the declaration of a function whose arguments are the object."""
    return {
        "name": schema_name(name),
        "description": "Give the answer.",
        "parameters": _bare(schema),
        "strict": _strict(schema),
    }


def mode_or_raise(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"{mode!r} is no way to ask for a schema; there are {', '.join(MODES)}")
    return mode


def _strict(schema: Json) -> bool:
    return schema["strict"] if isinstance(schema.get("strict"), bool) else True


def _bare(schema: Json) -> Json:
    """Without the flag; a keyword of that name is none of JSON Schema's."""
    return {key: value for key, value in schema.items() if key != "strict" or not isinstance(value, bool)}
