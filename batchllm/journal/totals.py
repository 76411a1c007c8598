"""What the files of a folder add up to: tokens and money of every attempt that was billed, in constant memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchllm.types import Json

TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Totals:
    """A record counts with its last attempt; the ones before it that were billed stand in `attempts.jsonl`.

    In `usage`, None says that no attempt told this kind of tokens, which is not 0.
    """

    usage: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(TOKENS))
    cost_usd: float = 0.0
    cost_known: bool = True
    records: int = 0
    maybe_billed: int = 0
    at_most_usd: float = 0.0
    """The most that attempts may have cost of which nobody told."""
    duplicates: int = 0
    """Answers of lines that were not sent, because another line asks the same."""

    def add_record(self, facts: Json) -> None:
        billed = facts.get("billed", "yes")
        self._unseen(facts)
        self.maybe_billed += billed == "maybe"
        self.duplicates += "duplicate_of" in facts and "retryable" not in facts
        if billed != "yes":
            return  # its rejected attempts stand in `attempts.jsonl`
        self.records += 1
        self._add(facts.get("usage"), 1)
        rejected = facts.get("rejected_usage")
        if rejected is not None:
            self._add(rejected, -1)
        cost, earlier = _number(facts.get("cost_usd")), _number(facts.get("rejected_cost_usd"))
        # Where an attempt before the last has no known cost, the record has none, but its last attempt may have.
        last = _number(facts.get("last_cost_usd")) if cost is None else cost - (earlier or 0.0)
        self._cost(last, facts.get("usage"))

    def add_note(self, note: Json) -> None:
        billed = note.get("billed")
        self._unseen(note)
        if billed == "yes":
            self._add(note.get("usage"), 1)
            self._cost(_number(note.get("cost_usd")), note.get("usage"))
        elif billed == "maybe":
            self.maybe_billed += 1

    def _add(self, usage: Any, sign: int) -> None:
        if type(usage) is not dict:
            return
        sums = self.usage
        for name, count in usage.items():
            if type(count) is int and name in sums:
                sums[name] = (sums[name] or 0) + sign * count

    def _unseen(self, account: Json) -> None:
        at_most = account.get("at_most")
        if isinstance(at_most, dict):
            self.at_most_usd += _number(at_most.get("usd")) or 0.0

    def _cost(self, cost: float | None, usage: Any) -> None:
        if cost is not None:
            self.cost_usd += cost
        elif type(usage) is dict and any(usage.values()):
            self.cost_known = False

    def disagreements(self, summary: Json) -> list[str]:
        """Where `usage` and `cost_usd` of a summary say something else, each in a sentence."""
        said = summary.get("usage")
        if type(said) is not dict:
            return ["usage is missing"]
        found = [
            f"usage.{name} says {said.get(name)}, the files add up to {count}"
            for name, count in self.usage.items()
            if (said.get(name) or 0) != (count or 0)
        ]
        cost = _number(summary.get("cost_usd"))
        # Each record's cost is rounded to a billionth, the sum to a millionth.
        if cost is not None and self.cost_known and abs(cost - self.cost_usd) > 1e-6 + 1e-9 * self.records:
            found.append(f"cost_usd says {cost}, the files add up to {self.cost_usd:.6f}")
        return found


def disagreements(counts: dict[str, int], summary: Json) -> list[str]:
    """Where `request_counts` of a summary say something else."""
    said = summary.get("request_counts")
    if type(said) is not dict:
        return ["request_counts is missing"]
    return [
        f"request_counts.{name} says {said.get(name)}, the files say {count}"
        for name, count in counts.items()
        if said.get(name) != count
    ]


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None
