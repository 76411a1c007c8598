"""Faults to order: which one a request gets follows from the seed, its body and how often it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from batchllm.simulator.seeds import mix, unit

Fault = Literal[
    "rate_limit",
    "server_error",
    "unavailable",
    "quota",
    "unauthorized",
    "hang",
    "reset",
    "truncated",
    "html",
    "error_200",
    "empty",
    "invalid_json",
    "length",
    "refusal",
    "content_filter",
]

ALIASES: Mapping[str, Fault] = {
    "429": "rate_limit",
    "500": "server_error",
    "503": "unavailable",
    "401": "unauthorized",
    "insufficient_quota": "quota",
}
"""Other names for a fault on the command line."""

WIRE: frozenset[str] = frozenset({"reset", "truncated"})
"""The answer was made (and is billed), but does not arrive whole."""

CONTENT: frozenset[str] = frozenset({"empty", "invalid_json", "length", "refusal", "content_filter"})
"""The answer arrives and is billed, but is not the one that was asked for."""

_FAULT_SALT = 0xFA017


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of requests (0 to 1) that meets each fault; a request meets at most one, so they sum to 1."""

    rate_limit: float = 0.0
    """429 with the dialect's rate-limit body and `Retry-After`."""
    server_error: float = 0.0
    """500."""
    unavailable: float = 0.0
    """503."""
    quota: float = 0.0
    """429 `insufficient_quota` (402 or 403 where the dialect says so): the account is out of credit."""
    unauthorized: float = 0.0
    """401."""
    hang: float = 0.0
    """No byte is answered for `SimulatorOptions.hang_s`."""
    reset: float = 0.0
    """The connection is reset (RST) after half the reply."""
    truncated: float = 0.0
    """The reply ends too early: short of its Content-Length, a chunked body or a stream without its end."""
    html: float = 0.0
    """Status 200 with an HTML page."""
    error_200: float = 0.0
    """Status 200 with an error object (in a stream: as an event) and no choices."""
    empty: float = 0.0
    """An answer with empty content and finish_reason `stop`."""
    invalid_json: float = 0.0
    """An answer that is not JSON, or not what the schema asked for."""
    length: float = 0.0
    """An answer cut in half, finish_reason `length`."""
    refusal: float = 0.0
    """`message.refusal` instead of content."""
    content_filter: float = 0.0
    """An answer withheld, finish_reason `content_filter`."""

    def __post_init__(self) -> None:
        rates = [getattr(self, field.name) for field in fields(self)]
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise ValueError("faults: each rate lies between 0 and 1, and together they are at most 1")

    @property
    def none(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self))

    def pick(self, key: int, attempt: int) -> Fault | None:
        """The fault of the attempt (1, 2, ...) of the request with this key; another attempt draws anew."""
        at = unit(mix(mix(key, _FAULT_SALT), attempt))
        for name in _NAMES:
            at -= getattr(self, name)
            if at < 0:
                return name
        return None


_NAMES: tuple[Fault, ...] = tuple(field.name for field in fields(Faults))  # type: ignore[misc]


class Attempts:
    """How often each body was asked, for at most `capacity` bodies; then the oldest half is forgotten."""

    __slots__ = ("_capacity", "_counts")

    def __init__(self, capacity: int = 1_000_000) -> None:
        self._capacity = capacity
        self._counts: dict[int, int] = {}

    def count(self, key: int) -> int:
        """Notes one more attempt and returns its number, starting with 1."""
        if len(self._counts) >= self._capacity and key not in self._counts:
            for old in list(self._counts)[: self._capacity // 2 + 1]:
                del self._counts[old]
        self._counts[key] = number = self._counts.get(key, 0) + 1
        return number
