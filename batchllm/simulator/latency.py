"""How long a reply takes: a lognormal factor over a fixed part and a part for each token."""

from dataclasses import dataclass
from math import exp
from random import Random


@dataclass(frozen=True, slots=True)
class Latency:
    """Times in seconds. All zero (the default) answers at once.

    One factor is drawn per request, lognormal with median 1 and the given sigma, and multiplies every part: a
    slow request is slow throughout, as on a busy server.
    """

    median_s: float = 0.0
    """Seconds every reply takes, at the median, before its first byte."""
    sigma: float = 0.0
    """Spread of the factor: 0 none, 0.5 moderate (95th percentile 2.3 x median), 1 heavy (5.2 x)."""
    first_token_s: float = 0.0
    """Seconds more to the first token (prefill)."""
    per_token_s: float = 0.0
    """Seconds for each completion token: paces a stream, and is waited as a whole without `stream`."""

    def __post_init__(self) -> None:
        if min(self.median_s, self.sigma, self.first_token_s, self.per_token_s) < 0:
            raise ValueError("latency: no part can be negative")

    @property
    def none(self) -> bool:
        return self.median_s == self.first_token_s == self.per_token_s == 0.0

    def drawn(self, rng: Random) -> "Latency":
        """The latency of one request: this one with the lognormal factor drawn and multiplied in."""
        if not self.sigma:
            return self
        factor = exp(rng.gauss(0.0, self.sigma))
        return Latency(self.median_s * factor, 0.0, self.first_token_s * factor, self.per_token_s * factor)

    def first_s(self) -> float:
        """Seconds until the first token of a stream."""
        return self.median_s + self.first_token_s

    def whole_s(self, tokens: int) -> float:
        """Seconds until a reply without `stream`, of so many completion tokens."""
        return self.first_s() + self.per_token_s * tokens
