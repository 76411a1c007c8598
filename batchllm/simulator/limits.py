"""Rate limits as token buckets: requests and tokens a minute, requests in flight. Time is an argument."""

from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

NOMINAL_RPM = 30_000
NOMINAL_TPM = 150_000_000
"""What the rate-limit headers say where no limit is set; a hosted endpoint always sends them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the endpoint refuses with 429; None is no limit."""

    rpm: float | None = None
    """Requests a minute."""
    tpm: float | None = None
    """Tokens a minute. As at OpenAI, a request counts max(max_tokens, its estimated prompt tokens)."""
    burst_s: float = 10.0
    """Seconds of the rate that a rested bucket holds: rpm 600 and burst_s 10 let 100 through at once."""
    max_in_flight: int | None = None
    """Requests being answered at once; one more is refused (429, at Ollama and vLLM 503)."""
    refusals_count: bool = False
    """A refused request uses up the limit too, as at OpenAI: asking early makes the wait longer."""

    def __post_init__(self) -> None:
        if any(value is not None and value <= 0 for value in (self.rpm, self.tpm, self.max_in_flight, self.burst_s)):
            raise ValueError("limits: each has to be greater than 0")


class Bucket:
    """A token bucket: holds `capacity` units, fills up at `per_minute`; starts full."""

    __slots__ = ("_at", "_level", "capacity", "per_minute")

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.per_minute = per_minute
        self.capacity = max(1.0, per_minute * burst_s / 60.0)
        self._level = self.capacity
        self._at = now

    def level(self, now: float) -> float:
        """Units there are now; below 0 where refusals were charged."""
        self._level = min(self.capacity, self._level + (now - self._at) * self.per_minute / 60.0)
        self._at = now
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until so many units are there; infinite where the bucket can never hold them."""
        if amount > self.capacity:
            return inf
        return max(0.0, (amount - self.level(now)) * 60.0 / self.per_minute)

    def take(self, amount: float, now: float) -> None:
        """Takes the units, down to one bucket below empty (a storm of refusals must not last for hours)."""
        self._level = max(-self.capacity, self.level(now) - amount)

    def full_in_s(self, now: float) -> float:
        """Seconds until full: what OpenAI's reset headers tell."""
        return (self.capacity - self.level(now)) * 60.0 / self.per_minute


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request was not admitted, and the seconds after which it would be (infinite: never)."""

    kind: Literal["requests", "tokens", "in_flight"]
    wait_s: float
    requested: int
    limit: int


class Admission:
    """Lets requests in or not; one for each server."""

    __slots__ = ("_limits", "in_flight", "requests", "tokens")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.requests = Bucket(limits.rpm, limits.burst_s, now) if limits.rpm else None
        self.tokens = Bucket(limits.tpm, limits.burst_s, now) if limits.tpm else None
        self.in_flight = 0

    def ask(self, tokens: int, now: float) -> Denial | None:
        """None admits the request and charges it; the caller counts `in_flight` itself."""
        denial = self._denial(tokens, now)
        if denial is None or self._limits.refusals_count:
            if self.requests:
                self.requests.take(1, now)
            if self.tokens and (denial is None or denial.wait_s != inf):
                self.tokens.take(tokens, now)
        return denial

    def _denial(self, tokens: int, now: float) -> Denial | None:
        most = self._limits.max_in_flight
        if most is not None and self.in_flight >= most:
            return Denial("in_flight", 1.0, 1, most)
        if self.requests and (wait := self.requests.wait_s(1, now)) > 0:
            return Denial("requests", wait, 1, int(self.requests.per_minute))
        if self.tokens and (wait := self.tokens.wait_s(tokens, now)) > 0:
            return Denial("tokens", wait, tokens, int(self.tokens.per_minute))
        return None


def duration_text(seconds: float) -> str:
    """OpenAI's duration text: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms" if seconds > 0 else "0s"
    hours, rest = divmod(ceil(seconds * 1000), 3_600_000)
    minutes, millis = divmod(rest, 60_000)
    text = f"{millis / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
