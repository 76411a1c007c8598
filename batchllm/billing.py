"""What tokens cost, and what the attempts of one line come to. Pure; prices are in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchllm.retry import Billed
from batchllm.strictjson import dumps
from batchllm.types import NO_USAGE, Json, Usage

PER = 1_000_000
BYTES_PER_TOKEN = 2
READS_ONLY = ("/embeddings", "/moderations", "/rerank", "/score")
"""Ends of paths whose answers are not billed by the token."""


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


def worst_cost(body: Json, price: Price | None, ceiling: int | None) -> float | None:
    """The most a request may cost: its bytes at two a token, and every token its answer may have. None if nobody can say.

    Two bytes are below what tokenizers make of Latin (about four) and Chinese text (about three a character, one to two
    tokens). `ceiling` stands in for a missing limit on the answer.
    """
    said = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens") or ceiling
    if price is None or said is None:
        return None
    prompt = len(dumps(body)) / BYTES_PER_TOKEN
    answers = body.get("n") or 1
    return (prompt * price.input + float(said) * float(answers) * price.output) / PER


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt was billed: for certain, perhaps, or not at all. None is "nobody told", never nothing."""

    billed: Billed
    usage: Usage | None = None
    cost_usd: float | None = None


@dataclass(slots=True)
class Bill:
    """The charges of one line, added up as they come; `unknown` counts those that may have been billed without
    anybody telling, `before_last` is what its rejected attempts come to, None if there were none.
    """

    usage: Usage = NO_USAGE
    unknown: int = 0
    before_last: Charge | None = None
    _last: Charge | None = None

    def add(self, charge: Charge) -> None:
        self.before_last = self._paid()
        self._last = charge
        self.unknown += charge.billed == "maybe"
        if charge.usage is not None:
            self.usage = charge.usage if self.usage is NO_USAGE else self.usage + charge.usage

    @property
    def cost_usd(self) -> float | None:
        """The sum over what was certainly billed; None if one of those has no known cost, or nothing was billed."""
        paid = self._paid()
        return None if paid is None else paid.cost_usd

    def _paid(self) -> Charge | None:
        """All that was certainly billed so far, as one charge."""
        before, last = self.before_last, self._last
        if last is None or last.billed != "yes":
            return before
        return last if before is None else _both(before, last)


def _both(a: Charge, b: Charge) -> Charge:
    cost = None if a.cost_usd is None or b.cost_usd is None else a.cost_usd + b.cost_usd
    return Charge("yes", (a.usage or NO_USAGE) + (b.usage or NO_USAGE), cost)
