"""Runs under budgets, one for each seed: real runs into real folders against a `BilledEndpoint`, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from batchllm.assembly import parts
from batchllm.configuration import load
from batchllm.errors import ExitCode, JobError
from batchllm.pipeline import Run
from batchllm.testing.billed_endpoint import Bill, BilledEndpoint, Billing, Habit
from batchllm.testing.disks import QuickDisk
from batchllm.testing.virtual_clock import run_virtual
from batchllm.types import Json

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
LIVES = 4
EPSILON = 1e-6
"""Costs in records are rounded to a billionth of a dollar, and added up again by the next run."""


@dataclass(frozen=True, slots=True)
class SpendingPlan:
    """A job, a budget for all runs into its folder, the endpoint, and when each of the first runs is stopped (None: never)."""

    seed: int
    lines: tuple[Json, ...]
    billing: Billing
    max_cost: float | None
    max_tokens: int | None
    concurrency: int
    pack: int
    reask: int
    escalate: str | None
    stops: tuple[tuple[str, float] | None, ...]


@dataclass(slots=True)
class Outcome:
    """What a plan came to. Amounts are (dollars, tokens) pairs; `flying` is the most that was on its way at once, as counted."""

    plan: SpendingPlan
    bill: Bill = field(default_factory=Bill)
    flying: list[float] = field(default_factory=lambda: [0.0, 0.0])
    requests: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    endings: list[int] = field(default_factory=list)
    pending: int = 0
    reached: bool = False
    counted: float | None = None

    def limits(self) -> tuple[float | None, float | None]:
        return self.plan.max_cost, self.plan.max_tokens

    def overshoot(self, unit: int, *, true: bool) -> float | None:
        """By how much the bill passed the budget, 0 where it did not; None without a budget in this unit."""
        limit = self.limits()[unit]
        amount = (self.bill.true if true else self.bill.told)[unit]
        return None if limit is None else max(0.0, amount - limit - EPSILON * max(1.0, unit * limit))


def spending_plan(seed: int) -> SpendingPlan:
    """Prices, usage that is told, hidden or wrong, time-outs, repeats, cached tokens, packs, stops; the same for a seed."""
    dice = random.Random(seed)
    embedding = dice.random() < 0.2
    rates = {name: _rates(dice) for name in ("small", "large", "free")}
    rates["free"] = (0.0, 0.0, 0.0)
    lines = tuple(_line(dice, number, embedding) for number in range(1, dice.randint(2, 40)))
    worst = [len(orjson.dumps(line)) + line.get("max_tokens", 0) * line.get("n", 1) for line in lines]
    dear = max(max(one) for one in rates.values())
    share = dice.choice((0.02, 0.1, 0.3, 0.7, 1.5))
    units = dice.choice(("money", "money", "tokens", "both"))
    habit: Habit = dice.choice(("tells", "tells", "hides", "overtells", "undertells"))
    fates = tuple((fate, dice.choice((0.02, 0.1, 0.4))) for fate in dice.sample(_FATES, dice.choice((0, 1, 2, 3))))
    kinds = [dice.choice((None, "drain", "cancel")) for _ in range(LIVES - 1)]
    return SpendingPlan(
        seed,
        lines,
        Billing(rates, habit, fates, dice.random() < 0.3, dice.choice((0.1, 1.0, 10.0))),
        None if units == "tokens" else sum(worst) * dear / 1e6 * share,
        None if units == "money" else int(sum(worst) * share),
        dice.choice((1, 2, 8, 32)),
        dice.choice((1, 4)) if embedding else 1,
        dice.choice((0, 1, 2)),
        None if embedding else dice.choice((None, "large")),
        tuple(None if kind is None else (kind, dice.uniform(0.05, 30)) for kind in kinds),
    )


_FATES = ("invalid", "empty", "timeout", "late timeout", "reset", "500", "429")


def _rates(dice: random.Random) -> tuple[float, float, float]:
    read = dice.choice((0.05, 0.5, 3.0))
    return read, read * dice.choice((0.1, 0.5, 1.0)), read * dice.choice((1.0, 4.0, 8.0))


def _line(dice: random.Random, number: int, embedding: bool) -> Json:
    text = dice.choice(("a word and ", "0123456789", "数据 ", "é")) * dice.randint(1, 60) + str(number)
    line: Json = {"custom_id": f"line-{number}", "model": dice.choice(("small", "small", "large", "free"))}
    if embedding:
        return {"custom_id": line["custom_id"], "url": "/v1/embeddings", "body": {"model": line["model"], "input": text}}
    line |= {"prompt": text, "max_tokens": dice.choice((1, 20, 200, 1000))}
    if dice.random() < 0.4:
        line["response_format"] = FORMAT
    elif dice.random() < 0.2:
        line["n"] = dice.randint(2, 4)
    return line


def spend(plan: SpendingPlan, scratch: Path) -> Outcome:
    """Run the plan: the same command again and again, as cron would, the last time without being stopped."""
    outcome = Outcome(plan)
    job = scratch / "job.jsonl"
    job.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in plan.lines))
    for life in range(LIVES):
        stop = plan.stops[life] if life < len(plan.stops) else None
        _live(plan, outcome, job, scratch / "out", life, stop)
    return outcome


def _live(plan: SpendingPlan, outcome: Outcome, job: Path, folder: Path, life: int, stop: tuple[str, float] | None) -> None:
    flags: Json = {
        "base_url": "http://127.0.0.1:9/v1", "concurrency": plan.concurrency, "pack": plan.pack, "reask": plan.reask,
        "max_cost": plan.max_cost, "max_total_tokens": plan.max_tokens, "durability": "none", "report": False,
        "escalate": plan.escalate, "structured": "json_schema", "dedupe": False,
        "prices": {name: {"input": read, "cached": cached, "output": written}
                   for name, (read, cached, written) in plan.billing.rates.items()},
    }  # fmt: skip
    flags = {name: value for name, value in flags.items() if value is not None}
    made = parts(load(job, flags, working_dir=job.parent, environ={}), job, folder, command="batchllm run")
    endpoint: list[BilledEndpoint] = []

    def transport() -> BilledEndpoint:
        endpoint.append(BilledEndpoint(plan.billing, plan.seed * LIVES + life, outcome.bill))
        return endpoint[-1]

    jitter = random.Random(plan.seed).random
    run = Run(replace(made, storage=QuickDisk(), transport=transport, jitter=jitter))
    run.prepare()
    run_virtual(_execute(run, stop))
    summary = run.conclude()
    for one in endpoint:
        outcome.requests += one.requests
        outcome.flying = [max(pair) for pair in zip(outcome.flying, one.most_flying, strict=True)]
        for fate, count in one.fates.items():
            outcome.fates[fate] = outcome.fates.get(fate, 0) + count
    outcome.endings.append(int(summary["ended"]["exit_code"]))
    outcome.pending = summary["request_counts"]["pending"]
    outcome.counted = summary["cost_usd"]
    outcome.reached = outcome.reached or "is used up" in summary["ended"]["reason"]


async def _execute(run: Run, stop: tuple[str, float] | None) -> None:
    """Execute; at its time a stop drains the run, or ends it at once as a second signal does."""
    if stop is None:
        return await run.execute()
    kind, at = stop
    loop = asyncio.get_running_loop()
    execution = asyncio.ensure_future(run.execute())

    def end() -> None:
        run.stop(JobError(ExitCode.SIGTERM, "stopped by SIGTERM"))
        if kind == "cancel":
            execution.cancel()

    timer = loop.call_later(at, end)
    with contextlib.suppress(asyncio.CancelledError):
        await execution
    timer.cancel()
    return None


def violations(outcome: Outcome) -> list[str]:
    """What must hold of every plan, each breach in a sentence.

    Where replies tell no more than was allowed, the bill as counted never passes the budget at all, and the provider's own
    invoice does not where nothing is told too low. Where they tell more, it is passed by no more than was on its way at once.
    """
    found = []
    for unit, name in enumerate(("dollars", "tokens")):
        counted, true = outcome.overshoot(unit, true=False), outcome.overshoot(unit, true=True)
        if counted is None or true is None:
            continue
        habit = outcome.plan.billing.habit
        allowed = outcome.flying[unit] if habit == "overtells" else 0.0
        if counted > allowed:
            found.append(f"seed {outcome.plan.seed}: {counted:g} {name} above the budget, {allowed:g} were on their way")
        if habit in ("tells", "hides") and true > 0:
            found.append(f"seed {outcome.plan.seed}: the invoice is {true:g} {name} above the budget")
    if outcome.endings[-1] == ExitCode.TRY_LATER and not (outcome.pending and outcome.reached):
        found.append(
            f"seed {outcome.plan.seed}: ended with 75 and {outcome.pending} lines pending, budget reached: {outcome.reached}"
        )
    if outcome.endings[-1] in (ExitCode.OK, ExitCode.SOME_FAILED) and outcome.pending:
        found.append(f"seed {outcome.plan.seed}: ended with {outcome.endings[-1]} and {outcome.pending} lines pending")
    if outcome.endings[-1] not in (ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.TRY_LATER):
        found.append(f"seed {outcome.plan.seed}: ended with {outcome.endings[-1]}")
    return found


def sweep(seeds: Iterable[int]) -> list[Outcome]:
    """Run a range of seeds, each in a folder of its own that is removed."""
    outcomes = []
    for seed in seeds:
        with TemporaryDirectory(prefix="batchllm-budget-") as scratch:
            outcomes.append(spend(spending_plan(seed), Path(scratch)))
    return outcomes
