"""What a driver of the Ray engine costs a line, while workers and a node of its cluster die.

    python -m benchmarks.ray_scale [--lines 200000] [--workers 3] [--concurrency 1200]

Three nodes on this machine. Two workers and a node are killed on the way; an outside ledger says what was asked. Run the
machine empty: everything shares its cores. Ends with 1 if a line has no record or two, or a bound is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.engines.ray_pool.outbox import LINGER_MOST_S
from benchmarks.ledger_server import DIGEST
from benchmarks.make_job import Shape, write_job
from benchmarks.processes import ROOT, Cost, environment
from tests.ray_nodes import Nodes, kill, nodes

WARM = 4_000
CPU_US = 60.0
CALL_US = 500.0
"""What a call to a worker costs the driver, measured apart: an empty one takes nearly as long as one with fifty lines."""
SLOTS, REQUEST_S = 64, 10.0
GROWTH = 1.15
"""The most that the driver's memory may grow between a tenth of the job and its end, beside what the index takes."""
Death = Callable[[], None]


@dataclass(slots=True)
class Seen:
    """One run: its cost, the driver's memory as it went (lines done, bytes), and its summary."""

    cost: Cost
    memory: list[tuple[int, int]] = field(default_factory=list)
    summary: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scale:
    """The measured run beside a short one, whose cost is the start of it all."""

    lines: int
    warm: Seen
    long: Seen
    records: int
    repeats: int
    bound: int

    @property
    def cpu_us(self) -> float:
        return (self.long.cost.cpu_s - self.warm.cost.cpu_s) / (self.lines - WARM) * 1e6

    @property
    def growth(self) -> float:
        """The driver's memory at the end over that at a tenth of the job, the index's growth left out: it is made at the start."""
        early = [used for done, used in self.long.memory if done >= self.lines / 10]
        return self.long.memory[-1][1] / early[0]

    @property
    def problems(self) -> list[str]:
        found = []
        if self.records != self.lines:
            found.append(f"{self.records:,} lines have exactly one record, not {self.lines:,}")
        if self.repeats > self.bound:
            found.append(f"{self.repeats} lines were asked twice, at most {self.bound} may be")
        if self.cpu_us > CPU_US:
            found.append(f"{self.cpu_us:.0f} µs a line, at most {CPU_US:.0f} may be")
        if self.growth > GROWTH:
            found.append(f"memory grew to {self.growth:.2f} of what it was")
        return found

    def rows(self) -> list[str]:
        peak, rate = self.long.cost.peak / 2**20, self.lines / self.long.cost.wall_s
        lines_s, calls_s = SLOTS / REQUEST_S, 1 / (REQUEST_S / SLOTS + LINGER_MOST_S)
        workers = 1e6 / (lines_s * self.cpu_us + calls_s * CALL_US)
        return [
            f"{self.records:,} of {self.lines:,} lines have exactly one record; {self.repeats} were asked twice (bound {self.bound})",
            f"driver: {self.cpu_us:.1f} µs of CPU a line; {peak:.0f} MiB at the peak, {self.growth:.3f} of that at a tenth of the job",
            f"{rate:,.0f} lines a second here, with workers, endpoint and cluster on the same {os.cpu_count()} cores",
            f"on paper one core of a driver feeds {1e6 / self.cpu_us:,.0f} lines a second that come in large reports, "
            f"or {workers:,.0f} workers with {SLOTS} requests of {REQUEST_S:g} s each",
        ]


def command(job: Path, out: Path, base_url: str, address: str, given: argparse.Namespace) -> list[str]:
    return [
        sys.executable, "-m", "batchllm", "run", str(job), "-o", str(out), "--base-url", base_url, "--model", "simulated-1",
        "-c", str(given.concurrency), "--engine", "ray", "--ray-address", address, "--workers", str(given.workers), "--json",
        "--quiet", "--no-report", "--no-dedupe",
    ]  # fmt: skip


def drive(argv: Sequence[str], folder: Path, deaths: Sequence[tuple[int, Death]]) -> Seen:
    """Run a command, let each death happen once so many lines are done, and look at the driver's memory meanwhile."""
    started = time.perf_counter()
    with (folder / "stdout").open("w+b") as stdout, (folder / "stderr").open("w+b") as stderr:
        child = subprocess.Popen(argv, cwd=folder, env=environment(), stdout=stdout, stderr=stderr)
        memory: list[tuple[int, int]] = []
        ended = threading.Event()
        looking = threading.Thread(target=_look, args=(child.pid, folder / "out/results.jsonl", memory, list(deaths), ended))
        looking.start()
        _, status, used = os.wait4(child.pid, 0)
        ended.set()
        looking.join()
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if child.returncode:
            raise RuntimeError(f"ended with {child.returncode}: {stderr.read()[-2000:].decode()}")
        wall = time.perf_counter() - started
        return Seen(Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024), memory, json.loads(stdout.read()))


def _look(
    pid: int, results: Path, memory: list[tuple[int, int]], deaths: list[tuple[int, Death]], ended: threading.Event
) -> None:
    done = at = 0
    while not ended.wait(0.25):
        if results.exists():
            with results.open("rb") as file:
                file.seek(at)
                while piece := file.read(1 << 20):
                    at += len(piece)
                    done += piece.count(b"\n")
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        if pages:  # none once it has ended
            memory.append((done, pages * os.sysconf("SC_PAGE_SIZE")))
        if deaths and done >= deaths[0][0]:
            deaths.pop(0)[1]()


@contextmanager
def ledger_server(path: Path, latency_ms: float) -> Iterator[str]:
    """The base URL of an endpoint that notes each request, as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.ledger_server", str(path), "--latency", str(latency_ms)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def measure(given: argparse.Namespace) -> Scale:
    with tempfile.TemporaryDirectory() as name, nodes(others=2, cpus=given.workers) as cluster:
        folder = Path(name)
        warm, long = folder / "warm", folder / "long"
        shape = Shape()
        ledger = folder / "ledger"
        with ledger_server(ledger, given.latency) as url:
            for where, lines in ((warm, WARM), (long, given.lines)):
                where.mkdir()
                write_job(where / "job.jsonl", lines, shape)
            address = cluster.address
            first = drive(command(warm / "job.jsonl", warm / "out", url, address, given), warm, ())
            os.truncate(ledger, 0)
            second = drive(command(long / "job.jsonl", long / "out", url, address, given), long, deaths(given.lines, cluster))
        return Scale(given.lines, first, second, *judged(long, ledger, second, given))


def deaths(lines: int, cluster: Nodes) -> list[tuple[int, Death]]:
    return [
        (lines // 4, lambda: kill(cluster.workers()[0])),
        (lines // 2, cluster.kill_node),
        (lines * 3 // 4, lambda: kill(cluster.workers()[-1])),
    ]


def judged(folder: Path, ledger: Path, seen: Seen, given: argparse.Namespace) -> tuple[int, int, int]:
    """Lines with exactly one record, requests beyond the first for a line, and how many of those there may be."""
    records: Counter[str] = Counter()
    with (folder / "out/results.jsonl").open("rb") as file:
        for line in file:
            records[json.loads(line)["custom_id"]] += 1
    entries = ledger.read_bytes()
    asked = Counter(entries[at : at + DIGEST] for at in range(0, len(entries), DIGEST))
    lost = sum(one["lost"] for one in seen.summary["ray"]["workers"])  # type: ignore[index]
    bound = lost * -(-given.concurrency // max(1, given.workers - 1))
    return sum(count == 1 for count in records.values()), sum(asked.values()) - len(asked), bound


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ray_scale", description="The driver's cost on a cluster that breaks."
    )
    parser.add_argument("--lines", metavar="N", type=int, default=200_000, help="(default: 200000)")
    parser.add_argument("--workers", metavar="N", type=int, default=3, help="(default: 3, one for each node)")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=1200, help="(default: 1200)")
    parser.add_argument("--latency", metavar="MS", type=float, default=100.0, help="(default: 100)")
    scale = measure(parser.parse_args())
    print("\n".join(scale.rows()))
    for problem in scale.problems:
        print(f"PROBLEM: {problem}")
    return 1 if scale.problems else 0


if __name__ == "__main__":
    sys.exit(main())
