"""An object that is valid for a JSON schema, drawn from a seed.

Follows what OpenAI's structured outputs, pydantic and vLLM's guided decoding use of JSON Schema 2020-12 (and
draft 7's spellings). Not looked at: `not`, `if`/`then`/`else`, `unevaluated*`, remote references; `oneOf` is
taken as `anyOf`.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson

from batchllm.simulator import numerals
from batchllm.simulator.patterns import matching
from batchllm.simulator.schema_shape import Heights, Schema, flat, merged
from batchllm.simulator.strings import phrase, string

_DEEP = 5
"""Levels after which only what is required is made, and the choice that ends soonest is taken."""
_TRIES = 50
_OPTIONAL, _NOT_NULL = 0.8, 0.8
_KINDS_BY_KEYWORD = (
    ("object", ("properties", "required", "additionalProperties", "patternProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "contains")),
    ("string", ("pattern", "format", "minLength", "maxLength", "contentEncoding")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def instance(schema: Any, rng: Random, words: Sequence[str] = ()) -> Any:
    """A JSON value for the schema; its strings are words of the prompt where the schema leaves them free."""
    return _Maker(schema, rng, words).make(schema, 0)


class _Maker:
    """One instance in the making: the root for references, the draws, the prompt's words."""

    def __init__(self, root: Any, rng: Random, words: Sequence[str]) -> None:
        self._root, self._rng, self._words = root, rng, words
        self._heights = Heights(root)

    def make(self, schema: Any, depth: int) -> Any:
        shape = self._chosen(flat(schema, self._root), depth)
        if "const" in shape:
            return shape["const"]
        if isinstance(shape.get("enum"), list) and shape["enum"]:
            return self._rng.choice(shape["enum"])
        match self._kind(shape, depth):
            case "object":
                return self._object(shape, depth)
            case "array":
                return self._array(shape, depth)
            case "integer":
                return numerals.integer(shape, self._rng)
            case "number":
                return numerals.number(shape, self._rng)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return string(shape, self._rng, self._words)

    def _chosen(self, shape: dict[str, Any], depth: int) -> dict[str, Any]:
        """The shape with one branch of each `anyOf` and `oneOf` merged in."""
        for keyword in ("anyOf", "oneOf"):
            while branches := shape.pop(keyword, None):
                shape = flat(merged(shape, self._branch(branches, depth)), self._root)
        return shape

    def _branch(self, branches: list[Any], depth: int) -> Any:
        if depth >= _DEEP:
            return min(branches, key=self._heights.of)
        filled = [branch for branch in branches if not _is_null(branch)]
        if len(filled) < len(branches) and (not filled or self._rng.random() > _NOT_NULL):
            return {"type": "null"}
        # pydantic writes a Decimal as a number or any string, and means a number.
        numbers = [branch for branch in filled if _is(branch, "number")]
        if numbers and all(_is(branch, "string") for branch in filled if branch not in numbers):
            return self._rng.choice(numbers)
        return self._rng.choice([branch for branch in filled if branch is not False] or filled)

    def _kind(self, shape: Schema, depth: int) -> str:
        kinds = shape.get("type")
        if isinstance(kinds, str):
            return kinds
        if isinstance(kinds, list) and kinds:
            filled = [str(kind) for kind in kinds if kind != "null"]
            null = not filled or ("null" in kinds and (depth >= _DEEP or self._rng.random() > _NOT_NULL))
            return "null" if null else self._rng.choice(filled)
        return next((kind for kind, keys in _KINDS_BY_KEYWORD if any(key in shape for key in keys)), "string")

    def _object(self, shape: Schema, depth: int) -> dict[str, Any]:
        properties, required = shape.get("properties", {}), set(shape.get("required", ()))
        made: dict[str, Any] = {}
        most = shape.get("maxProperties", len(properties) + len(required) + 3)
        for name, sub in properties.items():
            needed = name in required
            if needed or (
                sub is not False
                and depth < _DEEP
                and self._rng.random() < _OPTIONAL
                and len(made) + len(required - made.keys()) < most
            ):
                made[name] = self.make(sub, depth + 1)
        for name in shape.get("required", ()):
            if name not in made:
                made[name] = self.make(self._sub_for(shape, name), depth + 1)
        self._more_properties(shape, made, depth, most)
        return made

    def _more_properties(self, shape: Schema, made: dict[str, Any], depth: int, most: int) -> None:
        """Free keys: as many as minProperties wants; one to three where the object is only a map."""
        least = shape.get("minProperties", 0)
        is_map = (
            not shape.get("properties")
            and depth < _DEEP
            and (isinstance(shape.get("additionalProperties"), dict) or shape.get("patternProperties"))
        )
        wanted = min(most, max(least, self._rng.randint(1, 3) if is_map else 0))
        for _ in range(_TRIES):
            if len(made) >= wanted:
                return
            name = self._free_name(shape)
            if name not in made and (sub := self._sub_for(shape, name)) is not False:
                made[name] = self.make(sub, depth + 1)
        for name, sub in shape.get("properties", {}).items():
            if len(made) < wanted and name not in made and sub is not False:
                made[name] = self.make(sub, depth + 1)

    def _free_name(self, shape: Schema) -> str:
        if names := shape.get("propertyNames"):
            return str(self.make({"type": "string", **flat(names, self._root)}, 0))
        if patterns := shape.get("patternProperties"):
            drawn = matching(self._rng.choice(list(patterns)), self._rng)
            if drawn is not None:
                return drawn
        return phrase(self._rng, (), 0, None).replace(" ", "_")

    def _sub_for(self, shape: Schema, name: str) -> Any:
        """The schema for a key that `properties` does not name."""

        for pattern, sub in shape.get("patternProperties", {}).items():
            if re.search(pattern, name):
                return sub
        return shape.get("additionalProperties", {"type": "string"})

    def _array(self, shape: Schema, depth: int) -> list[Any]:
        prefix = shape.get("prefixItems") or (shape["items"] if isinstance(shape.get("items"), list) else [])
        items = shape.get("items", shape.get("additionalItems", {}))
        items = shape.get("additionalItems", {}) if isinstance(items, list) else items
        wanted = self._size(shape, len(prefix), items, depth)
        made: list[Any] = [self.make(sub, depth + 1) for sub in prefix]
        if "contains" in shape:
            made += [
                self.make(merged(flat(items, self._root), shape["contains"]), depth + 1)
                for _ in range(int(shape.get("minContains", 1)))
            ]
        return self._filled(made, wanted, items, shape.get("uniqueItems") is True, depth)

    def _size(self, shape: Schema, prefix: int, items: Any, depth: int) -> int:
        least = int(shape.get("minItems", 0))
        if items is False or depth >= _DEEP or prefix:
            return max(least, prefix)
        most = int(shape.get("maxItems", max(least + 2, 3)))
        return self._rng.randint(min(max(least, 1), most), max(least, min(most, least + 3)))

    def _filled(self, made: list[Any], wanted: int, items: Any, unique: bool, depth: int) -> list[Any]:
        seen = {_canonical(value) for value in made} if unique else set()
        for _ in range(wanted + _TRIES):
            if len(made) >= wanted:
                break
            value = self.make(items, depth + 1)
            if unique and (key := _canonical(value)) in seen:
                continue
            if unique:
                seen.add(key)
            made.append(value)
        return made


def _is_null(branch: Any) -> bool:
    return _is(branch, "null") or (isinstance(branch, dict) and branch.get("const", 0) is None)


def _is(branch: Any, kind: str) -> bool:
    return isinstance(branch, dict) and branch.get("type") == kind


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
