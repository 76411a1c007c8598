"""What tokens cost. Pure: prices are arguments, in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchllm.types import Usage

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
