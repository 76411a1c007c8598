"""Random plans, one for each seed, and what a range of them came to."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from batchllm.settings import Retries
from batchllm.testing.simulated_endpoint import Hints, Mood, ServerModel, Spell
from batchllm.testing.simulation import Plan, Trace, run
from batchllm.testing.trace import BUDGETED, violations

_HINTS: tuple[Hints, ...] = ("exact", "over5", "over30", "fixed30", "absent", "ms")
_OUTAGES: tuple[Mood, ...] = ("down", "hang", "500", "502", "503", "429", "reset", "quota")
_FAULTS: tuple[Mood, ...] = ("500", "502", "503", "429", "reset", "down", "hang")


def random_plan(seed: int, most_items: int = 400) -> Plan:
    """A server, its troubles, and a pool to meet them; always the same for a seed."""
    dice = random.Random(seed)
    items = dice.randint(1, most_items)
    rate = dice.choice((None, 0.5, 2.0, 5.0, 20.0, 100.0))
    latency = dice.choice((0.05, 0.5, 2.0, 10.0))
    changes: tuple[tuple[float, float], ...] = ()
    if rate is not None and dice.random() < 0.3:
        at = dice.uniform(0, items / rate)
        changes = ((at, rate / 10), (at + dice.uniform(10, 300), rate))
    server = ServerModel(
        rate=rate,
        burst_s=dice.choice((1.0, 10.0, 60.0)),
        tpm=dice.choice((None, None, None, 6_000.0, 120_000.0)),
        changes=changes,
        hints=dice.choice(_HINTS),
        headers=dice.random() < 0.5,
        latency_s=latency,
        spread=dice.choice((0.1, 0.4, 0.8)),
        refusal_s=dice.choice((0.005, 0.03, 0.5)),
        timeout_s=dice.choice((5.0, 60.0)),
        max_in_flight=dice.choice((None, None, None, None, 1, 8)),
        refusals_count=dice.random() < 0.2,
        spells=_spells(dice),
        faults=_faults(dice),
        poison=_poison(dice, items),
    )
    return Plan(
        seed=seed,
        items=items,
        server=server,
        cap=dice.choice((1, 2, 4, 16, 64, 200)),
        rpm=dice.choice((None, None, None, 10.0, 60.0, 600.0)),
        tpm=dice.choice((None, None, None, 3_000.0, 60_000.0)),
        retries=Retries(item=1e9),
        suspends=tuple((dice.uniform(0, 100), dice.choice((31.0, 3600.0))) for _ in range(dice.choice((0, 0, 0, 1, 2)))),
        stop_at=dice.choice((None, None, None, None, None, dice.uniform(0, 100))),
    )


def _spells(dice: random.Random) -> tuple[Spell, ...]:
    spells, end = [], 0.0
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        start = end + dice.uniform(0, 60)
        end = start + dice.choice((1.0, 20.0, 100.0, 300.0, 4000.0))
        spells.append(Spell(start, end, dice.choice(_OUTAGES)))
    return tuple(spells)


def _faults(dice: random.Random) -> tuple[tuple[Mood, float], ...]:
    kinds = dice.sample(_FAULTS, dice.choice((0, 0, 1, 2, 3)))
    return tuple((kind, dice.choice((0.001, 0.02, 0.1, 0.3))) for kind in kinds)


def _poison(dice: random.Random, items: int) -> tuple[tuple[int, Mood], ...]:
    kinds: tuple[Mood, ...] = ("500", "hang", "reset")
    lines = dice.sample(range(1, items + 1), min(items, dice.choice((0, 0, 0, 1, 3, 10))))
    return tuple((line, dice.choice(kinds)) for line in lines)


@dataclass(slots=True)
class Counts:
    """What a range of seeds came to. `amplification` is the worst share of budgeted retries a line of a job."""

    seeds: int = 0
    items: int = 0
    requests: int = 0
    hints: int = 0
    simulated_hours: float = 0.0
    amplification: float = 0.0
    violations: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)

    def add(self, trace: Trace) -> None:
        self.seeds += 1
        self.items += trace.plan.items
        self.requests += len(trace.visits)
        self.hints += sum(visit.told_s is not None for visit in trace.visits)
        self.simulated_hours += (trace.ended - trace.began) / 3600
        budgeted = sum(visit.mood in BUDGETED or visit.mood == "ok" for visit in trace.visits)
        self.amplification = max(self.amplification, budgeted / (1.1 * trace.plan.items + 100))
        name = "complete" if trace.ending is None else trace.ending.exit_code.name
        self.endings[name] = self.endings.get(name, 0) + 1
        self.violations += violations(trace)


def run_seeds(seeds: Iterable[int], most_items: int = 400, *, twice: int = 10) -> Counts:
    """Run each seed's plan and check it; one in `twice` runs again, and must go the same way."""
    counts = Counts()
    for seed in seeds:
        trace = run(random_plan(seed, most_items))
        counts.add(trace)
        if seed % twice == 0 and run(trace.plan).digest != trace.digest:
            counts.violations.append(f"seed {seed}: the same plan went another way")
    return counts
