"""Running a finished job again: every line is read and checked, every result replayed, nothing is sent.

python -m benchmarks.resume [--lines 1000000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from batchllm.records import Record
from batchllm.sources.job_file import JobFile
from batchllm.sources.request_line import RequestLine
from batchllm.types import Request
from benchmarks.make_job import Shape, write_job
from benchmarks.processes import Cost, batchllm_command, cost, instant_server

URL = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Resume:
    """Runs over `lines` finished lines, and what one line costs beside the start: microseconds of CPU, bytes.

    `anew` is the first of them, which reads the whole job; `again` one that finds its first reading kept.
    """

    lines: int
    anew: Cost
    again: Cost
    one: Cost

    @property
    def bytes_a_line(self) -> float:
        return (self.again.peak - self.one.peak) / self.lines

    def rows(self) -> list[str]:
        runs = {"job read anew": self.anew, "first reading kept": self.again}
        return [
            *(self._row(name, run) for name, run in runs.items()),
            f"memory  {self.again.peak / 2**20:.0f} MiB at the peak, {self.bytes_a_line:.0f} bytes a line",
        ]

    def _row(self, name: str, run: Cost) -> str:
        each = (run.cpu_s - self.one.cpu_s) / self.lines * 1e6
        return f"{self.lines:,} finished lines, {name}  {run.wall_s:.1f} s, {run.cpu_s:.1f} s of CPU, {each:.1f} µs a line"


def finish(job: Path, out: Path, like: Path) -> None:
    """The results of a job as a run would have left them, after the one result in the folder `like`."""
    known = orjson.loads((like / "results.jsonl").read_bytes())
    reply, facts = orjson.dumps(known["response"]["body"]), known["batchllm"]
    out.mkdir()
    with (out / "results.jsonl").open("wb", buffering=1 << 20) as results:
        for request in JobFile(job, RequestLine({"model": "instant"}, URL), 1 << 20):
            assert isinstance(request, Request)
            mine = {**facts, "line": request.line, "digest": request.digest, "metadata": request.metadata}
            record = Record(request.line, request.custom_id, request.digest, 200, "req_5b1e0c7f3a", reply, facts=mine)
            results.write(record.to_json())


def measure(lines: int) -> Resume:
    with tempfile.TemporaryDirectory() as name, instant_server() as base_url:
        folder = Path(name)
        one, many = folder / "one.jsonl", folder / "many.jsonl"
        write_job(one, 1, Shape())
        write_job(many, lines, Shape())
        cost(batchllm_command(one, folder / "one", base_url, 64), folder)
        finish(many, folder / "many", folder / "one")
        small = cost(batchllm_command(one, folder / "one", base_url, 64), folder)
        command = batchllm_command(many, folder / "many", base_url, 64)
        anew, again = (cost([*command, "--no-report"], folder) for _ in range(2))
    return Resume(lines, anew, again, small)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description="Running a finished job again.")
    parser.add_argument("--lines", metavar="N", type=int, default=1_000_000, help="(default: 1000000)")
    print("\n".join(measure(parser.parse_args().lines).rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
