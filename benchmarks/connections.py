"""Many connections: what the real command makes of an endpoint that takes its time, and that it leaves no socket behind.

    python -m benchmarks.connections [--lines 100000] [--cases 1000x200,4000x200,4000x1000]
    python -m benchmarks.connections --soak 1000000

A case is requests in flight and milliseconds an answer takes. The ideal is nothing but that latency, every slot always used. The
steady share is that between the first tenth of the answers or the whole cap, whichever is later, and the last tenth; the
share in all has the start of the process and the slow start of the limiter in it. CPU is user and system of the whole process; its
inverse is what one core could carry, however busy the machine was. The server is another process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.make_job import Shape, write_job
from benchmarks.processes import ROOT, batchllm_command, cost, environment

SAMPLE_S = 1.0


@dataclass(slots=True)
class Server:
    base_url: str
    came: dict[str, int]
    """What it says of its connections when it has ended."""


@contextmanager
def counting_server(latency_ms: float) -> Iterator[Server]:
    command = [sys.executable, "-m", "benchmarks.instant_server", "--latency", str(latency_ms)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    server = Server(f"http://127.0.0.1:{int(child.stdout.readline())}/v1", {})
    try:
        yield server
    finally:
        child.stdin.close()
        server.came.update(orjson.loads(child.stdout.readline()))
        child.wait(10)
        child.stdout.close()


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. Shares are of `cap / latency` requests a second; `rate` is in the steady part."""

    cap: int
    latency_ms: float
    lines: int
    wall_s: float
    cpu_us: float
    rate: float
    peak_mb: float
    came: dict[str, int]

    @property
    def ideal(self) -> float:
        return self.cap * 1000 / self.latency_ms

    def row(self) -> str:
        return (
            f"| {self.cap:,} | {self.latency_ms:g} ms | {self.lines:,} | {self.ideal:,.0f} | {self.rate:,.0f} "
            f"| {self.rate / self.ideal:.0%} | {self.lines / self.wall_s / self.ideal:.0%} | {self.cpu_us:.0f} "
            f"| {1e6 / self.cpu_us:,.0f} | {self.peak_mb:.0f} | {self.came['connections']:,} | {self.came['burst']:,} |"
        )


HEAD = (
    "| in flight | latency | lines | ideal, req/s | steady, req/s | steady share | share in all | CPU µs a request "
    "| one core carries | MiB | connections | most in 0.1 s |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def steady(series: dict[str, Any], cap: int) -> float:
    """Answers a second from when the whole cap was in force, and a tenth was answered, until nine tenths were."""
    times, done, limits = series["t"], series["done"], series["limit"]
    last = done[-1]
    first = next((at for at, limit in enumerate(limits) if limit >= cap and done[at] >= 0.1 * last), 0)
    end = max(first + 1, next(at for at, count in enumerate(done) if count >= 0.9 * last))
    return float((done[end] - done[first]) / (times[end] - times[first]))


def run(cap: int, latency_ms: float, lines: int, watch: Path | None = None) -> Figures:
    with tempfile.TemporaryDirectory() as name, counting_server(latency_ms) as server:
        folder = Path(name)
        many, one = folder / "many.jsonl", folder / "one.jsonl"
        write_job(many, lines, Shape())
        write_job(one, 1, Shape())
        more = ("--no-report", "--transport", "httptools")
        start = cost(batchllm_command(one, folder / "one", server.base_url, cap, *more), folder)
        command = batchllm_command(many, folder / "many", server.base_url, cap, *more)
        whole = cost(command if watch is None else watched(command, watch), folder)
        summary = orjson.loads((folder / "many" / "summary.json").read_bytes())
    cpu_us = (whole.cpu_s - start.cpu_s) * 1e6 / (lines - 1)
    rate = steady(summary["series"][-1], cap)
    return Figures(cap, latency_ms, lines, whole.wall_s, cpu_us, rate, whole.peak / 2**20, server.came)


def watched(command: list[str], to: Path) -> list[str]:
    """The same command, with a thread inside that writes down once a second how many sockets the process has open."""
    return [sys.executable, "-m", "benchmarks.connections", "--watched", str(to), *command[3:]]


def _watched(to: Path, arguments: list[str]) -> int:
    from batchllm.cli import main as batchllm

    ended = threading.Event()

    def count() -> None:
        with to.open("w") as file:
            while not ended.wait(SAMPLE_S):
                links = [_link(one) for one in Path("/proc/self/fd").iterdir()]
                file.write(f"{sum(link.startswith('socket:') for link in links)}\n")
                file.flush()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    code = batchllm(arguments)
    ended.set()
    thread.join()
    return code


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed since it was listed
        return ""


def soak(lines: int, cap: int, latency_ms: float) -> str:
    """A long run, and what sockets it had open at the beginning of its second half and at its end."""
    with tempfile.TemporaryDirectory() as name:
        counts = Path(name) / "sockets"
        figures = run(cap, latency_ms, lines, counts)
        sockets = [int(line) for line in counts.read_text().split()]
    half = sockets[len(sockets) // 2 :]
    return (
        f"{HEAD}\n{figures.row()}\n\nsockets of the process, once a second: {max(sockets)} at most; "
        f"second half {min(half[:-2])} to {max(half)}; open at the server when all was done: {figures.came['open']}"
    )


def main() -> int:
    if sys.argv[1:2] == ["--watched"]:
        return _watched(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections", description="Many connections.")
    parser.add_argument("--lines", metavar="N", type=int, default=100_000, help="(default: 100000)")
    parser.add_argument("--cases", metavar="CxMS,…", default="1000x200,4000x200,4000x1000", help="(default: %(default)s)")
    parser.add_argument("--soak", metavar="N", type=int, help="N requests, 1,000 in flight at 200 ms, sockets counted")
    given = parser.parse_args()
    if given.soak:
        print(soak(given.soak, 1000, 200.0))
        return 0
    print(HEAD, flush=True)
    for case in given.cases.split(","):
        cap, latency_ms = case.split("x")
        print(run(int(cap), float(latency_ms), given.lines).row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
