"""What lines of a job came to, added up so that others like them can be foretold. Pure, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchllm.intervals import Moments
from batchllm.types import Json


@dataclass(slots=True)
class Sample:
    """Lines with their record, of this run and of earlier ones. Costs in US dollars, times in seconds.

    `rejected` counts the lines that had an answer which was paid for and not valid; `unpriced` those of unknown cost.
    """

    lines: int = 0
    failed: int = 0
    rejected: int = 0
    unpriced: int = 0
    cost: Moments = field(default_factory=Moments)
    tokens: Moments = field(default_factory=Moments)
    seconds: Moments = field(default_factory=Moments)
    requests: Moments = field(default_factory=Moments)

    def add(self, facts: Json, *, ok: bool, invalid: bool = False) -> None:
        """Count a line by what its record says under `batchllm`."""
        self.count(ok=ok, invalid=invalid or "rejected_usage" in facts)
        if "duplicate_of" in facts:
            return  # nothing was asked for it, which foretells nothing of lines that are
        cost, usage = facts.get("cost_usd"), facts.get("usage")
        if isinstance(cost, int | float):
            self.cost.add(cost)
        elif facts.get("billed", "yes") == "yes":
            self.unpriced += 1
        else:
            self.cost.add(0.0)
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(total, int):
            self.tokens.add(total)
        attempts, latency = facts.get("attempts"), facts.get("latency_s")
        if isinstance(attempts, int) and isinstance(latency, int | float):
            self.requests.add(attempts)
            self.seconds.add(attempts * latency)

    def count(self, *, ok: bool, invalid: bool = False) -> None:
        """Count a line of which no more is known than how it ended."""
        self.lines += 1
        self.failed += not ok
        self.rejected += invalid
