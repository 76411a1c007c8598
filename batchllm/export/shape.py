"""What a field holds, learnt from a JSON schema or from values, and how it becomes columns. Pure.

A field is one column, but for an object whose fields are known: it is as many as they are, with dotted names. Lists are one
column of JSON. Kinds that meet in one field join: whole and broken numbers are numbers; anything beside text is text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from batchllm.types import Json

WIDEST = 256
"""Fields of an object that no schema describes; one with more is a mapping, and one column of JSON."""
DEEPEST = 16
INT64 = 1 << 63


class Kind(IntEnum):
    """What the cells of a column are. `NOTHING` has only been seen empty."""

    NOTHING = 0
    BOOL = 1
    INT = 2
    FLOAT = 3
    TEXT = 4
    JSON = 5
    OBJECT = 6


@dataclass(slots=True)
class Shape:
    """One field: its kind, an object's fields in order, a list's elements."""

    kind: Kind = Kind.NOTHING
    fields: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    flat: bool = False
    """Objects stay one column of JSON."""

    def see(self, value: Any, depth: int = 0) -> None:
        """Widen to hold this value too."""
        kind = _kind(value)
        if kind is Kind.NOTHING:
            return
        if kind is Kind.OBJECT:
            self._see_object(value, depth)
            return
        if kind is Kind.JSON:
            self.items = self.items or Shape()
            for item in value:
                self.items.see(item, depth + 1)
        self._join(kind)

    def _see_object(self, value: Json, depth: int) -> None:
        if self.flat or depth >= DEEPEST or not value or self.kind not in (Kind.NOTHING, Kind.OBJECT):
            if value or self.kind is not Kind.OBJECT:
                self._join(Kind.JSON)
            return
        self.kind = Kind.OBJECT
        for name, item in value.items():
            self.fields.setdefault(name, Shape()).see(item, depth + 1)
        if len(self.fields) > WIDEST:
            self._join(Kind.JSON)

    def _join(self, kind: Kind) -> None:
        self.kind = joined(self.kind, kind)
        if self.kind is not Kind.OBJECT:
            self.fields = {}


def joined(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both."""
    low, high = sorted((one, other))
    if low in (Kind.NOTHING, high):
        return high
    if high in (Kind.JSON, Kind.OBJECT):
        return Kind.JSON
    return Kind.FLOAT if (low, high) == (Kind.INT, Kind.FLOAT) else Kind.TEXT


def _kind(value: Any) -> Kind:
    if value is None:
        return Kind.NOTHING
    kind = type(value)
    if kind is str:
        return Kind.TEXT
    if kind is bool:
        return Kind.BOOL
    if kind is int:
        return Kind.INT if -INT64 <= value < INT64 else Kind.TEXT
    if kind is float:
        return Kind.FLOAT
    return Kind.OBJECT if kind is dict else Kind.JSON


# -- of a schema -------------------------------------------------------------------------------------------------

_TYPES = {"string": Kind.TEXT, "integer": Kind.INT, "number": Kind.FLOAT, "boolean": Kind.BOOL, "array": Kind.JSON}


def of_schema(schema: Json) -> Shape:
    """The shape a JSON schema promises. What it leaves open is `NOTHING` yet, or JSON where kinds may differ."""
    return _shape(schema, schema, 0)


def _shape(schema: Any, root: Json, depth: int) -> Shape:
    schema = _resolved(schema, root)
    if depth >= DEEPEST:
        return Shape(Kind.JSON)
    choices = [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key) or ()]
    shapes = [_shape(one, root, depth + 1) for one in choices]
    own = _own(schema, root, depth)
    for one in shapes:
        own = merged(own, one)
    return own


def _own(schema: Json, root: Json, depth: int) -> Shape:
    given = schema.get("type")
    names = [name for name in (given if isinstance(given, list) else [given]) if name not in (None, "null")]
    if not names:
        shape = Shape()
        for value in schema.get("enum") or ([schema["const"]] if "const" in schema else []):
            shape.see(value)
        if isinstance(schema.get("properties"), dict):
            names = ["object"]
        else:
            return shape
    own = Shape()
    for name in names:
        own = merged(own, _object(schema, root, depth) if name == "object" else Shape(_TYPES.get(name, Kind.JSON)))
    if "array" in names and isinstance(schema.get("items"), dict):
        own.items = _shape(schema["items"], root, depth + 1)
    return own


def _object(schema: Json, root: Json, depth: int) -> Shape:
    fields = schema.get("properties")
    if not isinstance(fields, dict) or not fields:
        return Shape(Kind.JSON)
    return Shape(Kind.OBJECT, {name: _shape(one, root, depth + 1) for name, one in fields.items()})


def _resolved(schema: Any, root: Json) -> Json:
    """Follows local references; a chain that leads nowhere leaves everything open."""
    for _ in range(DEEPEST):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        found: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if step and isinstance(found, dict) else found
        schema = found
    return {}


def merged(one: Shape, other: Shape) -> Shape:
    """A shape that holds what either holds."""
    if one.kind is Kind.OBJECT is other.kind:
        mine, theirs = one.fields, other.fields
        names = dict.fromkeys([*mine, *theirs])
        return Shape(Kind.OBJECT, {name: merged(mine.get(name, Shape()), theirs.get(name, Shape())) for name in names})
    kind = joined(one.kind, other.kind)
    kept = one if one.kind is kind else other
    items = one.items if other.items is None else other.items if one.items is None else merged(one.items, other.items)
    return Shape(kind, kept.fields if kind is Kind.OBJECT else {}, items, one.flat or other.flat)


# -- columns -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table. A column whose cells are JSON holds their text."""

    name: str
    kind: Kind


def columns(shape: Shape, name: str) -> Iterator[Column]:
    """The columns of a field, in the order `Cells` fills them."""
    if shape.kind is not Kind.OBJECT:
        yield Column(name, Kind.TEXT if shape.kind is Kind.NOTHING else shape.kind)
        return
    for key, one in shape.fields.items():
        yield from columns(one, f"{name}.{key}" if name else key)
