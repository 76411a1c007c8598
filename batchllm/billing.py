"""What tokens cost, and what the attempts of one line come to. Pure; prices are in US dollars per million tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchllm.attachments import attachments
from batchllm.retry import Billed
from batchllm.strictjson import dumps
from batchllm.types import NO_USAGE, Json, Usage, value

PER = 1_000_000
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
READS_ONLY = ("/embeddings", "/moderations", "/rerank", "/score")
"""Ends of paths whose answers are not billed by the token."""


RATES = ("input", "output", "cached", "reasoning", "batch_input", "batch_output", "batch_cached")
"""What a row of `[prices]` may say."""


@value
class Price:
    """US dollars per million tokens. `cached` defaults to the input price, `reasoning` to the output price.

    `above` are dearer rates for long prompts, each from so many prompt tokens on, ascending: they hold for all tokens of
    such a request. `batch` is what the provider's own batch API takes; `source` says who told.
    """

    input: float
    output: float
    cached: float | None = None
    reasoning: float | None = None
    above: tuple[tuple[int, Price], ...] = ()
    batch: Price | None = None
    source: str = "[prices]"

    def at(self, prompt_tokens: float) -> Price:
        """The rates for a request with a prompt this long."""
        for start, price in reversed(self.above):
            if prompt_tokens > start:
                return price
        return self


def price_from(row: Mapping[str, float]) -> Price:
    """A row of the settings' `[prices]`. Raises KeyError, TypeError or ValueError for one that cannot be used."""
    strange = [name for name in row if name not in RATES]
    if strange:
        raise ValueError(f"no rate is called '{strange[0]}'; there are {', '.join(RATES)}")
    said = {name: float(value) for name, value in row.items()}
    if any(not 0 <= value < float("inf") for value in said.values()):
        raise ValueError("a price is a number of US dollars, 0 or more")
    batch = None
    if "batch_input" in said or "batch_output" in said:
        batch = Price(said["batch_input"], said["batch_output"], said.get("batch_cached"))
    return Price(said["input"], said["output"], said.get("cached"), said.get("reasoning"), batch=batch)


def cost_usd(usage: Usage | None, price: Price | None) -> float | None:
    """What one attempt cost; None where the price or the tokens are unknown, which is never the same as nothing."""
    if price is None or usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    rates = price.at(usage.prompt_tokens) if price.above else price
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    fresh = usage.prompt_tokens - cached
    cached_price = rates.input if rates.cached is None else rates.cached
    thought = 0 if rates.reasoning is None else min(usage.reasoning_tokens or 0, usage.completion_tokens)
    written = (usage.completion_tokens - thought) * rates.output + thought * (rates.reasoning or 0.0)
    return (fresh * rates.input + cached * cached_price + written) / PER


@value
class Worst:
    """The most one request may use and cost; None where nobody can say."""

    tokens: float | None = None
    usd: float | None = None


def worst_case(body: Json, url: str, price: Price | None, assumed: int | None) -> Worst:
    """Every byte of the request a token, and every token its answer may have. `assumed` stands in for a limit on the answer.

    No tokenizer in use makes more tokens than there are bytes: one that knows no better falls back to single bytes. What
    a provider adds of its own to each message is less than the JSON around it. Images and sound count by `attachments`.
    """
    prompt = _most_prompt(body)
    written = most_written(body, url, assumed)
    if written is None:
        return Worst()
    if price is None:
        return Worst(prompt + written)
    rates = price.at(prompt)
    dearest = max(rates.output, rates.reasoning or 0.0)
    return Worst(prompt + written, (prompt * max(rates.input, rates.cached or 0.0) + written * dearest) / PER)


def _most_prompt(body: Json) -> float:
    beside = list(attachments(body))
    return len(dumps(body)) - sum(one.written for one in beside) + sum(one.most for one in beside)


def most_written(body: Json, url: str, assumed: int | None) -> float | None:
    """The tokens all answers to a request may have; 0 where answers are not billed, None where nothing limits them."""
    if url.endswith(READS_ONLY):
        return 0
    said = answer_limit(body) or assumed
    if said is None:
        return None
    # On DashScope `max_tokens` does not cover the reasoning, which has a limit of its own.
    return (said + _count(body.get("thinking_budget"))) * _answers(body)


def answer_limit(body: Json) -> int | None:
    """What a body says of the length of an answer, in tokens; None if nothing."""
    return next((limit for name in LIMITS if (limit := _count(body.get(name)))), None)


def _answers(body: Json) -> int:
    """How many answers are billed for one request: `n` (`best_of` makes more than it gives) of each prompt in a list."""
    prompt = body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and any(type(one) is not int for one in prompt) else 1
    return max(_count(body.get("n")), _count(body.get("best_of")), 1) * prompts


def _count(value: object) -> int:
    return int(value) if type(value) in (int, float) and value > 0 else 0  # type: ignore[call-overload, operator]


@value
class Charge:
    """What one attempt was billed: for certain, perhaps, or not at all. None is "nobody told", never nothing.

    `worst` is set where nobody told: the most it may have been.
    """

    billed: Billed
    usage: Usage | None = None
    cost_usd: float | None = None
    worst: Worst | None = None

    @property
    def told(self) -> bool:
        """Whether it is known what the attempt used, be it nothing."""
        return self.billed == "no" or (self.usage is not None and self.usage.known)

    @property
    def tokens(self) -> float | None:
        """Tokens that were used, None where nobody told; a total above the sum covers reasoning that is counted apart."""
        if self.billed == "no":
            return 0
        usage = self.usage
        if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        return max(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens or 0)

    @property
    def usd(self) -> float | None:
        """What it cost, None where nobody told."""
        return 0.0 if self.billed == "no" else self.cost_usd


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
