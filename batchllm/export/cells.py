"""Values into the cells of their columns. The hot path: a shape is compiled once into plain tuples."""

from __future__ import annotations

from typing import Any

from batchllm.export.shape import INT64, Kind, Shape
from batchllm.strictjson import dumps


class StrayError(Exception):
    """A value its column cannot hold: the shapes were learnt from too little, everything has to be looked at."""


_TEXT, _INT, _FLOAT, _BOOL, _OBJECT, _NOTHING = Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.OBJECT, Kind.NOTHING


class Cells:
    """Fills the columns of one field. Raises `StrayError` for what does not fit."""

    def __init__(self, shape: Shape, *, without: str | None = None) -> None:
        self._kind = shape.kind
        self._fields = [
            (name, one.kind, Cells(one) if one.kind is _OBJECT else None) for name, one in shape.fields.items() if name != without
        ]
        self._known = len(shape.fields)
        self._without = without
        self.width = 1 if shape.kind is not _OBJECT else sum(1 if sub is None else sub.width for _, _, sub in self._fields)
        self._nulls = [None] * self.width

    def fill(self, value: Any, out: list[Any]) -> None:
        """Append this field's cells to a row."""
        if self._kind is not _OBJECT:
            out.append(cell(value, self._kind))
            return
        if value is None:
            out += self._nulls
            return
        if type(value) is not dict:
            raise StrayError
        get, append = value.get, out.append
        found = 0
        for name, kind, sub in self._fields:
            item = get(name)
            if item is None:
                if name in value:
                    found += 1
                if sub is None:
                    append(None)
                else:
                    out += sub._nulls
                continue
            found += 1
            if sub is not None:
                sub.fill(item, out)
            elif kind is _TEXT and type(item) is str:
                append(item)
            else:
                append(cell(item, kind))
        if found != len(value) and (self._without is None or found + 1 != len(value) or self._without not in value):
            raise StrayError


def cell(value: Any, kind: Kind) -> Any:
    """One value for a column of this kind; what is no text in a column of text or JSON is written as JSON."""
    if value is None:
        return None
    of = type(value)
    if kind is _TEXT:
        return value if of is str else dumps(value).decode()
    if kind is Kind.JSON:
        return dumps(value).decode()
    if kind is _INT:
        if of is int and -INT64 <= value < INT64:
            return value
    elif kind is _FLOAT:
        if of is float:
            return value
        if of is int:
            try:
                return float(value)
            except OverflowError:
                raise StrayError from None
    elif kind is _BOOL and of is bool:
        return value
    raise StrayError
