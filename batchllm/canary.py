"""`--canary N`: what the first lines came to, what that says of the rest, and whether the run may go on by itself. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from batchllm.endings import duration
from batchllm.estimate.pace import Limits, Pace, pace
from batchllm.intervals import Interval, wilson
from batchllm.sample import Sample
from batchllm.types import Json


class Witness(Protocol):
    """Who is there to see a forecast, and to be asked."""

    def show(self, lines: list[str]) -> None: ...

    async def agrees(self) -> bool | None:
        """Whether the run may go on; None where nobody can be asked."""
        ...


ENOUGH = 5
"""Lines from which on more than half of them failing stops the run; fewer have to fail all."""


def spread(wanted: Callable[[int], bool], last_line: int, pending: int, count: int) -> Iterator[int]:
    """The numbers of `count` of the pending lines, evenly over the job: always the same ones."""
    seen = taken = 0
    for line in range(1, last_line + 1):
        if taken == count:
            return
        if wanted(line):
            if seen == (2 * taken + 1) * pending // (2 * count):
                taken += 1
                yield line
            seen += 1


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a whole job comes to, judged by `lines` of it. Sums cover what all runs into the folder took so far.

    `cost` and `tokens` are None where nobody told; `unseen_usd` is the most that attempts may have cost of which nobody told.
    """

    lines: int
    pending: int
    failing: Interval
    rejected: Interval
    cost: Interval | None
    tokens: Interval | None
    time: Pace
    unseen_usd: float
    trouble: str = ""

    def as_json(self) -> Json:
        """As it stands in `summary.json`."""
        return {
            "lines": self.lines, "pending": self.pending, "failure_rate": _three(self.failing),
            "rejected_rate": _three(self.rejected), "cost_usd": _three(self.cost), "tokens": _three(self.tokens),
            "seconds_left": round(self.time.seconds, 1), "binds": self.time.binds,
        }  # fmt: skip


def forecast(
    sample: Sample, pending: int, spent: tuple[float, float], unseen: tuple[float, float], limits: Limits, trouble: str = ""
) -> Forecast:
    """What the pending lines add to what was spent. `spent` and `unseen` are dollars and tokens, `trouble` the commonest failure.

    `unseen` is the most that attempts took of which nobody told: it widens what is forecast upwards, for the rest alike.
    """
    lines = max(sample.lines, 1)
    cost = None if sample.unpriced else sample.cost.sum_of(pending)
    tokens = sample.tokens.sum_of(pending)
    seconds, requests = sample.seconds.mean, sample.requests.mean or 1.0
    per_line = sample.tokens.mean
    return Forecast(
        sample.lines,
        pending,
        wilson(sample.failed, sample.lines),
        wilson(sample.rejected, sample.lines),
        None if cost is None else _with(cost, spent[0], unseen[0] * (1 + pending / lines)),
        None if tokens is None else _with(tokens, spent[1], unseen[1] * (1 + pending / lines)),
        pace(pending * requests, pending * per_line, seconds / requests, limits),
        unseen[0],
        trouble,
    )


def _with(more: Interval, spent: float, unseen: float) -> Interval:
    return Interval(more.value + spent, more.low + spent, more.high + spent + unseen)


@dataclass(frozen=True, slots=True)
class Decision:
    """`stop` says why the run ends here, None that it need not; `ask` says that only a person may let it go on.

    `by_budget` says that it stops for money or tokens alone: nothing is wrong with the lines.
    """

    stop: str | None = None
    ask: bool = False
    by_budget: bool = False


def decide(found: Forecast, max_cost: float | None, max_tokens: int | None) -> Decision:
    """On by itself only where a budget is set and holds the whole of what is forecast, the upper bound included."""
    failed = round(found.failing.value * found.lines)
    if found.lines and (failed == found.lines or (found.lines >= ENOUGH and 2 * failed > found.lines)):
        worst = f", most of them: {found.trouble}" if found.trouble else ""
        return Decision(
            f"the canary failed: {failed} of {found.lines} lines{worst}; nothing more was sent: mend the job or the settings, "
            "then the same command with --retry-failed tries again"
        )
    for name, limit, amount, shown in (
        ("--max-cost", max_cost, found.cost, money),
        ("--max-total-tokens", max_tokens, found.tokens, count),
    ):
        if limit is None:
            continue
        if amount is None:
            return Decision(f"the canary does not tell whether {name} holds the rest: no answer told what it used; "
                            "the same command without --canary goes on, up to the budget", by_budget=True)  # fmt: skip
        if amount.high > limit:
            return Decision(
                f"the whole job is forecast at {ranged(amount, shown)}, which {name} {shown(limit)} may not hold; "
                f"a higher {name} goes on, and so does the same command without --canary, up to the budget",
                by_budget=True,
            )
    if max_cost is None and max_tokens is None:
        return Decision(ask=True)
    return Decision()


NOBODY = (
    "the canary is done and nobody is there to be asked: the same command goes on with --max-cost (or --max-total-tokens) "
    "above the forecast, or without --canary"
)


def forecast_lines(found: Forecast) -> list[str]:
    """The forecast as lines of text."""
    cost = "unknown: no price is known for these answers" if found.cost is None else ranged(found.cost, money)
    if found.unseen_usd:
        cost += f", with up to {money(found.unseen_usd)} so far that nobody told"
    tokens = "unknown: no answer told what it used" if found.tokens is None else ranged(found.tokens, count)
    return [
        f"canary of {found.lines} lines; {found.pending:,} lines are left. The whole job, with 95 % intervals:",
        f"  cost      {cost}",
        f"  tokens    {tokens}",
        f"  time      about {duration(found.time.seconds)} more; {BINDS[found.time.binds]}",
        f"  failing   {_share(found.failing)}" + (f"; most of them: {found.trouble}" if found.trouble else ""),
        f"  rejected  {_share(found.rejected)} of the lines had an answer that was not valid",
    ]


BINDS = {
    "latency": "one answer's time decides",
    "concurrency": "the concurrency decides",
    "rpm": "--rpm decides",
    "tpm": "--tpm decides",
}


def without_canary(command: str) -> str:
    """The command that goes on: the same one without `--canary`; one that did not name it turns the setting off."""
    words = shlex.split(command)
    kept, skip = [], False
    for word in words:
        if skip or word.startswith("--canary="):
            skip = False
        elif word == "--canary":
            skip = True
        else:
            kept.append(word)
    return shlex.join(kept if len(kept) < len(words) else [*kept, "--canary", "0"])


def ranged(amount: Interval, shown: Callable[[float], str]) -> str:
    """A forecast in words; from a single line there is no upper bound."""
    high = shown(amount.high) if amount.high != float("inf") else "any amount"
    return f"about {shown(amount.value)} ({shown(amount.low)} to {high})"


def money(usd: float) -> str:
    """US dollars, four figures of them."""
    return f"${usd:,.2f}" if usd >= 100 else f"${usd:.4g}"


def count(number: float) -> str:
    return f"{number:,.0f}"


def _share(rate: Interval) -> str:
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _three(interval: Interval | None) -> Json | None:
    if interval is None:
        return None
    high = None if interval.high == float("inf") else float(f"{interval.high:.6g}")
    return {"value": float(f"{interval.value:.6g}"), "low": float(f"{interval.low:.6g}"), "high": high}
