"""What a job may use and cost, before anything is sent: a range, since nobody knows how long the answers will be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from batchllm.billing import READS_ONLY, Price, cost_usd
from batchllm.endpoints import endpoint_for
from batchllm.types import Json, Request, Usage

BYTES_PER_TOKEN = 4
SPREAD = 1.3
"""How far the tokens of a prompt may lie from its bytes by that measure, up or down: by language and tokenizer."""


class Estimate:
    """Adds up what a job may use, line by line. Without a limit on some answer, what will be written is unknown.

    The cost is a range: the prompts alone, measured short, with no answer at all; the prompts measured long, with every
    answer at its limit. A model without a price makes the cost unknown, and is named.
    """

    def __init__(self, prices: Callable[[str], Price | None], assumed: int | None = None) -> None:
        self._prices = prices
        self._assumed = assumed
        self.prompt = 0.0
        self.completion: int | None = 0
        self._least = self._most = self._batch = 0.0
        self._in_batch = self._bounded = True
        self._sources: Counter[str] = Counter()
        self._unpriced: Counter[str] = Counter()

    def add(self, request: Request) -> None:
        prompt, ceiling = _prompt_tokens(request), _ceiling(request, self._assumed)
        self.prompt += prompt
        self.completion = None if ceiling is None or self.completion is None else self.completion + ceiling
        self._price(str(request.body.get("model") or ""), prompt, ceiling)

    def _price(self, model: str, prompt: float, ceiling: int | None) -> None:
        price = self._prices(model)
        if price is None:
            if model in self._unpriced or len(self._unpriced) < 20:
                self._unpriced[model] += 1
            return
        self._sources[price.source] += 1
        least, most = Usage(round(prompt / SPREAD), 0), Usage(round(prompt * SPREAD), ceiling or 0)
        self._bounded &= ceiling is not None
        self._least += cost_usd(least, price) or 0.0
        self._most += cost_usd(most, price) or 0.0
        self._in_batch &= price.batch is not None
        self._batch += cost_usd(most, price.batch) or 0.0

    def as_json(self) -> Json:
        """`cost_usd` is null where no model has a price, and its `most` where an answer has no limit."""
        cost = None
        if self._sources:
            bounded = self._bounded and not self._unpriced
            cost = {"least": _rounded(self._least), "most": _rounded(self._most) if bounded else None,
                    "most_as_provider_batch": _rounded(self._batch) if bounded and self._in_batch else None,
                    "prices": list(self._sources)}  # fmt: skip
        return {
            "prompt_tokens": round(self.prompt), "max_completion_tokens": self.completion,
            "method": f"{BYTES_PER_TOKEN} bytes a token", "cost_usd": cost, "unpriced_models": list(self._unpriced),
        }  # fmt: skip


def estimate_lines(estimate: Json) -> list[str]:
    """The estimate as lines of text."""
    ceiling = estimate["max_completion_tokens"]
    most = f"at most {ceiling:,} completion" if ceiling is not None else "completion unbounded (no max_tokens)"
    return [
        f"  tokens    about {estimate['prompt_tokens']:,} prompt ({estimate['method']}), {most}",
        f"  cost      {_cost(estimate)}",
    ]


def _cost(estimate: Json) -> str:
    cost, unpriced = estimate["cost_usd"], estimate["unpriced_models"]
    missing = f"no price is known for {', '.join(name or 'lines without a model' for name in unpriced[:3])}" if unpriced else ""
    if cost is None:
        return f"unknown: {missing}; [prices] in the settings gives one" if missing else "unknown: nothing to send"
    text = f"${cost['least']:.4g} for the prompts alone"
    if cost["most"] is not None:
        text += f", at most about ${cost['most']:.4g} with every answer at its limit"
    elif not missing:
        text += ", no upper bound: some answer has no limit (max_tokens)"
    if cost["most_as_provider_batch"] is not None:
        text += f" (${cost['most_as_provider_batch']:.4g} by the provider's own batch prices)"
    return f"{text}; prices: {', '.join(cost['prices'])}" + (f"; {missing}" if missing else "")


def _ceiling(request: Request, assumed: int | None) -> int | None:
    """The tokens all answers of a line may have; 0 where answers are not billed, None without a limit."""
    if request.url.endswith(READS_ONLY):
        return 0
    body = request.body
    said = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens") or assumed
    answers = body.get("n")
    return said * (answers if type(answers) is int else 1) * _rounds(request) if type(said) is int else None


def _rounds(request: Request) -> int:
    return len(request.extras.turns) or 1 if request.extras is not None else 1


def _prompt_tokens(request: Request) -> float:
    turns, rounds = request.extras.turns if request.extras is not None else (), _rounds(request)
    # Each later question stands in every request from its own on; what will be answered is not known yet.
    later = sum((rounds - turn) * _tokens(question) for turn, question in enumerate(turns) if turn)
    return rounds * _tokens(endpoint_for(request.url).prompt_text(request.body)) + later


def _tokens(text: str) -> float:
    return len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN


def _rounded(value: float) -> Any:
    return float(f"{value:.4g}")
