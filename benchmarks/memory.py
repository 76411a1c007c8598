"""Peak memory of the real command at two sizes of job: it follows concurrency, not the job.

python -m benchmarks.memory [--small 5000] [--large 200000] [--concurrency 64]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.make_job import Shape, write_job
from benchmarks.processes import batchllm_command, cost, instant_server


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak of a run over `small` and over `large` lines."""

    small: int
    large: int
    small_peak: int
    large_peak: int

    @property
    def ratio(self) -> float:
        return self.large_peak / self.small_peak

    @property
    def bytes_a_line(self) -> float:
        return (self.large_peak - self.small_peak) / (self.large - self.small)

    def rows(self) -> list[str]:
        return [
            f"{self.small:,} lines  {self.small_peak / 2**20:.1f} MiB at the peak",
            f"{self.large:,} lines  {self.large_peak / 2**20:.1f} MiB at the peak",
            f"ratio  {self.ratio:.3f}, {self.bytes_a_line:.0f} bytes a line more",
        ]


def measure(small: int, large: int, concurrency: int) -> Memory:
    with tempfile.TemporaryDirectory() as name, instant_server() as base_url:
        folder = Path(name)
        peaks = []
        for lines in (small, large):
            job = folder / f"{lines}.jsonl"
            write_job(job, lines, Shape())
            peaks.append(cost(batchllm_command(job, folder / f"out-{lines}", base_url, concurrency), folder).peak)
    return Memory(small, large, *peaks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Peak memory at two sizes of job.")
    parser.add_argument("--small", metavar="N", type=int, default=5_000, help="(default: 5000)")
    parser.add_argument("--large", metavar="N", type=int, default=200_000, help="(default: 200000)")
    parser.add_argument("-c", "--concurrency", metavar="N", type=int, default=64, help="(default: 64)")
    given = parser.parse_args()
    print("\n".join(measure(given.small, given.large, given.concurrency).rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
