"""CPU a chunk of a streamed answer: batchllm with everything on, beside clients that only read.

    python -m benchmarks.streams [--lines 200] [--chunks 100] [--rounds 5] [--tick MS] [-o docs/streams.md]

All are whole processes that do the same job against the same raw server, one after the other, round by round. The cost of
starting is measured with a job of one line in the same round and taken off; what is left, divided by the chunks, has every
request's own cost in it too. Needs `openai`, `httpx` and `httpx-sse`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, Spread, batchllm_command, cost, environment

PAGE = ROOT / "docs" / "streams.md"
ALLOWED_US = 40
CLIENTS = {
    "batchllm": "batchllm run --stream",
    "sdk": "`openai` SDK, `AsyncOpenAI`",
    "httpx-sse": "`httpx` with `httpx-sse`",
    "aiohttp": "lines by hand over `aiohttp`",
}


@dataclass(frozen=True, slots=True)
class Found:
    """Microseconds of CPU a chunk by client, and each client's ratio to ours, round by round."""

    lines: int
    chunks: int
    tick_ms: float
    us: dict[str, Spread]
    ratio: dict[str, Spread]

    def rows(self) -> list[str]:
        return [
            f"| {words} | {self.us[name].shown('{:.1f}')} | {self.ratio[name].shown()} |" for name, words in CLIENTS.items()
        ]


@contextmanager
def stream_server(chunks: int, tick_ms: float) -> Iterator[str]:
    """The base URL of a stream server that lives as long as the block."""
    command = [sys.executable, "-m", "benchmarks.stream_server", "--chunks", str(chunks), "--tick", str(tick_ms)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def command(client: str, job: Path, out: Path, base_url: str, concurrency: int) -> list[str]:
    if client == "batchllm":
        return batchllm_command(job, out, base_url, concurrency, "--stream")
    return [sys.executable, "-m", "benchmarks.stream_clients", client, str(job), str(out), base_url, "-c", str(concurrency)]


def measure(
    lines: int,
    chunks: int,
    rounds: int,
    tick_ms: float,
    concurrency: int = 64,
    watch: Callable[[str], None] = lambda text: None,
) -> Found:
    found: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with tempfile.TemporaryDirectory() as name, stream_server(chunks, tick_ms) as base_url:
        folder = Path(name)
        many, one = job(folder / "many.jsonl", lines), job(folder / "one.jsonl", 1)
        for number in range(1, rounds + 1):
            for client, spent in found.items():
                start = cost(command(client, one, folder / f"{client}-one-{number}", base_url, concurrency), folder)
                whole = cost(command(client, many, folder / f"{client}-{number}", base_url, concurrency), folder)
                spent.append((whole.cpu_s - start.cpu_s) * 1e6 / ((lines - 1) * chunks))
            watch(f"round {number}: " + ", ".join(f"{client} {spent[-1]:.1f} µs" for client, spent in found.items()))
    ours = found["batchllm"]
    return Found(
        lines,
        chunks,
        tick_ms,
        {name: Spread.of(spent) for name, spent in found.items()},
        {name: Spread.of([one / our for one, our in zip(spent, ours, strict=True)]) for name, spent in found.items()},
    )


def job(path: Path, lines: int) -> Path:
    path.write_text("".join(f'{{"custom_id": "doc-{number}", "prompt": "Sum up {number}"}}\n' for number in range(lines)))
    return path


HEAD = f"""\
# Streams

Written by `python -m benchmarks.streams`. Microseconds of CPU (user and system, of the whole process without its start) for
each chunk of a streamed answer, as the median (lowest to highest); wanted are at most {ALLOWED_US}. Everything is on: events
read by the standard, the answer put together and judged, usage, time bounds, the record written and forced to disk. The
others only read, join the pieces and write a line. All are asked in turn, round by round, at 64 streams at a time.
"""


def section(found: Found) -> str:
    if found.tick_ms:
        how = f"Each chunk in a packet of its own, one every {found.tick_ms:g} ms in each stream: as tokens come from a model."
    else:
        how = "A whole stream in one write: as they come from a cache, or through a gateway that holds them back."
    title = "Chunk by chunk" if found.tick_ms else "At once"
    size = f"{found.lines:,} streams of {found.chunks} chunks."
    table = ["| client | µs a chunk | to ours |", "|---|---|---|", *found.rows()]
    return "\n".join(["", f"## {title}", "", f"{how} {size}", "", *table, ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description="CPU a chunk of a streamed answer.")
    parser.add_argument("--lines", metavar="N", type=int, default=200, help="(default: 200)")
    parser.add_argument("--chunks", metavar="N", type=int, default=100, help="(default: 100)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="(default: 5)")
    parser.add_argument("--tick", metavar="MS", type=float, default=10.0, help="(default: 10)")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="(default: docs/streams.md)")
    given = parser.parse_args()

    def watch(text: str) -> None:
        print(text, file=sys.stderr)

    paced = measure(given.lines, given.chunks, given.rounds, given.tick, watch=watch)
    at_once = measure(given.lines * 3, given.chunks, given.rounds, 0.0, watch=watch)
    given.output.write_text(HEAD + section(paced) + section(at_once), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
