"""Schemas laid flat: references followed, `allOf` merged, and how deep the smallest instance of each goes."""

from collections.abc import Mapping
from math import inf
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]

_LARGEST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"})
_SMALLEST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"})
_MAX_HOPS = 100


def resolve(root: Any, reference: str) -> Any:
    """What a local `$ref` (`#`, `#/$defs/Name`) points to; an unknown one allows anything."""
    node = root
    for part in reference.removeprefix("#").split("/")[1:]:
        part = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return {} if node is None else node


def flat(schema: Any, root: Any) -> dict[str, Any]:
    """The schema with `$ref` and `allOf` merged into it; `anyOf` and `oneOf` are left."""
    result = dict(schema) if isinstance(schema, dict) else {}
    if "$ref" not in result and "allOf" not in result:
        return result
    for _ in range(_MAX_HOPS):
        parts: list[Any] = list(result.pop("allOf", ()))
        reference = result.pop("$ref", None)
        if isinstance(reference, str):
            parts.append(resolve(root, reference))
        if not parts:
            break
        for part in parts:
            result = merged(result, part)
    return result


def merged(one: Schema, other: Any) -> dict[str, Any]:
    """A schema for what fits both; contradictions are not looked for."""
    result = dict(one)
    for key, value in other.items() if isinstance(other, dict) else ():
        result[key] = _both(key, result[key], value) if key in result else value
    return result


def _both(key: str, one: Any, other: Any) -> Any:
    if key in _LARGEST and not isinstance(one, bool):
        return max(one, other)
    if key in _SMALLEST and not isinstance(one, bool):
        return min(one, other)
    match key:
        case "properties" | "patternProperties":
            return {
                **one,
                **{name: _schemas(one[name], sub) if name in one else sub for name, sub in other.items()},
            }
        case "required" | "allOf":
            return [*one, *(name for name in other if name not in one)]
        case "enum":
            return [value for value in one if value in other]
        case "type":
            kinds = [one] if isinstance(one, str) else one
            others = [other] if isinstance(other, str) else other
            return [kind for kind in kinds if kind in others or (kind == "integer" and "number" in others)] or others
        case "items" | "additionalProperties":
            return _schemas(one, other)
        case _:
            return other


def _schemas(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return {"allOf": [one, other]}


class Heights:
    """How many levels the smallest instance of a schema has: what to choose where recursion has to end."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, float] = {}

    def of(self, schema: Any) -> float:
        """Levels below the schema; infinite where every instance is."""
        for _ in range(_MAX_HOPS):
            before = dict(self._known)
            height = self._height(schema)
            for reference in list(self._known):
                self._known[reference] = self._height(resolve(self._root, reference))
            if before == self._known:
                break
        return height

    def _height(self, schema: Any) -> float:
        if not isinstance(schema, dict) or "const" in schema or "enum" in schema:
            return 0
        heights = [self._below(schema)]
        if isinstance(reference := schema.get("$ref"), str):
            heights.append(self._known.setdefault(reference, inf))
        heights += [self._height(part) for part in schema.get("allOf", ())]
        for choice in ("anyOf", "oneOf"):
            if branches := schema.get(choice):
                heights.append(min(map(self._height, branches)))
        return max(heights)

    def _below(self, schema: Schema) -> float:
        properties = schema.get("properties", {})
        inner = [properties[name] for name in schema.get("required", ()) if name in properties]
        inner += schema.get("prefixItems", ())
        if schema.get("minItems"):
            inner.append(schema.get("items", {}))
        if schema.get("minProperties"):
            inner.append(schema.get("additionalProperties", {}))
        return 1 + max(map(self._height, inner)) if inner else 0
