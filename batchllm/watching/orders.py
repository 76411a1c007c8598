"""What `set` may change while a run goes, read from the command line and from the socket alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from batchllm.types import Json

NAMES = ("concurrency", "rpm", "tpm")
MOST = 100_000
NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """None leaves a limit as it is; 0 for `rpm` and `tpm` lifts it."""

    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None


def limits_from(order: Json) -> Limits:
    """The limits of an order. Raises ValueError with a sentence."""
    given = {name: value for name, value in order.items() if name != "do" and value is not None}
    for name in given:
        if name not in NAMES:
            raise ValueError(f"{name[:40]!r} cannot be set while a run goes; {', '.join(NAMES)} can")
    if not given:
        raise ValueError(f"nothing to set: name {', '.join(NAMES)}")
    concurrency = given.get("concurrency")
    if concurrency is not None and (type(concurrency) is not int or not 1 <= concurrency <= MOST):
        raise ValueError(f"concurrency is a whole number from 1 to {MOST}")
    return Limits(concurrency, _rate("rpm", given.get("rpm")), _rate("tpm", given.get("tpm")))


def _rate(name: str, value: object) -> float | None:
    if value is None:
        return None
    if value == NO_LIMIT:
        return 0.0
    if type(value) not in (int, float) or not 0 < float(str(value)) < float("inf"):
        raise ValueError(f"{name} is a number above zero, or none")
    return float(str(value))


def assignments(words: list[str]) -> Json:
    """`concurrency=8 rpm=none` as an order has it. Raises ValueError with a sentence."""
    found: Json = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} should look like concurrency=8")
        found[name] = text if text == NO_LIMIT else _number(name, text)
    limits_from(found)
    return found


def _number(name: str, text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no number") from None
