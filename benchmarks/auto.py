"""`--concurrency auto` beside every fixed setting, on servers that never refuse.

    python -m benchmarks.auto [--seeds 5] [--processes 1] [--cases TEXT]
    python -m benchmarks.auto --url http://127.0.0.1:8100/v1 --model tiny [--lines 1500] [--rounds 3] [--settings 4,8,16,32,64,128]

Without a URL the real pool meets simulated servers in virtual time. A rate is that of the tokens answered until the last line
was begun, the search from eight in flight upwards included; fixed settings begin at their full number. With a URL the
real command runs against that server: all settings in turn, round by round.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from batchllm.testing.shared_server import BATCHING, QUEUEING, THRASHING, Hardware, Ran, ran
from benchmarks.processes import Spread, batchllm_command, cost

LEVELS = (1, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 512, 1024)


QUICK = Hardware(slots=64, step_s=0.0026, knee=20.5, sharpness=1.0, tokens=32.0, spread=0.8, prompt=60.0)
"""A small model: as quick as one on two cores, and as soft a knee."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    hardware: Hardware
    items: int


CASES = (
    Case("batching, knee at 48, 256 at once", BATCHING, 8000),
    Case("the same, answers of very different lengths", replace(BATCHING, spread=1.2), 8000),
    Case("the same, all answers of one length", replace(BATCHING, spread=0.0), 8000),
    Case("batching without a sharp knee", replace(BATCHING, sharpness=1.0, knee=40.0), 10_000),
    Case("batching, knee at 300", replace(BATCHING, knee=300.0, slots=1024), 30_000),
    Case("queueing, 24 at once", QUEUEING, 4000),
    Case("the same, answers of very different lengths", replace(QUEUEING, spread=1.2), 4000),
    Case("queueing, 4 at once", replace(QUEUEING, slots=4), 1200),
    Case("queueing, one by one", replace(QUEUEING, slots=1, tokens=60.0), 1200),
    Case("thrashing beyond 40", THRASHING, 6000),
    Case("the same, answers of very different lengths", replace(THRASHING, spread=1.2), 6000),
    Case("thrashing badly beyond 12", replace(THRASHING, knee=12.0, thrash=0.2), 2500),
    Case("short: batching, knee at 48", BATCHING, 450),
    Case("short: queueing, 24 at once", QUEUEING, 230),
    Case("short: thrashing beyond 40", THRASHING, 350),
    Case("short: answers in a tenth of a second, 64 at once", QUICK, 4000),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The best fixed setting and its rate, and by seed: the rate at `auto` as a share of it, and the limit that was held."""

    case: Case
    best: int
    rate: float
    shares: list[float]
    held: list[int]

    def row(self) -> str:
        held = sorted(self.held)
        return (
            f"| {self.case.name} | {self.best} | {self.rate:,.0f} | {Spread.of(self.shares).shown()} "
            f"| {held[len(held) // 2]} ({held[0]} to {held[-1]}) |"
        )


HEAD = "| server | best fixed | tokens/s | auto to that | auto holds |\n|---|---|---|---|---|"


def sweep(hardware: Hardware, items: int, seed: int = 1) -> int:
    """The fixed setting with the highest rate; of those within a hundredth of it the smallest."""
    rates = {level: ran(hardware, items, limit=level, seed=seed).rate for level in LEVELS if level * 4 <= items}
    most = max(rates.values())
    return min(level for level, rate in rates.items() if rate >= 0.99 * most)


def compare(case: Case, seeds: int) -> Found:
    best = sweep(case.hardware, case.items if case.items < 1200 else max(1200, case.items // 4))
    fixed = [ran(case.hardware, case.items, limit=best, seed=seed).rate for seed in range(1, seeds + 1)]
    found: list[Ran] = [ran(case.hardware, case.items, limit=None, seed=seed) for seed in range(1, seeds + 1)]
    shares = [one.rate / other for one, other in zip(found, fixed, strict=True)]
    return Found(case, best, sum(fixed) / seeds, shares, [one.held[-1][1] for one in found])


def simulated(seeds: int, processes: int, text: str = "") -> Iterator[Found]:
    """The cases whose name has this text. A short one takes about half a minute at the best setting."""
    cases = [case for case in CASES if text in case.name]
    with ProcessPoolExecutor(processes) as workers:
        yield from workers.map(compare, cases, [seeds] * len(cases))


def write_job(path: Path, lines: int, seed: int = 1) -> None:
    """Prompts of a few sentences, answers of 8 to 128 tokens."""
    rng = random.Random(seed)
    with path.open("wb") as file:
        for number in range(1, lines + 1):
            prompt = f"{number}: " + " ".join(rng.choice(("one", "two", "three", "four")) for _ in range(rng.randrange(5, 60)))
            line = {"prompt": prompt, "max_tokens": min(128, round(8 + rng.expovariate(1 / 32))), "ignore_eos": True}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def measured(job: Path, folder: Path, url: str, model: str, setting: str, stream: bool) -> tuple[float, int]:
    """Tokens a second at a setting, and the limit that was in force for most of the second half."""
    more = ("--model", model, "--no-report", *(("--stream",) if stream else ()))
    # Every answer is as long as its limit, so none counts as whole: the command ends with 1.
    cost([*batchllm_command(job, folder, url, 1), "-c", setting, *more], folder.parent, expected=1)
    summary = orjson.loads((folder / "summary.json").read_bytes())
    limits = sorted(summary["series"][-1]["limit"][len(summary["series"][-1]["limit"]) // 2 :])
    return summary["usage"]["completion_tokens"] / summary["wall_s"], limits[len(limits) // 2]


def real(
    url: str, model: str, lines: int, rounds: int, settings: list[str], *, stream: bool, watch: Callable[[str], None]
) -> list[str]:
    rates: dict[str, list[float]] = {setting: [] for setting in [*settings, "auto"]}
    held: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        job = Path(name) / "job.jsonl"
        write_job(job, lines)
        for turn in range(rounds):
            for setting, found in rates.items():
                rate, limit = measured(job, Path(name) / f"{setting}-{turn}", url, model, setting, stream)
                found.append(rate)
                watch(f"-c {setting}: {rate:.0f} tokens/s" + (f", held {limit}" if setting == "auto" else ""))
                if setting == "auto":
                    held.append(limit)
    best = max(settings, key=lambda setting: Spread.of(rates[setting]).middle)
    shares = [one / other for one, other in zip(rates["auto"], rates[best], strict=True)]
    rows = [f"| {setting} | {Spread.of(found).shown('{:.0f}')} |" for setting, found in rates.items()]
    verdict = f"auto reaches {Spread.of(shares).shown()} of the best fixed setting ({best}); it holds {held}"
    return ["| -c | tokens/s |", "|---|---|", *rows, "", verdict]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto", description="--concurrency auto beside fixed settings.")
    parser.add_argument("--seeds", metavar="N", type=int, default=5, help="(default: 5)")
    parser.add_argument("--processes", metavar="N", type=int, default=1, help="(default: 1)")
    parser.add_argument("--cases", metavar="TEXT", default="", help="only simulated servers whose name has this text")
    parser.add_argument("--url", help="a real server's address, /v1 included")
    parser.add_argument("--model", default="tiny", help="(default: tiny)")
    parser.add_argument("--lines", metavar="N", type=int, default=1500, help="(default: 1500)")
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="(default: 3)")
    parser.add_argument("--settings", default="4,8,16,32,64,128", metavar="A,B", help="(default: 4,8,16,32,64,128)")
    parser.add_argument("--stream", action="store_true", help="stream the answers")
    given = parser.parse_args()
    if given.url is None:
        print(HEAD, flush=True)
        for found in simulated(given.seeds, given.processes, given.cases):
            print(found.row(), flush=True)
        return 0

    def watch(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    settings = given.settings.split(",")
    print("\n".join(real(given.url, given.model, given.lines, given.rounds, settings, stream=given.stream, watch=watch)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
