"""An endpoint in memory that bills: it knows what each request truly cost, and tells it, tells it wrongly, or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

import orjson

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.types import Call, Json, Reply

Habit = Literal["tells", "hides", "overtells", "undertells"]
"""What its usage says: the truth, nothing, up to ten times too much, a part of it."""
RATES = tuple[float, float, float]
"""US dollars per million tokens read, read from cache, written."""
FATES = ("answer", "invalid", "empty", "timeout", "late timeout", "reset", "500", "429")
"""A late time-out, a reset and a 500 may have been billed or not; a plain time-out has been."""


@dataclass(frozen=True, slots=True)
class Billing:
    """How an endpoint bills: prices by model, its habit, and the share of requests that meet each fate but an answer.

    A greedy one takes every byte for a token and writes every answer to its limit.
    """

    rates: dict[str, RATES]
    habit: Habit = "tells"
    fates: tuple[tuple[str, float], ...] = ()
    greedy: bool = False
    latency_s: float = 1.0
    timeout_s: float = 30.0


@dataclass(slots=True)
class Bill:
    """What was billed. `true` is the provider's invoice, `told` what its replies said, the invoice where they did not.

    Each is (dollars, tokens).
    """

    true: list[float] = field(default_factory=lambda: [0.0, 0.0])
    told: list[float] = field(default_factory=lambda: [0.0, 0.0])


class BilledEndpoint:
    """A `Transport`. `bill` outlives it, for runs that go on; `flying` holds (dollars, tokens) as counted of each request on
    its way, and `most_flying` the highest sums there were, in which a budget may be passed.
    """

    def __init__(self, billing: Billing, seed: int, bill: Bill, watch: Callable[[], None] = lambda: None) -> None:
        self.billing = billing
        self.bill = bill
        self.requests = 0
        self.fates: dict[str, int] = {}
        self.flying: dict[int, tuple[float, float]] = {}
        self.most_flying = [0.0, 0.0]
        self._dice = random.Random(seed)
        self._watch = watch

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def abort(self) -> None:
        """Nothing to cut: whoever waits here is cancelled."""

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        self.requests += 1
        number, dice = self.requests, self._dice
        self._watch()
        body = orjson.loads(call.body)
        fate = self._fate()
        self.fates[fate] = self.fates.get(fate, 0) + 1
        usage = self._used(body, len(call.body))
        told = self._told(usage)
        self._fly(number, body["model"], usage, told)
        lasts = self.billing.timeout_s if "timeout" in fate else dice.expovariate(1 / self.billing.latency_s)
        try:
            await asyncio.sleep(lasts)
        except asyncio.CancelledError:
            fate = "late timeout"  # nobody hears what it says
            raise
        finally:
            del self.flying[number]
            self._charge(body["model"], fate, usage, told)
        return self._reply(fate, body, told, lasts)

    def _fate(self) -> str:
        for fate, share in self.billing.fates:
            if self._dice.random() < share:
                return fate
        return "answer"

    def _used(self, body: Json, size: int) -> Json:
        """The true usage: no more tokens than the request has bytes, no longer answers than it allows."""
        dice = self._dice
        most = 0 if "input" in body else body["max_tokens"] * body.get("n", 1)
        if self.billing.greedy:
            return _usage(size, most, 0)
        prompt = int(size * dice.choice((0.15, 0.3, 0.6, 1.0)))
        written = dice.choice((0, 1, most // 10, most // 2, most, most))
        cached = int(prompt * dice.choice((0.0, 0.0, 0.5, 1.0)))
        return _usage(prompt, written, cached)

    def _told(self, usage: Json) -> Json | None:
        dice, habit = self._dice, self.billing.habit
        if habit == "hides" and dice.random() < 0.7:
            return None
        if habit == "overtells" and dice.random() < 0.5:
            times = dice.choice((2, 5, 10))
            return _usage(usage["prompt_tokens"] * times, usage["completion_tokens"] * times + 50, 0)
        if habit == "undertells" and dice.random() < 0.5:
            return _usage(usage["prompt_tokens"] // 3, usage["completion_tokens"] // 3, 0)
        return usage

    def _fly(self, number: int, model: str, usage: Json, told: Json | None) -> None:
        self.flying[number] = self._amounts(model, told or usage)
        for unit in (0, 1):
            self.most_flying[unit] = max(self.most_flying[unit], sum(one[unit] for one in self.flying.values()))

    def _amounts(self, model: str, usage: Json) -> tuple[float, float]:
        read, cached, written = self.billing.rates[model]
        kept = usage["prompt_tokens_details"]["cached_tokens"]
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
        return ((prompt - kept) * read + kept * cached + completion * written) / 1e6, prompt + completion

    def _charge(self, model: str, fate: str, usage: Json, told: Json | None) -> None:
        if fate == "429" or (fate in ("late timeout", "reset", "500") and self._dice.random() < 0.5):
            return
        answered = fate in ("answer", "invalid", "empty")
        true, said = self._amounts(model, usage), self._amounts(model, (told if answered else None) or usage)
        for unit in (0, 1):
            self.bill.true[unit] += true[unit]
            self.bill.told[unit] += said[unit]

    def _reply(self, fate: str, body: Json, told: Json | None, lasted: float) -> Reply:
        if "timeout" in fate:
            raise TransportError(Phase.FIRST_BYTE, "no reply", elapsed_s=lasted)
        if fate == "reset":
            raise TransportError(Phase.SEND, "connection reset", elapsed_s=lasted)
        if fate in ("429", "500"):
            return Reply(int(fate), {"retry-after": "1"}, b'{"error":{"message":"not now"}}', lasted)
        made = _embeddings(body) if "input" in body else _chat(fate, body)
        if told is not None:
            made["usage"] = told
        return Reply(200, {}, orjson.dumps(made), lasted)


def _usage(prompt: int, written: int, cached: int) -> Json:
    return {
        "prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


def _chat(fate: str, body: Json) -> Json:
    text = {"answer": '{"a":1}', "invalid": '{"a":"one"}', "empty": ""}[fate]
    choices = [
        {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for at in range(body.get("n", 1))
    ]
    return {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices}


def _embeddings(body: Json) -> Json:
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": at, "embedding": [0.5]} for at in range(len(inputs))]
    return {"object": "list", "model": body["model"], "data": data}
