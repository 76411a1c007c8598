"""What a job may use, cost and take, before anything is sent: ranges, since nobody knows how long the answers will be."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from batchllm.attachments import Attachment, attachments
from batchllm.billing import PER, READS_ONLY, Price, most_written
from batchllm.endpoints import endpoint_for
from batchllm.estimate.counters import BY_SCRIPT, Counter
from batchllm.estimate.earlier import ENOUGH, Earlier
from batchllm.estimate.pace import Limits, Pace, pace
from batchllm.estimate.sampling import RatioSample
from batchllm.intervals import Interval
from batchllm.types import Json, Request

AROUND_MESSAGE, AROUND_PROMPT = 4, 3
"""Tokens of a chat template around each message and at its end (OpenAI, "How to count tokens with tiktoken")."""
LONGEST = 200_000
"""Characters of one text that are counted; a longer one is taken to go on like that."""
LATENCY_S = 5.0
"""What an answer is assumed to take where no earlier one tells."""
UNPRICED = 20
"""Names of models without a price that are kept."""


@dataclass(slots=True)
class Group:
    """Lines that are reckoned alike: one model at one step of its prices. Sizes in bytes, the rest in tokens."""

    price: Price
    lines: int = 0
    size: float = 0.0
    fixed: float = 0.0
    written: float = 0.0
    writing: int = 0


class Estimate:
    """Adds up what a job may use, line by line, in constant memory.

    The tokens of a prompt are its bytes at the ratio that `counter` finds in a sample of the lines (or that `earlier`
    answers to some of them had), and what stands around its messages. `form` gives a request's body as it will be sent,
    with its schema. The cost is a range: the prompts alone, counted short, with no answer at all; the prompts counted long,
    with every answer at its limit. Without a limit on some answer what will be written is unknown, and a model without a
    price makes the cost so, and is named.
    """

    def __init__(
        self,
        prices: Callable[[str], Price | None],
        assumed: int | None = None,
        *,
        counter: Counter = BY_SCRIPT,
        earlier: Earlier | None = None,
        form: Callable[[Request], Json] | None = None,
    ) -> None:
        self._prices = prices
        self._assumed = assumed
        self._counter = counter
        self._earlier = earlier or Earlier()
        self._form = form
        self._counted = RatioSample()
        self._answered = RatioSample()
        self._forms: dict[tuple[str | None, str], float] = {}
        self._groups: dict[tuple[str, float], Group] = {}
        self._unpriced: Count[str] = Count()
        self._beside: Count[str] = Count()
        self._size = self._fixed = 0.0
        self._writing = 0
        self._completion: float | None = 0
        self.requests = 0

    def add(self, request: Request) -> None:
        """Count one line."""
        body, rounds = request.body, _rounds(request)
        text = endpoint_for(request.url).prompt_text(body)
        length = len(text.encode("utf-8", "replace"))
        size = rounds * length + _later(request, rounds)
        beside = list(attachments(body))
        self._beside.update(one.kind for one in beside)
        fixed = rounds * (_around(body) + sum(one.rough for one in beside) + self._schema(request, text))
        ceiling = most_written(body, request.url, self._assumed)
        written = None if ceiling is None else ceiling * rounds
        self._counted.offer(size, lambda: self._count(text))
        self._learn(request, size, beside)
        self.requests += rounds
        self._size += size
        self._fixed += fixed
        self._writing += not request.url.endswith(READS_ONLY)
        self._completion = None if written is None or self._completion is None else self._completion + written
        self._sort(request, size, fixed, written)

    def _count(self, text: str) -> tuple[float, float]:
        text = text[:LONGEST]
        return len(text.encode("utf-8", "replace")), self._counter.count(text)

    def _learn(self, request: Request, size: float, beside: list[Attachment]) -> None:
        """A line that is answered already tells how its bytes were counted, all that stands around them included."""
        digest, tokens = self._earlier.prompts.get(request.custom_id, ("", 0))
        if digest == request.digest and size and not beside:
            self._answered.offer(size, lambda: (size, float(tokens)))

    def _schema(self, request: Request, text: str) -> float:
        """Tokens that a schema adds to the prompt: counted once for each schema and path."""
        if self._form is None:
            return 0.0
        key = (request.schema, request.url)
        if key not in self._forms:
            formed = endpoint_for(request.url).prompt_text(self._form(request))
            self._forms[key] = max(0.0, self._counter.count(formed) - self._counter.count(text))
        return self._forms[key]

    def _sort(self, request: Request, size: float, fixed: float, written: float | None) -> None:
        model = request.body.get("model")
        name = model if isinstance(model, str) else ""
        price = self._prices(name)
        if price is None:
            if name in self._unpriced or len(self._unpriced) < UNPRICED:
                self._unpriced[name] += 1
            return
        about = size / 4 + fixed
        rates = price.at(about)
        key = name, rates.input
        if key not in self._groups:
            batch = None if price.batch is None else price.batch.at(about)
            self._groups[key] = Group(replace(rates, above=(), source=price.source, batch=batch))
        group = self._groups[key]
        group.lines += 1
        group.size += size
        group.fixed += fixed
        group.written += written or 0.0
        group.writing += not request.url.endswith(READS_ONLY)

    # -- what it comes to ------------------------------------------------------------------------------------------

    @property
    def _by_answers(self) -> bool:
        return self._answered.drawn >= ENOUGH

    def _per_byte(self) -> tuple[Interval, float]:
        """Tokens a byte, and how many times more or fewer they may be beside the sample's own uncertainty."""
        if self._by_answers:
            return self._answered.ratio(), 1.0
        return self._counted.ratio(), self._counter.spread

    def _prompt(self, size: float, fixed: float) -> Interval:
        rate, spread = self._per_byte()
        around = 0.0 if self._by_answers else fixed
        tokens = rate.times(size).plus(around)
        return Interval(tokens.value, tokens.low / spread, tokens.high * spread)

    def prompt(self) -> Interval:
        """Tokens of all prompts."""
        return self._prompt(self._size, self._fixed)

    def completion(self) -> float | None:
        """The tokens that all answers may have together; None where one has no limit."""
        return self._completion

    def typical(self) -> Interval | None:
        """The tokens of all answers if they are like the earlier ones; None without enough of those."""
        return self._earlier.written.sum_of(self._writing) if self._earlier.enough else None

    def _method(self) -> str:
        if self._by_answers:
            return f"measured on {self._answered.drawn:,} answers in the output folder"
        if self._counted.lines > self._counted.drawn:
            return f"{self._counter.name}, on a sample of {self._counted.drawn:,} lines"
        return self._counter.name

    def time(self, limits: Limits) -> tuple[Pace, float, bool]:
        """The time under these limits; the seconds an answer is reckoned to take, and whether earlier ones told them."""
        told = self._earlier.enough and self._earlier.seconds.count > 0
        latency = self._earlier.seconds.mean if told else LATENCY_S
        attempts = self._earlier.requests.mean if told else 1.0
        typical = self.typical()
        written = typical.value if typical is not None else (self._completion or 0.0)
        return pace(self.requests * attempts, (self.prompt().value + written) * attempts, latency, limits), latency, told

    def _cost(self) -> Json | None:
        groups = list(self._groups.values())
        if not groups:
            return None
        bounded = self._completion is not None and not self._unpriced
        in_batch = bounded and all(group.price.batch is not None for group in groups)
        typical = None if self._unpriced else self._typical_cost(groups)
        return {
            "least": _rounded(sum(_usd(group.price, self._prompt(group.size, group.fixed).low, 0) for group in groups)),
            "typical": typical,
            "most": _rounded(sum(self._most(group, group.price) for group in groups)) if bounded else None,
            "most_as_provider_batch": _rounded(sum(self._most(one, one.price.batch) for one in groups)) if in_batch else None,
            "prices": list(dict.fromkeys(group.price.source for group in groups)),
        }  # fmt: skip

    def _most(self, group: Group, price: Price | None) -> float:
        return 0.0 if price is None else _usd(price, self._prompt(group.size, group.fixed).high, group.written, dearest=True)

    def _typical_cost(self, groups: list[Group]) -> Json | None:
        written = self.typical()
        if written is None:
            return None
        bounds = {}
        for name in ("value", "low", "high"):
            share = getattr(written, name) / max(self._writing, 1)
            prompts = [getattr(self._prompt(group.size, group.fixed), name) for group in groups]
            usd = sum(_usd(one.price, prompt, share * one.writing) for one, prompt in zip(groups, prompts, strict=True))
            bounds[name] = _rounded(usd)
        return bounds

    def as_json(self, limits: Limits | None = None) -> Json:
        """`cost_usd` is null where no model has a price, its `most` where an answer has no limit, `typical` without earlier
        answers to go by; `time` without limits."""
        prompt, typical = self.prompt(), self.typical()
        made = {
            "prompt_tokens": round(prompt.value),
            "prompt_tokens_range": [round(prompt.low), round(prompt.high)],
            "max_completion_tokens": None if self._completion is None else round(self._completion),
            "typical_completion_tokens": None if typical is None else [round(one) for one in (typical.value, typical.low, typical.high)],
            "method": self._method(),
            "attachments": dict(self._beside),
            "cost_usd": self._cost(),
            "unpriced_models": list(self._unpriced),
        }  # fmt: skip
        if limits is not None:
            took, latency, told = self.time(limits)
            made["time"] = {
                "seconds": _rounded(took.seconds), "binds": took.binds, "latency_s": _rounded(latency), "latency_assumed": not told,
            }  # fmt: skip
        return made


def _usd(price: Price, prompt: float, written: float, *, dearest: bool = False) -> float:
    rate = max(price.output, price.reasoning or 0.0) if dearest else price.output
    return (prompt * price.input + written * rate) / PER


def _around(body: Json) -> float:
    messages = body.get("messages")
    return AROUND_MESSAGE * len(messages) + AROUND_PROMPT if isinstance(messages, list) else 0.0


def _rounds(request: Request) -> int:
    return len(request.extras.turns) or 1 if request.extras is not None else 1


def _later(request: Request, rounds: int) -> float:
    """Each later question stands in every request from its own on; what will be answered is not known yet."""
    turns = request.extras.turns if request.extras is not None else ()
    return sum((rounds - turn) * len(question.encode("utf-8", "replace")) for turn, question in enumerate(turns) if turn)


def _rounded(value: float) -> Any:
    return float(f"{value:.4g}")
