"""An endpoint in memory with a server's limits, moods and faults, seeded and on the loop's own time; and its ledger."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, NamedTuple, Self

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Feed
from batchllm.types import Call, Reply

Hints = Literal["exact", "over5", "over30", "fixed30", "absent", "ms"]
Mood = Literal["ok", "down", "hang", "500", "502", "503", "429", "reset", "quota"]


class Spell(NamedTuple):
    """For the seconds from `start` to `end` of a run every request meets this mood."""

    start: float
    end: float
    mood: Mood


@dataclass(frozen=True, slots=True)
class ServerModel:
    """What a server is like. Rates are requests a second, times seconds since the run began.

    `rate` None is no limit; its bucket holds `burst_s` seconds' worth and starts full. `changes` are (time, rate)
    pairs. `faults` are moods with the share of requests that meet them at random, `poison` lines meet theirs at every
    attempt; a refusal at random tells `fault_wait_s`, by way of `hints` (None: nothing). `refusals_count` charges refused
    requests too, as OpenAI does.
    """

    rate: float | None = None
    burst_s: float = 1.0
    tpm: float | None = None
    changes: tuple[tuple[float, float], ...] = ()
    hints: Hints = "exact"
    headers: bool = False
    latency_s: float = 0.5
    spread: float = 0.4
    refusal_s: float = 0.03
    timeout_s: float = 60.0
    max_in_flight: int | None = None
    refusals_count: bool = False
    spells: tuple[Spell, ...] = ()
    faults: tuple[tuple[Mood, float], ...] = ()
    poison: tuple[tuple[int, Mood], ...] = ()
    tokens: int = 100
    fault_wait_s: float | None = None

    @property
    def mean_latency_s(self) -> float:
        return self.latency_s * math.exp(self.spread**2 / 2)


class Visit(NamedTuple):
    """One request in the ledger: when it came and left, what it met, and the wait it was told (None: none).

    `number` is its place among the comings; `in_flight` counts it and those beside it at its coming.
    """

    number: int
    at: float
    line: int
    mood: Mood
    left: float
    told_s: float | None
    in_flight: int


@dataclass(slots=True)
class Level:
    """A token bucket that starts full. Negative where refusals were charged, down to one bucket below empty."""

    rate: float
    burst: float
    at: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.burst

    def missing_s(self, amount: float, now: float) -> float:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (amount - self.level) / self.rate)

    def take(self, amount: float) -> None:
        self.level = max(-self.burst, self.level - amount)

    def change(self, rate: float, burst: float, now: float) -> None:
        self.missing_s(0.0, now)
        self.rate, self.burst = rate, burst
        self.level = min(self.level, burst)


_LINE = re.compile(rb'"content":"(\d+)"')
_ANSWER = b'{"object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'  # noqa: E501
_RATE = b'{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}'
_QUOTA = b'{"error":{"message":"see your plan","type":"insufficient_quota","code":"insufficient_quota"}}'
_TROUBLE = b'{"error":{"message":"internal"}}'


class SimulatedEndpoint:
    """A `Transport` whose other end is a `ServerModel`. Prompts are the numbers of their lines.

    `watch` is called with every visit's line as it comes, before anything is decided.
    """

    def __init__(self, model: ServerModel, seed: int, watch: Callable[[int], None] | None = None) -> None:
        self.model = model
        self.visits: list[Visit] = []
        self.in_flight = 0
        self.came = 0
        self._random = random.Random(seed)
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self.began = now = self._loop.time()
        self._requests = None if model.rate is None else Level(model.rate, _burst(model.rate, model.burst_s), now)
        self._tokens = None if model.tpm is None else Level(model.tpm / 60, model.tpm / 60 * 10, now)
        self._changes = list(model.changes)
        self._poison = dict(model.poison)
        self._mu = math.log(model.latency_s)
        self._answer = _ANSWER % (model.tokens - 20, 20, model.tokens)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def abort(self) -> None:
        """Nothing to cut: whoever waits here is cancelled."""

    async def send(self, call: Call, feed: Feed | None = None) -> Reply:
        loop = self._loop
        found = _LINE.search(call.body)
        line = int(found[1]) if found else 0
        if self._watch is not None:
            self._watch(line)
        at = loop.time()
        self.came += 1
        number = self.came
        self.in_flight += 1
        beside = self.in_flight
        mood, wait = self._decide(line, at - self.began, at)
        told = None if wait is None or mood not in ("429", "503") else self._told(wait)
        headers = self._headers(told, at)
        lasts = self._lasts(mood)
        try:
            await asyncio.sleep(lasts)
        finally:
            self.in_flight -= 1
            self.visits.append(Visit(number, at, line, mood, loop.time(), told, beside))
        return self._reply(mood, headers, lasts)

    def _decide(self, line: int, since: float, now: float) -> tuple[Mood, float | None]:
        """What a request meets, and the true wait where it is refused."""
        model = self.model
        for start, end, mood in model.spells:
            if start <= since < end:
                return mood, end - since
        if line in self._poison:
            return self._poison[line], 1.0
        while self._changes and since >= self._changes[0][0]:
            _, rate = self._changes.pop(0)
            assert self._requests is not None
            self._requests.change(rate, _burst(rate, model.burst_s), now)
        refused = self._refused(now)
        if refused is not None:
            return "429", refused
        for mood, share in model.faults:
            if self._random.random() < share:
                return mood, model.fault_wait_s
        return "ok", None

    def _refused(self, now: float) -> float | None:
        model = self.model
        if model.max_in_flight is not None and self.in_flight > model.max_in_flight:
            return 1.0
        wait = self._requests.missing_s(1.0, now) if self._requests is not None else 0.0
        if self._tokens is not None:
            wait = max(wait, self._tokens.missing_s(model.tokens, now))
        if wait <= 1e-9 or model.refusals_count:
            if self._requests is not None:
                self._requests.take(1.0)
            if self._tokens is not None:
                self._tokens.take(model.tokens)
        return wait if wait > 1e-9 else None

    def _told(self, wait: float) -> float | None:
        whole = float(max(1, math.ceil(wait)))
        return {
            "exact": whole, "over5": whole + 5, "over30": whole + 30, "fixed30": 30.0,
            "absent": None, "ms": math.ceil(wait * 1000) / 1000,
        }[self.model.hints]  # fmt: skip

    def _headers(self, told: float | None, now: float) -> dict[str, str]:
        headers: dict[str, str] = {}
        if told is not None and self.model.hints == "ms":
            headers["retry-after-ms"] = str(int(told * 1000 + 0.5))
        elif told is not None:
            headers["retry-after"] = str(int(told))
        if self.model.headers and self._requests is not None:
            bucket = self._requests
            bucket.missing_s(0.0, now)
            headers["x-ratelimit-limit-requests"] = str(int(bucket.burst))
            headers["x-ratelimit-remaining-requests"] = str(max(0, int(bucket.level)))
            headers["x-ratelimit-reset-requests"] = f"{(bucket.burst - bucket.level) / bucket.rate:.3f}s"
        return headers

    def _lasts(self, mood: Mood) -> float:
        if mood == "hang":
            return self.model.timeout_s
        latency = math.exp(self._random.gauss(self._mu, self.model.spread))
        if mood in ("ok", "500", "502", "reset"):
            return latency
        return self.model.refusal_s * self._random.uniform(0.5, 1.5)

    def _reply(self, mood: Mood, headers: dict[str, str], lasted: float) -> Reply:
        if mood == "ok":
            return Reply(200, headers, self._answer, lasted)
        if mood == "down":
            raise TransportError(Phase.CONNECT, "connection refused", elapsed_s=lasted)
        if mood == "hang":
            raise TransportError(Phase.FIRST_BYTE, "no reply", elapsed_s=lasted)
        if mood == "reset":
            raise TransportError(Phase.SEND, "connection reset", elapsed_s=lasted)
        body = {"429": _RATE, "quota": _QUOTA}.get(mood, _TROUBLE)
        return Reply(429 if mood == "quota" else int(mood), headers, body, lasted)


def _burst(rate: float, burst_s: float) -> float:
    return max(1.0, rate * burst_s)
