"""What tokens cost, and what the attempts of one line come to. Pure; prices are in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchllm.retry import Billed
from batchllm.types import NO_USAGE, Usage

PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `cached` defaults to the input price. Reasoning tokens are billed as output."""

    input: float
    output: float
    cached: float | None = None


def price_from(row: Mapping[str, float]) -> Price:
    """A row of the settings' `[prices]`. Raises KeyError or TypeError for a row without `input` and `output`."""
    return Price(float(row["input"]), float(row["output"]), None if "cached" not in row else float(row["cached"]))


def cost_usd(usage: Usage | None, price: Price | None) -> float | None:
    """What one attempt cost; None where the price or the tokens are unknown, which is never the same as nothing."""
    if price is None or usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    fresh = usage.prompt_tokens - cached
    cached_price = price.input if price.cached is None else price.cached
    return (fresh * price.input + cached * cached_price + usage.completion_tokens * price.output) / PER


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt was billed: for certain, perhaps, or not at all. None is "nobody told", never nothing."""

    billed: Billed
    usage: Usage | None = None
    cost_usd: float | None = None


@dataclass(slots=True)
class Bill:
    """The charges of one line, added up; `before_last` is what its rejected attempts come to, None if there were none."""

    charges: list[Charge] = field(default_factory=list)

    def add(self, charge: Charge) -> None:
        self.charges.append(charge)

    @property
    def usage(self) -> Usage:
        return sum((one.usage for one in self.charges if one.usage is not None), NO_USAGE)

    @property
    def cost_usd(self) -> float | None:
        """The sum over what was certainly billed; None if one of those has no known cost, or nothing was billed."""
        return _sum([one.cost_usd for one in self.charges if one.billed == "yes"])

    @property
    def unknown(self) -> int:
        """Attempts that may have been billed without anybody telling."""
        return sum(one.billed == "maybe" for one in self.charges)

    @property
    def before_last(self) -> Charge | None:
        paid = [one for one in self.charges[:-1] if one.billed == "yes"]
        if not paid:
            return None
        usage = sum((one.usage for one in paid if one.usage is not None), NO_USAGE)
        return Charge("yes", usage, _sum([one.cost_usd for one in paid]))


def _sum(costs: list[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if costs and len(known) == len(costs) else None
