"""Commands run as processes of their own, and what the kernel says each one cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """One process from its start to its end: seconds of CPU (user and system), seconds of the clock, bytes at its peak."""

    cpu_s: float
    wall_s: float
    peak: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure measured several times."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), median(values), max(values))

    def shown(self, form: str = "{:.2f}") -> str:
        middle, low, high = (form.format(value) for value in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high})"


def environment() -> dict[str, str]:
    """Ours, without what would lead a run to somebody's account, and with this checkout importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


def cost(command: Sequence[str], folder: Path, expected: int = 0) -> Cost:
    """Run a command in `folder` and wait for it. Raises RuntimeError with the end of its messages if it ends otherwise."""
    with (folder / "stderr").open("w+b") as stderr:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
        )
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != expected:
            stderr.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {stderr.read()[-500:].decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss * unit)


@contextmanager
def instant_server(latency_ms: float = 0.0) -> Iterator[str]:
    """The base URL of an instant server that lives as long as the block."""
    command = [sys.executable, "-m", "benchmarks.instant_server", "--latency", str(latency_ms)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def batchllm_command(job: Path, out: Path, base_url: str, concurrency: int, *more: str) -> list[str]:
    """Our real command, as a user types it."""
    return [
        sys.executable, "-m", "batchllm", "run", str(job), "-o", str(out), "--base-url", base_url, "--model", "instant",
        "-c", str(concurrency), *more,
    ]  # fmt: skip


def bare_command(job: Path, out: Path, base_url: str, concurrency: int) -> list[str]:
    url = f"{base_url}/chat/completions"
    return [sys.executable, "-m", "benchmarks.bare_loop", str(job), str(out), url, "-c", str(concurrency)]
