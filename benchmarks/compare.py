"""CPU a request: batchllm with everything on, against the bare loop.

    python -m benchmarks.compare [--lines 20000] [--rounds 5] [--concurrency 64] [--transport httptools]

Both are whole processes that do the same job against the same instant server, one after the other, round by round, so
that what else the machine does falls on both. The cost of starting is measured with a job of one line in the same round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.make_job import Shape, write_job
from benchmarks.processes import Spread, bare_command, batchllm_command, cost, instant_server

Command = Callable[[Path, Path, str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Microseconds of CPU a request without the start, and the ratios of ours to the bare loop's, round by round.

    `whole` is the ratio of the whole processes' CPU, start included; `rate` ours in requests a second by the clock.
    """

    lines: int
    concurrency: int
    ours_us: Spread
    bare_us: Spread
    ratio: Spread
    whole: Spread
    start_s: Spread
    bare_start_s: Spread
    rate: Spread

    def rows(self) -> list[str]:
        return [
            f"batchllm    {self.ours_us.shown('{:.0f}')} µs CPU a request, {self.start_s.shown()} s to start",
            f"bare loop   {self.bare_us.shown('{:.0f}')} µs CPU a request, {self.bare_start_s.shown()} s to start",
            f"ratio       {self.ratio.shown()} a request, {self.whole.shown()} whole process",
            f"throughput  {self.rate.shown('{:.0f}')} requests/s at -c {self.concurrency}",
        ]


def compare(
    lines: int, rounds: int, concurrency: int, watch: Callable[[str], None] = lambda text: None, transport: str = "auto"
) -> Comparison:
    found: list[tuple[float, float, float, float, float]] = []
    with tempfile.TemporaryDirectory() as name, instant_server() as base_url:
        folder = Path(name)
        many, one = folder / "many.jsonl", folder / "one.jsonl"
        write_job(many, lines, Shape())
        write_job(one, 1, Shape())

        def our_command(job: Path, out: Path, url: str, cap: int) -> list[str]:
            return batchllm_command(job, out, url, cap, "--transport", transport)

        def measured(command: Command, job: Path, out: str) -> tuple[float, float]:
            spent = cost(command(job, folder / out, base_url, concurrency), folder)
            return spent.cpu_s, spent.wall_s

        for number in range(1, rounds + 1):
            bare_start, _ = measured(bare_command, one, f"bare-one-{number}")
            our_start, our_start_wall = measured(our_command, one, f"ours-one-{number}")
            bare, _ = measured(bare_command, many, f"bare-{number}")
            ours, wall = measured(our_command, many, f"ours-{number}")
            found.append((ours, bare, our_start, bare_start, wall - our_start_wall))
            watch(f"round {number}: {(ours - our_start) / (bare - bare_start):.3f} a request, {ours / bare:.3f} whole process")
    each = 1e6 / lines
    return Comparison(
        lines,
        concurrency,
        Spread.of([(ours - start) * each for ours, _, start, _, _ in found]),
        Spread.of([(bare - start) * each for _, bare, _, start, _ in found]),
        Spread.of([(ours - start) / (bare - bare_start) for ours, bare, start, bare_start, _ in found]),
        Spread.of([ours / bare for ours, bare, *_ in found]),
        Spread.of([start for _, _, start, _, _ in found]),
        Spread.of([start for _, _, _, start, _ in found]),
        Spread.of([lines / wall for *_, wall in found]),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="CPU a request against a bare loop.")
    parser.add_argument("--lines", metavar="N", type=int, default=20_000, help="(default: 20000)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="(default: 5)")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=64, help="(default: 64)")
    parser.add_argument("--transport", metavar="NAME", default="auto", help="what batchllm sends with (default: auto)")
    given = parser.parse_args()
    found = compare(given.lines, given.rounds, given.concurrency, lambda text: print(text, file=sys.stderr), given.transport)
    print("\n".join(found.rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
