"""Values into the cells of their columns. The hot path: a shape is compiled once into plain tuples."""

from __future__ import annotations

from typing import Any

from batchllm.export.shape import INT64, Kind, Shape
from batchllm.strictjson import dumps


class StrayError(Exception):
    """A value its column cannot hold: the shapes were learnt from too little, everything has to be looked at."""


_TEXT, _INT, _FLOAT, _BOOL, _OBJECT = Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.OBJECT
_PYTHON = {_TEXT: str, _FLOAT: float, _BOOL: bool}
"""What goes into a column as it is. (A whole number may be too large for one.)"""


class Cells:
    """Fills the columns of one field. Raises `StrayError` for what does not fit."""

    def __init__(self, shape: Shape, *, without: str | None = None) -> None:
        self._kind = shape.kind
        self._fields = [
            (name, _PYTHON.get(one.kind), one.kind, Cells(one) if one.kind is _OBJECT else None)
            for name, one in shape.fields.items()
            if name != without
        ]
        self._without = without
        widths = [1 if sub is None else sub.width for *_, sub in self._fields]
        self.width: int = sum(widths) if shape.kind is _OBJECT else 1
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
        lacking = 0
        for name, python, kind, sub in self._fields:
            item = get(name)
            if type(item) is python:
                append(item)
            elif item is None:
                lacking += name not in value
                if sub is None:
                    append(None)
                else:
                    out += sub._nulls
            elif sub is not None:
                sub.fill(item, out)
            else:
                append(cell(item, kind))
        unknown = len(value) + lacking - len(self._fields)
        if unknown and (unknown > 1 or self._without not in value):
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
