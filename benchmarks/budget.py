"""Writes docs/budget.md: how far a budget was passed, at worst, over thousands of simulated lives of a folder.

python -m benchmarks.budget [SEEDS]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.testing.billed_endpoint import Habit
from batchllm.testing.spending_plans import LIVES, Outcome, sweep, violations

PAGE = Path(__file__).parents[1] / "docs/budget.md"
SEEDS, BLOCK, WORKERS = 4000, 50, 2
HABITS: dict[Habit, str] = {
    "tells": "the truth",
    "hides": "nothing, in seven answers of ten",
    "overtells": "up to ten times too much, in half of the answers",
    "undertells": "a third, in half of the answers",
}
HEAD = """\
# What a budget holds

<!-- Written by `python -m benchmarks.budget`. -->

`--max-cost` and `--max-total-tokens` hold for all runs into a folder together. Before a request is sent, the most it may use is set
aside: every byte of it a token, every answer at its limit, at the model's dearest rates. Its reply settles that with what it says it
used; where no reply says, the most stays counted, for this run and for every later one. A request that does not fit waits for those
on their way; where none is, the run ends with 75 and the rest stays pending.

So a budget is not passed at all where the provider bills no more tokens than a request allows. It can be passed where a reply tells
more than that, and then by no more than what was on its way at that moment. This page says how that held in simulated runs.
"""
WHAT = """
## What was tried

Each seed is a job of up to 39 lines (chat and embeddings, several answers to a line, schemas, scripts of one to four bytes a
character), prices, an endpoint, budgets from far too small to ample, 1 to 32 requests at once, packs, answers asked for again and
escalated to a dearer model. The endpoint bills by its own books: cached tokens at their own rate, empty and invalid answers, requests
that run into a time-out, connections that break, errors that were billed and errors that were not. Three of ten endpoints take every
byte for a token and write every answer to its limit. The same command is run {lives} times into the folder, and is stopped at random
in between: by a drain, or at once with requests on their way.
"""
CANNOT = """
## What no budget can hold

* **What a provider bills and does not tell.** Where replies tell less than the invoice says, what is counted is what they told.
* **Wrong prices.** `[prices]` and the bundled list are what is reckoned with; `job.json` keeps which.
* **What was on its way when the process was killed.** `kill -9` and a power cut leave no note of it: each may cost, beyond the budget,
  what was on its way at that moment, at most `--concurrency` requests.
* **Images, sound and video.** Their tokens are reckoned high (an image at 50,000), but no bound is known for every provider.
"""


@dataclass
class Tally:
    """What the seeds of one habit came to; the overshoots are the worst, in dollars and tokens."""

    seeds: int = 0
    requests: int = 0
    reached: int = 0
    passed: int = 0
    worst: list[float] = field(default_factory=lambda: [0.0, 0.0])
    share: float = 0.0
    hidden: float = 0.0
    fates: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.requests += outcome.requests
        self.reached += outcome.reached
        self.fates.update(outcome.fates)
        self.broken += violations(outcome)
        over = [outcome.overshoot(unit, true=False) or 0.0 for unit in (0, 1)]
        self.passed += any(over)
        for unit in (0, 1):
            self.worst[unit] = max(self.worst[unit], over[unit])
            if over[unit]:
                self.share = max(self.share, over[unit] / outcome.flying[unit])
            limit, true = outcome.limits()[unit], outcome.overshoot(unit, true=True)
            if limit and true:
                self.hidden = max(self.hidden, true / limit)


def main(seeds: int = SEEDS) -> None:
    """Run the seeds and write the page. Raises AssertionError where a promise was broken."""
    tallies: dict[Habit, Tally] = {habit: Tally() for habit in HABITS}
    blocks = [range(first, min(first + BLOCK, seeds)) for first in range(0, seeds, BLOCK)]
    with ProcessPoolExecutor(WORKERS) as pool:
        for outcomes in pool.map(sweep, blocks):
            for outcome in outcomes:
                tallies[outcome.plan.billing.habit].add(outcome)
            print(f"{sum(one.seeds for one in tallies.values())} of {seeds}", file=sys.stderr)
    broken = [one for tally in tallies.values() for one in tally.broken]
    assert not broken, "\n".join(broken[:20])
    PAGE.write_text(page(tallies))


def page(tallies: dict[Habit, Tally]) -> str:
    """The page, out of what was counted."""
    every = list(tallies.values())
    seeds, requests = sum(one.seeds for one in every), sum(one.requests for one in every)
    fates = sum((one.fates for one in every), Counter[str]())
    said = ", ".join(f"{count:,} {fate}" for fate, count in fates.most_common())
    lines = [
        HEAD,
        f"\n{seeds:,} folders, {seeds * LIVES:,} runs, {requests:,} requests ({said}). {sum(one.reached for one in every):,} budgets "
        "were reached.\n",
        "\n| usage tells | folders | budget reached | passed, as counted | worst overshoot | of what was on its way | invoice above the "
        "budget |\n|---|---|---|---|---|---|---|\n",
        *(_row(HABITS[habit], tally) for habit, tally in tallies.items()),
        WHAT.format(lives=LIVES),
        CANNOT,
    ]
    return "".join(lines)


def _row(habit: str, tally: Tally) -> str:
    usd, tokens = tally.worst
    worst = f"${usd:.4f}, {tokens:,.0f} tokens" if tally.passed else "none"
    share = f"{tally.share:.0%}" if tally.passed else "–"
    hidden = f"by up to {tally.hidden:.0%}" if tally.hidden else "never"
    return f"| {habit} | {tally.seeds:,} | {tally.reached:,} | {tally.passed:,} | {worst} | {share} | {hidden} |\n"


def _seeds(argv: Iterable[str]) -> int:
    return int(next(iter(argv), SEEDS))


if __name__ == "__main__":
    main(_seeds(sys.argv[1:]))
