"""What a JSON schema consists of, and what OpenAI's strict mode takes of it.

Strict mode, by OpenAI's guide "Structured outputs" (sections "Supported schemas", "Supported properties"):
the root is an object and no `anyOf`; every object names all its properties as required and allows no others;
alternatives are `anyOf`; other keywords than those below are answered with 400. vLLM and SGLang read more and
do not need the flag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchllm.types import Json

_ONE = (
    *("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames"),
    *("then", "unevaluatedItems", "unevaluatedProperties"),
)
_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_DEFINITIONS = ("$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

MAX_PARTS = 100_000
"""Past this many parts, references written out, describing one error can take minutes."""

_STRICT_KEYWORDS = {
    *("$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "definitions", "description"),
    *("enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maximum"),
    *("minItems", "minLength", "minimum", "multipleOf", "pattern", "properties", "required", "title", "type"),
}
_STRICT_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}


def children(schema: Json, *, definitions: bool = True) -> Iterator[Json]:
    """The schemas directly inside a schema; values that only look like one (`enum`, `default`) are none."""
    for key in _ONE:
        yield from _schemas([schema.get(key)])
    for key in _LISTS:
        yield from _schemas(schema.get(key))
    for key in _MAPS:
        mapping = schema.get(key)
        if isinstance(mapping, dict) and (definitions or key not in _DEFINITIONS):
            yield from _schemas(list(mapping.values()))


def _schemas(items: Any) -> Iterator[Json]:
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def parts(schema: Json) -> Iterator[Json]:
    """A schema and every schema inside it, references not followed."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(children(part))


def foreign_reference(schema: Json) -> str | None:
    """The first reference that leads out of the document: a check must not fetch or read anything."""
    for part in parts(schema):
        for key in _REFERENCES:
            reference = part.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                return reference
    return None


def size(schema: Json) -> int:
    """How many parts a schema has with its local references written out, each recursion once.

    A few dozen definitions that each mention the next one twice make a schema of billions of parts.
    Raises `RecursionError` on nesting no schema has.
    """
    known: dict[int, int] = {}

    def measure(part: Json) -> int:
        if id(part) not in known:
            known[id(part)] = 0
            inner = list(children(part, definitions=False))
            if target := _target(schema, part.get("$ref")):
                inner.append(target)
            known[id(part)] = 1 + sum(measure(item) for item in inner)
        return known[id(part)]

    return measure(schema)


def _target(root: Json, reference: Any) -> Json | None:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    at: Any = root
    for key in reference[1:].split("/")[1:]:
        at = at.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(at, dict) else None
    return at if isinstance(at, dict) else None


def is_strict(schema: Json) -> bool:
    """Whether the schema may be sent with `strict: true`."""
    is_object = schema.get("type") == "object" and "anyOf" not in schema
    return is_object and all(map(_part_is_strict, parts(schema)))


def _part_is_strict(part: Json) -> bool:
    if not part.keys() <= _STRICT_KEYWORDS or part.get("format", "date") not in _STRICT_FORMATS:
        return False
    if "$ref" in part and not part.keys() <= {"$ref", *_DEFINITIONS}:
        return False
    if part.get("type") != "object" and "properties" not in part:
        return True
    properties, required = part.get("properties", {}), part.get("required", [])
    return part.get("additionalProperties") is False and set(properties) == set(required)


def tighten(schema: Json) -> Json:
    """A schema made from a model, in place, without what strict mode refuses and checking can do without.

    Defaults say nothing where every field is required; `discriminator` is a hint of OpenAPI's; which of the
    alternatives of a `oneOf` is meant is decided by the model afterwards.
    """
    for part in parts(schema):
        part.pop("default", None)
        part.pop("discriminator", None)
        if "oneOf" in part and "anyOf" not in part:
            part["anyOf"] = part.pop("oneOf")
    return schema
