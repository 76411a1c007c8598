"""How much of what an endpoint can bear is used, and how much the embedded endpoint bears itself.

python -m benchmarks.load [--lines 20000] [--latency 200] [--concurrency 1000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.make_job import Shape, write_job
from benchmarks.processes import ROOT, bare_command, batchllm_command, cost, environment, instant_server


@dataclass(frozen=True, slots=True)
class Latency:
    """A job against an endpoint that takes `latency_ms` for every answer. `share` is the ideal time (nothing but latency,
    every slot always used) over the time taken, start left out.
    """

    lines: int
    latency_ms: float
    concurrency: int
    seconds: float

    @property
    def share(self) -> float:
        return self.lines * self.latency_ms / 1000 / self.concurrency / self.seconds

    def rows(self) -> list[str]:
        return [
            f"{self.lines:,} lines, {self.latency_ms:g} ms, -c {self.concurrency}: {self.seconds:.1f} s, "
            f"{self.share:.0%} of what is possible"
        ]


def latency(lines: int, latency_ms: float, concurrency: int) -> Latency:
    with tempfile.TemporaryDirectory() as name, instant_server(latency_ms) as base_url:
        folder = Path(name)
        many, one = folder / "many.jsonl", folder / "one.jsonl"
        write_job(many, lines, Shape())
        write_job(one, 1, Shape())
        start = cost(batchllm_command(one, folder / "one", base_url, concurrency), folder).wall_s
        wall = cost(batchllm_command(many, folder / "many", base_url, concurrency), folder).wall_s
    return Latency(lines, latency_ms, concurrency, wall - start + latency_ms / 1000)


def simulator_rate(lines: int) -> float:
    """Requests that the embedded endpoint answers in one second of CPU, so on one core of its own."""
    command = [sys.executable, "-m", "batchllm", "simulate", "--port", "0"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = folder / "job.jsonl"
        write_job(job, lines, Shape())
        spent = []
        for asked in (0, lines):
            child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert child.stdout is not None
            base_url = child.stdout.readline().decode().strip()
            if asked:
                cost(bare_command(job, folder / "out", base_url, 64), folder)
            child.terminate()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            child.stdout.close()
            spent.append(used.ru_utime + used.ru_stime)
    return lines / (spent[1] - spent[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Concurrency, and the simulator's rate.")
    parser.add_argument("--lines", metavar="N", type=int, default=20_000, help="(default: 20000)")
    parser.add_argument("--latency", metavar="MS", type=float, default=200.0, help="(default: 200)")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=1000, help="(default: 1000)")
    given = parser.parse_args()
    print("\n".join(latency(given.lines, given.latency, given.concurrency).rows()))
    print(f"the simulator answers {simulator_rate(given.lines // 4):,.0f} requests a second of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
