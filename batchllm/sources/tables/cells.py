"""Cells of typed tables as JSON values: what JSON lacks becomes text, what is no number becomes null."""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """A cell as JSON: dates by ISO 8601, decimals with every digit, bytes in base64, NaN and infinities as null."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(bytes(value)).decode()
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    return str(value)


def headings(cells: list[Any]) -> tuple[str, ...]:
    """The names in a table's first row; a column without one is called after its place. Raises `ValueError` for two alike."""
    names = [("" if cell is None else str(cell).strip()) or f"column_{at}" for at, cell in enumerate(cells, 1)]
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise ValueError(f"two columns are called '{twice}'")
    return tuple(names)
