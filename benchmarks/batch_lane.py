"""A large job through the Batch API of the simulator, killed on the way: what it costs a line, and what was submitted twice.

python -m benchmarks.batch_lane [--lines 300000] [--kills 8]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from batchllm.simulator import BatchOrders, SimulatorOptions, run_in_process
from benchmarks.make_job import Shape, write_job
from benchmarks.processes import environment

LANE = "{ poll = 0.5, poll_most = 2.0, settle = 3.0 }"


@dataclass(frozen=True, slots=True)
class Life:
    """One process from its start to its end or its death: seconds of CPU and of the clock, bytes at its peak."""

    cpu_s: float
    wall_s: float
    peak: int
    code: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """All lives of one job, and what the provider says."""

    lines: int
    lives: list[Life]
    batches: int
    submitted: int
    answers: int
    twice: int
    proved: bool

    def rows(self) -> list[str]:
        last, killed = self.lives[-1], self.lives[:-1]
        cpu = sum(one.cpu_s for one in self.lives)
        return [
            f"{self.lines:,} lines in {self.batches} batches; {len(killed)} times kill -9, then to the end (exit {last.code})",
            f"provider  {self.submitted:,} lines submitted, {self.answers:,} answered, {self.twice:,} answered twice",
            f"CPU       {cpu:.1f} s in all lives, {cpu / self.lines * 1e6:.0f} µs a line; "
            f"the last {last.cpu_s:.1f} s in {last.wall_s:.0f} s",
            f"memory    {max(one.peak for one in self.lives) / 2**20:.0f} MiB at the peak of any life",
            "verify    every line has exactly one record" if self.proved else "verify    REFUTED",
        ]


def live(command: list[str], folder: Path, after_s: float | None) -> Life:
    """Run the command; killed after so many seconds, if it has not ended before."""
    started = time.perf_counter()
    with (folder / "stderr").open("wb") as stderr:
        child = subprocess.Popen(
            command, cwd=folder, env={**environment(), "BATCHLLM_BATCH": LANE}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=stderr,
        )  # fmt: skip
        if after_s is not None:
            until = started + after_s
            while time.perf_counter() < until and os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.02)
            with suppress(ProcessLookupError):
                child.kill()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Life(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss * unit, child.returncode)


def measure(lines: int, kills: int, seed: int = 1) -> Outcome:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = folder / "ledger.jsonl"
        write_job(folder / "job.jsonl", lines, Shape())
        options = SimulatorOptions(seed=1, answer_words=3, ledger=str(ledger), batches=BatchOrders(running_s=10.0))
        with run_in_process(options) as provider:
            command = [
                sys.executable, "-m", "batchllm", "run", "job.jsonl", "--base-url", provider.base_url, "--model", "m", "--lane",
                "batch", "--quiet", "--no-report",
            ]  # fmt: skip
            lives = []
            for _ in range(kills):
                lives.append(live(command, folder, rng.uniform(5.0, 40.0)))
                if lives[-1].code == 0:
                    break
            else:
                lives.append(live(command, folder, None))
            with urlopen(provider.base_url.removesuffix("/v1") + "/simulator/stats") as reply:
                stats = json.load(reply)
        verify = [sys.executable, "-m", "batchllm", "verify", "job.jsonl", "outputs/job"]
        proved = subprocess.run(verify, cwd=folder, env=environment(), capture_output=True, check=False).returncode == 0
        asked = Counter(json.loads(line)["digest"] for line in ledger.open("rb"))
    twice = sum(count - 1 for count in asked.values())
    return Outcome(lines, lives, stats["batches"], stats["batch_lines"], asked.total(), twice, proved)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_lane", description="A large job through a Batch API.")
    parser.add_argument("--lines", metavar="N", type=int, default=300_000, help="(default: 300000)")
    parser.add_argument("--kills", metavar="N", type=int, default=8, help="kill -9 so many times on the way (default: 8)")
    args = parser.parse_args()
    outcome = measure(args.lines, args.kills)
    print("\n".join(outcome.rows()))
    sound = outcome.proved and not outcome.twice and outcome.submitted == outcome.lines and outcome.lives[-1].code == 0
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
