"""What a run adds up to: counts, tokens, causes and times, in memory that does not grow with the job. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from batchllm.types import Usage

_STEP = math.log(1.02)
_LEAST = 1e-4
_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")
MAX_FIELDS = 1000
MODELS = 100


class Histogram:
    """Positive durations in buckets two per cent wide: percentiles of any number of values in a few hundred counts."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self._buckets[int(math.log(max(seconds, _LEAST) / _LEAST) / _STEP)] += 1

    def values(self) -> list[tuple[float, int]]:
        """Each bucket's middle and how many lie in it, ascending."""
        return [(_LEAST * math.exp((at + 0.5) * _STEP), count) for at, count in sorted(self._buckets.items())]

    def percentile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of all lie, within two per cent; None without any."""
        if not self.count:
            return None
        wanted = math.ceil(share * self.count)
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                return _LEAST * math.exp((bucket + 0.5) * _STEP)
        return None

    def summary(self) -> dict[str, float | None]:
        return {name: _rounded(self.percentile(share)) for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


class _Tokens:
    """Usages added up in place, once for each request; a `Usage` is made when somebody looks."""

    __slots__ = ("_cached", "_completion", "_prompt", "_reasoning", "_total")

    def __init__(self) -> None:
        self._prompt: int | None = None
        self._completion: int | None = None
        self._total: int | None = None
        self._cached: int | None = None
        self._reasoning: int | None = None

    def add(self, usage: Usage) -> None:
        if usage.prompt_tokens is not None:
            self._prompt = (self._prompt or 0) + usage.prompt_tokens
        if usage.completion_tokens is not None:
            self._completion = (self._completion or 0) + usage.completion_tokens
        if usage.total_tokens is not None:
            self._total = (self._total or 0) + usage.total_tokens
        if usage.cached_tokens is not None:
            self._cached = (self._cached or 0) + usage.cached_tokens
        if usage.reasoning_tokens is not None:
            self._reasoning = (self._reasoning or 0) + usage.reasoning_tokens

    def add_json(self, usage: dict[str, Any]) -> bool:
        """The same for a usage as a record holds it, a million times when a run goes on; whether it was known."""
        get = usage.get
        if prompt := (type(count := get("prompt_tokens")) is int and count >= 0):
            self._prompt = (self._prompt or 0) + count
        if completion := (type(count := get("completion_tokens")) is int and count >= 0):
            self._completion = (self._completion or 0) + count
        if type(count := get("total_tokens")) is int and count >= 0:
            self._total = (self._total or 0) + count
        if type(count := get("cached_tokens")) is int and count >= 0:
            self._cached = (self._cached or 0) + count
        if type(count := get("reasoning_tokens")) is int and count >= 0:
            self._reasoning = (self._reasoning or 0) + count
        return prompt and completion

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt, self._completion, self._total, self._cached, self._reasoning)


@dataclass(slots=True)
class FailureGroup:
    """Failed lines that failed alike: how many, and one to look at."""

    count: int = 0
    example_line: int = 0
    example_custom_id: str = ""
    message: str = ""


def fields_of(facts: dict[str, Any]) -> tuple[str, ...]:
    """The fields that a record's facts name as invalid, each once, the elements of a list as one."""
    problems = facts.get("problems") or ()
    paths = (str(problem.get("path", "")) for problem in problems if isinstance(problem, dict))
    return tuple(sorted({_NUMBER.sub("*", path) or "(the whole)" for path in paths}))


@dataclass(slots=True)
class Tally:
    """Running totals of one run. `usage` covers every attempt that was billed, with its share in `rejected_usage`
    for answers that were not kept as results; `usage_unknown` counts billed attempts whose tokens nobody told,
    `outcome_unknown` those that may have been billed at all. `at_most_*` is the most that both kinds may have taken.
    """

    done: int = 0
    failed: int = 0
    invalid: int = 0
    skipped: int = 0
    duplicates: int = 0
    requests: int = 0
    usage_unknown: int = 0
    outcome_unknown: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    rejected_cost_usd: float = 0.0
    at_most_usd: float = 0.0
    at_most_tokens: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    failures: dict[str, FailureGroup] = field(default_factory=dict)
    fields_invalid: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    ttft: Histogram = field(default_factory=Histogram)
    token_rate: Histogram = field(default_factory=Histogram)
    _used: _Tokens = field(default_factory=_Tokens)
    _rejected: _Tokens = field(default_factory=_Tokens)

    def add_usage(self, usage: Usage | None, *, rejected: bool = False) -> None:
        """Count one billed attempt's tokens, or that they are unknown."""
        if usage is None or not usage.known:
            self.usage_unknown += 1
        if usage is not None:
            self._used.add(usage)
            if rejected:
                self._rejected.add(usage)

    @property
    def usage(self) -> Usage:
        return self._used.usage

    @property
    def tokens(self) -> int:
        """Tokens in all, where the provider told."""
        usage = self.usage
        return usage.total_tokens or (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)

    @property
    def cached_share(self) -> float | None:
        """The part of all prompt tokens that providers read from their caches; None where none told."""
        usage = self.usage
        if usage.cached_tokens is None or not usage.prompt_tokens:
            return None
        return round(usage.cached_tokens / usage.prompt_tokens, 4)

    @property
    def rejected_usage(self) -> Usage:
        return self._rejected.usage

    def earlier(self, usage: Usage, before: Usage, cost_usd: float | None, *, rejected: bool) -> None:
        """What an earlier run's record was billed in its last attempt; those `before` it are counted by their notes."""
        self.add_usage(usage - before, rejected=rejected)
        self.add_cost(cost_usd, rejected=rejected)

    def earlier_result(self, usage: dict[str, Any], cost_usd: float | None) -> None:
        """The same for a result of a single attempt, as nearly all are."""
        if not self._used.add_json(usage):
            self.usage_unknown += 1
        self.add_cost(cost_usd)

    def add_cost(self, cost_usd: float | None, *, rejected: bool = False) -> None:
        """Count what one billed attempt cost; None makes the total unknown rather than too small."""
        if cost_usd is None:
            self.cost_known = False
        else:
            self.cost_usd += cost_usd
            self.rejected_cost_usd += cost_usd if rejected else 0.0

    def add_at_most(self, at_most: object) -> None:
        """Count the worst case of an attempt of which nobody told what it was billed."""
        if isinstance(at_most, dict):
            self.at_most_usd += at_most.get("usd") or 0.0
            self.at_most_tokens += at_most.get("tokens") or 0

    def answered_by(self, model: object) -> None:
        """Count an answer for the model that gave it; a gateway may make up a new name for each, so only so many are kept."""
        if isinstance(model, str) and (model in self.models or len(self.models) < MODELS):
            self.models[model] += 1

    def add_problems(self, fields: Iterable[str]) -> None:
        """Count the fields an answer failed in; of endless names the first `MAX_FIELDS`."""
        for name in fields:
            if name in self.fields_invalid or len(self.fields_invalid) < MAX_FIELDS:
                self.fields_invalid[name] += 1

    def add_failure(self, code: str, line: int, custom_id: str, message: str) -> None:
        group = self.failures.get(code)
        if group is None:
            group = self.failures[code] = FailureGroup(0, line, custom_id, message)
        group.count += 1

    def as_json(self, wall_s: float) -> dict[str, Any]:
        """The part of `summary.json` that this run itself measured."""
        rate = wall_s or 1e-9
        return {
            "requests": self.requests,
            "retries": dict(self.retries.most_common()),
            "usage_unknown": self.usage_unknown,
            "outcome_unknown": self.outcome_unknown,
            "latency_s": self.latency.summary(),
            "ttft_s": self.ttft.summary() if self.ttft.count else None,
            "tokens_per_s_per_request": self.token_rate.summary() if self.token_rate.count else None,
            "wall_s": round(wall_s, 3),
            "requests_per_s": round(self.requests / rate, 3),
            "tokens_per_s": round(self.tokens / rate, 3),
        }
