"""Rows as Arrow record batches, for the formats that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchllm.export.cells import StrayError
from batchllm.export.shape import Column, Kind
from batchllm.sinks.tables import Rows, whole


class Batches:
    """Rows into Arrow record batches of one schema."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        import pyarrow as pa

        types = {Kind.BOOL: pa.bool_(), Kind.INT: pa.int64(), Kind.FLOAT: pa.float64()}
        names = _distinct([whole(column.name) for column in columns])
        fields = [(name, types.get(column.kind, pa.string())) for name, column in zip(names, columns, strict=True)]
        self.schema = pa.schema(fields)
        self._array: Callable[..., Any] = pa.array

    def __call__(self, rows: Rows) -> Any:
        import pyarrow as pa

        cells = zip(*rows, strict=True)
        arrays = [self._column(values, field.type) for values, field in zip(cells, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _column(self, values: tuple[Any, ...], kind: Any) -> Any:
        from pyarrow import ArrowInvalid

        try:
            return self._array(values, kind)
        except (OverflowError, ArrowInvalid):  # a whole number beyond 64 bits
            raise StrayError from None
        except UnicodeEncodeError:
            return self._array([None if value is None else whole(value) for value in values], kind)


def _distinct(names: list[str]) -> list[str]:
    """Names that differ also where only their case did: query engines do not tell them apart."""
    seen: set[str] = set()
    made = []
    for name in names:
        chosen, number = name, 1
        while chosen.lower() in seen:
            number += 1
            chosen = f"{name}_{number}"
        seen.add(chosen.lower())
        made.append(chosen)
    return made
