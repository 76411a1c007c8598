"""`docs/reliability.md`: every promise tried out at length, and what came of it. Exits with 1 where one was broken.

    python -m benchmarks.reliability [--quick] [--jobs 2] [--page docs/reliability.md]

About a quarter of an hour on two cores; `--quick` takes one or two minutes and writes no page unless it is named.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from benchmarks import survival
from benchmarks.reliability_page import page
from benchmarks.survival import Count
from tests.crash.scenes import FRESH, GROUPED, SCENES
from tests.crash.sweeps import RANDOM, SWEEPS, THREADED
from tests.faultserver.catalogue import CATALOGUE
from tests.mutants.table import MUTANTS

ROOT = Path(__file__).parents[1]
EVERY = [*SCENES, FRESH.name]


@dataclass(frozen=True)
class Size:
    """How much of each suite is run; shares of 1 are every point there is."""

    share: float = 1.0
    errors: float = 0.35
    random: int = 150
    threaded: int = 50
    kills: int = 60
    starts: int = 20
    limits: int = 10
    seeds: int = 2500
    examples: int = 400
    steps: int = 40
    fuzz_s: float = 80.0
    large: int = 100_000


SEED = 9000
"""Beyond those that the tests run."""


def scaled(share: float) -> Size:
    """A part of everything that is chosen at random, and of what is exhaustive a seeded part below a tenth."""
    full = Size()
    whole = ("share", "steps", "large") if share >= 0.1 else ("steps",)
    values = {one.name: getattr(full, one.name) for one in dataclasses.fields(full)}
    made = {name: value if name in whole else type(value)(value * share) for name, value in values.items()}
    return Size(**{name: max(value, 1) if isinstance(value, int) else value for name, value in made.items()})


Task = tuple[str, str, tuple[object, ...]]
"""The row of the page it adds to, the function of `survival`, its arguments."""


def tasks(size: Size) -> Iterator[Task]:
    """The longest first, so that no core waits for one at the end."""
    yield from (("kill -9", "kills", (part, seed)) for seed, part in enumerate(_parts(size.kills, 30), 11))
    yield from (("inputs", "inputs", (size.fuzz_s / 2, seed)) for seed in (1, 2))
    yield "histories", "histories", (size.examples, size.steps)
    yield from (("starts", "starts", (part,)) for part in _parts(size.starts, 10))
    yield from (("memory", "memory", (5_000, size.large)) for _ in range(1))
    for kind in SWEEPS:
        share = size.errors if kind == "errors" else size.share
        yield from ((kind, "sweep", (kind, scene, share)) for scene in EVERY)
    for kind in RANDOM:
        yield from ((kind, "at_random", (kind, scene, size.random)) for scene in EVERY)
    yield from ((kind, "at_random", (kind, GROUPED.name, size.threaded)) for kind in THREADED)
    end = SEED + size.seeds
    yield from (("simulations", "simulations", (at, min(at + 250, end))) for at in range(SEED, end, 250))
    yield from (("catalogue", "catalogue", (at, at + 40)) for at in range(0, len(CATALOGUE), 40))
    yield "key", "security", ()
    yield from (("cuts", "cuts", (kind,)) for kind in ("json", "streams"))
    yield "file limits", "limits", (size.limits,)
    yield from (("mutants", "mutants", (at, at + 4)) for at in range(0, len(MUTANTS), 4))


def _parts(count: int, most: int) -> list[int]:
    return [min(most, count - done) for done in range(0, count, most)]


def measure(size: Size, jobs: int) -> dict[str, Count]:
    """Every task, in processes of their own; a line on stderr for each that has ended."""
    began, counts = time.monotonic(), dict[str, Count]()
    every = list(tasks(size))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(carry_out, name, arguments): (row, name, arguments) for row, name, arguments in every}
        for number, future in enumerate(as_completed(waiting), 1):
            row, name, arguments = waiting[future]
            count = future.result()
            counts[row] = counts.get(row, Count()) + count
            said = f"{time.monotonic() - began:6.0f} s  {number}/{len(every)}  {name}{arguments}: {count.tried:,} tried"
            print(f"{said}, {len(count.broken)} broken", *count.broken[:5], sep="\n    ", file=sys.stderr, flush=True)
    return counts


def carry_out(name: str, arguments: tuple[object, ...]) -> Count:
    try:
        made: Count = getattr(survival, name)(*arguments)
    except Exception as error:
        return Count(0, [f"{name}{arguments} itself failed: {type(error).__name__}: {error}"[:1000]])
    return made


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything")
    parser.add_argument(
        "--share", metavar="X", type=float, default=1.0, help="of what is chosen at random, a part (default: 1)"
    )
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="processes at once (default: 2)")
    parser.add_argument("--page", metavar="FILE", type=Path, help="what to write (docs/reliability.md, nothing if quick)")
    given = parser.parse_args()
    began = time.monotonic()
    size = scaled(0.05 if given.quick else given.share)
    counts = measure(size, given.jobs)
    target = given.page or (None if given.quick else ROOT / "docs/reliability.md")
    text = page(counts, time.monotonic() - began, machine(), size.share, size.errors)
    if target is not None:
        target.write_text(text)
    print(text)
    return int(any(count.broken for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
