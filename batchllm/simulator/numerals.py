"""Numbers for a JSON schema: minimum, maximum, both exclusive ones and multipleOf."""

from collections.abc import Mapping
from decimal import Decimal
from math import ceil, floor
from random import Random
from typing import Any

_SPAN = 100


def integer(schema: Mapping[str, Any], rng: Random) -> int:
    """An integer in the bounds; without bounds 0 to 100."""
    step = max(1, int(_step(schema) or 1))
    low, high = _bounds(schema, step)
    first, last = ceil(low / step), floor(high / step)
    return rng.randint(first, max(first, last)) * step


def number(schema: Mapping[str, Any], rng: Random) -> float:
    """A number in the bounds, with two decimals where they leave room for that."""
    step = _step(schema)
    grain = Decimal(step) if step else Decimal("0.01")
    low, high = _bounds(schema, grain)
    first, last = ceil(low / grain), floor(high / grain)
    if first > last and not step:
        return float((low + high) / 2)
    drawn = rng.randint(first, max(first, last)) * grain
    return int(drawn) if drawn == drawn.to_integral_value() and step and "." not in step else float(drawn)


def _step(schema: Mapping[str, Any]) -> str | None:
    step = schema.get("multipleOf")
    return format(Decimal(str(step)), "f") if isinstance(step, int | float) and step > 0 else None


def _bounds(schema: Mapping[str, Any], grain: int | Decimal) -> tuple[Decimal, Decimal]:
    """The lowest and highest number allowed; an exclusive bound is moved in by one grain, or half the way."""
    low, high = _decimal(schema.get("minimum")), _decimal(schema.get("maximum"))
    over, under = _exclusive(schema, "Minimum", low), _exclusive(schema, "Maximum", high)
    inside = Decimal(grain)
    if over is not None and under is not None:
        inside = min(inside, (under - over) / 2)
    if over is not None and (low is None or over >= low):
        low = over + inside
    if under is not None and (high is None or under <= high):
        high = under - inside
    return _filled(low, high, Decimal(grain))


def _filled(low: Decimal | None, high: Decimal | None, grain: Decimal) -> tuple[Decimal, Decimal]:
    span = max(Decimal(_SPAN), grain * 10)
    if low is None:
        low = min(Decimal(0), high - span) if high is not None else Decimal(0)
    return low, high if high is not None else low + span


def _exclusive(schema: Mapping[str, Any], side: str, inclusive: Decimal | None) -> Decimal | None:
    value = schema.get(f"exclusive{side}")
    if value is True:  # JSON Schema draft 4: a flag beside the inclusive bound
        return inclusive
    return _decimal(value)


def _decimal(value: Any) -> Decimal | None:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
