"""Writes `docs/performance.md`: every figure of this folder, measured anew. Takes about ten minutes.

python -m benchmarks.report [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from batchllm.transports import TRANSPORTS
from benchmarks import memory, resume, startup
from benchmarks.compare import Comparison, compare
from benchmarks.load import latency, simulator_rate
from benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
ALLOWED_CPU = 1.3
ALLOWED_MEMORY = 1.35
ALLOWED_RESUME_S = 15
WANTED_RATE = 2000

HEAD = """\
# Performance

Written by `python -m benchmarks.report`. Seconds and rates depend on the machine and on what else it does, so what counts
are the ratios: both sides of each are measured in one run, round by round, as the median (lowest to highest).

The bare loop is what everybody writes first: `aiohttp`, `uvloop`, `orjson`, a semaphore, a `gather`, and nothing that a
failure could not end. Both sides are whole processes asking an endpoint that answers at once with a completion of 600 bytes, so
that what is measured is the client; against a real endpoint, whose answers take seconds, neither is what one waits for.

Streams have a page of their own: [streams](streams.md). What was wanted, and why some of it is not reached: [goals](goals.md).
"""
CUTS = """\
## What was cut

The first version that ran end to end took 1.85 times the instructions of the bare loop (callgrind, 500 against 1500 lines).
Each row was measured by itself when it was made; microseconds of CPU for one request, of which the bare loop took about 65
in its HTTP client and 80 in all.

| what it was | what it is | µs before | µs after |
|---|---|---|---|
| four aiohttp timers for each request | one timer for all that are in flight | 69.4 | 59.8 |
| the request as a context manager | awaited, closed where it fails | 57.7 | 53.2 |
| headers to be left out named to aiohttp | those wanted are set | 72.4 | 69.4 |
| the address joined anew for each line | once for each path and model | 3.4 | 0.1 |
| a line's charges in a list, added up by each reader | totals, added up as they come | 4.0 | 0.8 |
| a new value for each addition to the run's totals | added up in place | 1.0 | 0.3 |
| every check of a line at both readings | at the first; the digest proves the line is the same | 9.4 | 7.1 |

Tried and left alone: tuning the garbage collector (no difference that could be told from noise), writing the body past
aiohttp's own writing task (slower: two writes for one).

What was there from the start: workers that share one stream of lines instead of a task for each, the retry loop entered only
after a first failure, one forced write to disk for a group of records, and nothing logged for a request that went well.
"""


def _cpu(found: Comparison) -> str:
    return (
        f"| {found.concurrency} | {found.ratio.shown()} | {found.whole.shown()} | {found.ours_us.shown('{:.0f}')} "
        f"| {found.bare_us.shown('{:.0f}')} | {found.rate.shown('{:,.0f}')} |"
    )


def _by_transport(name: str, found: Comparison) -> str:
    return f"| {name} | {found.ratio.shown()} | {found.whole.shown()} | {found.ours_us.shown('{:.0f}')} |"


def page(quick: bool) -> str:
    scale = 10 if quick else 1
    rounds = 2 if quick else 5
    cpu = [compare(20_000 // scale, rounds, cap) for cap in (64, 256)]
    sent_by = {name: compare(20_000 // scale, rounds, 64, transport=name) for name in TRANSPORTS}
    mem = memory.measure(5_000, 200_000 // scale, 64)
    start = startup.measure(15)
    again = resume.measure(1_000_000 // scale)
    late = latency(100_000 // scale, 200.0, 1000)
    rate = simulator_rate(5_000)
    return "\n".join(
        [
            HEAD,
            f"## CPU a request ({cpu[0].lines:,} lines, {rounds} rounds, everything on; at most {ALLOWED_CPU} is wanted)\n",
            "| concurrency | ratio without the start | whole process | batchllm, µs | bare loop, µs | batchllm, requests/s |",
            "|---|---|---|---|---|---|",
            *map(_cpu, cpu),
            "",
            "Where it goes, what was tried to get to 0.45, and why it stays: [decisions/0014](decisions/0014-what-a-request-costs.md). "
            "Other tools, TLS, large bodies, streams, refusals: [peers](peers.md).\n",
            "By what sends (`--transport`, 64 in flight):\n",
            "| transport | ratio without the start | whole process | batchllm, µs |",
            "|---|---|---|---|",
            *(_by_transport(name, one) for name, one in sent_by.items()),
            "",
            CUTS,
            f"## Memory (at most {ALLOWED_MEMORY} is wanted)\n",
            f"A job of {mem.large:,} lines has {mem.ratio:.2f} times the peak of one of {mem.small:,}: "
            f"{mem.bytes_a_line:.0f} bytes for each further line. A million lines: [peers](peers.md).\n",
            "## Start\n",
            f"`batchllm --help` takes {start.help_s.middle / start.argparse_s.middle:.2f} times as long as an interpreter that "
            f"imports `argparse` ({(start.help_s.middle - start.argparse_s.middle) * 1000:.0f} ms more).\n",
            f"## Running a finished job again (under {ALLOWED_RESUME_S} s for a million lines is wanted)\n",
            *(f"* {row}" for row in again.rows()),
            "",
            "Every result is parsed and compared, and nothing is sent. Read anew, every line of the job is parsed, checked and hashed; a run "
            "keeps that reading (`job.index`), and where the job is the same, or has only grown, the next one goes on from it.\n",
            "## Waiting\n",
            *(f"* {row}" for row in late.rows()),
            "",
            "The pool begins with 20 requests in flight and doubles while nothing is refused, which is part of the time.\n",
            f"## The embedded endpoint ({WANTED_RATE:,} requests a second on one core are wanted)\n",
            f"It answers {rate:,.0f} requests for each second of CPU.\n",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="Writes docs/performance.md.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the lines: to see that it works")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="(default: docs/performance.md)")
    given = parser.parse_args()
    given.output.write_text(page(given.quick), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
