"""The gateway under restarts: many batches at once, nothing lost, nothing twice; and what a line costs it.

    python -m benchmarks.gateway [--batches 100] [--lines 1000] [--kills 5] [--stops 5] [--cost 20000] [--rounds 5]

The witness is the simulator's ledger, a line for every answer it made. A kill (SIGKILL) may cost the requests in flight
once more, a stop (SIGTERM) none. The cost is the CPU of a gateway's whole process against that of `batchllm run` for the
same lines, both without their start, in one round each against the same instant server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI
from openai.types import Batch

from batchllm.simulator import SimulatorOptions, run_in_process
from batchllm.simulator.latency import Latency
from benchmarks.make_job import Shape, write_job
from benchmarks.processes import Spread, batchllm_command, cost, environment, instant_server

CONCURRENCY = 64
ENDED = ("completed", "failed", "expired", "cancelled")
PATIENCE_S = 600.0


class Served:
    """`batchllm serve` as a process of its own, killed and started again over the same folder."""

    def __init__(self, folder: Path, upstream: str, *more: str) -> None:
        self._folder = folder
        self._command = [
            sys.executable, "-m", "batchllm", "serve", "--base-url", upstream, "--model", "simulated-1", "--no-tokens",
            "--data", str(folder / "gateway"), "-c", str(CONCURRENCY), *more,
        ]  # fmt: skip
        self._port = "0"
        self._client: OpenAI | None = None
        self.start()

    def start(self) -> None:
        """Start, and return once it takes requests; the port stays the same."""
        with (self._folder / "serve.err").open("ab") as stderr:
            self.child = subprocess.Popen(
                [*self._command, "--port", self._port], cwd=self._folder, env=environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        assert self.child.stdout is not None
        self.base_url = self.child.stdout.readline().decode().strip()
        if not self.base_url:
            self.child.wait(10)
            raise RuntimeError((self._folder / "serve.err").read_text()[-500:])
        self._port = str(httpx.URL(self.base_url).port)

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Its exit code, and the seconds of CPU it took."""
        self.child.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, float]:
        assert self.child.stdout is not None
        _, status, used = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.child.stdout.close()
        return self.child.returncode, used.ru_utime + used.ru_stime

    def client(self) -> OpenAI:
        """The official client; it never repeats by itself."""
        if self._client is None:
            self._client = OpenAI(base_url=self.base_url, api_key="none", max_retries=0, timeout=30)
        return self._client

    def close(self) -> None:
        """End it, if it still runs, and its client."""
        if self._client is not None:
            self._client.close()
        if self.child.returncode is None:
            self.end(signal.SIGKILL)


@contextmanager
def served(folder: Path, upstream: str, *more: str) -> Iterator[Served]:
    one = Served(folder, upstream, *more)
    try:
        yield one
    finally:
        one.close()


@dataclass
class Survived:
    """What came of it. `repeats` are answers the endpoint made beyond one a line; `allowed` what the kills explain."""

    batches: int
    lines: int
    kills: int = 0
    stops: int = 0
    lost: int = 0
    twice: int = 0
    repeats: int = 0
    allowed: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)

    def rows(self) -> list[str]:
        return [
            f"{self.batches} batches of {self.lines} lines, {self.kills} kills and {self.stops} stops in {self.seconds:.0f} s",
            f"lost {self.lost}, twice {self.twice}; asked again {self.repeats} of at most {self.allowed}",
            *self.broken[:20],
        ]

    @property
    def held(self) -> bool:
        return not (self.lost or self.twice or self.broken) and self.repeats <= self.allowed


def survive(batches: int, lines: int, kills: int, stops: int, seed: int = 1, latency_s: float = 0.05) -> Survived:
    """Submit all batches at once, kill and stop the gateway meanwhile, and hold every answer against the ledger."""
    drawn, made = random.Random(seed), Survived(batches, lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = folder / "ledger.jsonl"
        options = SimulatorOptions(seed=seed, ledger=str(ledger), answer_words=8, latency=Latency(median_s=latency_s))
        with run_in_process(options) as hosted, served(folder, hosted.base_url) as gateway:
            started = time.monotonic()
            ids = _submit(gateway, batches, lines)
            events = [signal.SIGKILL] * kills + [signal.SIGTERM] * stops
            drawn.shuffle(events)
            every = batches * lines * latency_s / CONCURRENCY / (len(events) + 1)
            for event in events:
                time.sleep(every * drawn.uniform(0.3, 1.0))
                if _all_ended(gateway, ids):
                    break
                code, _ = gateway.end(event)
                made.kills += event is signal.SIGKILL
                made.stops += event is signal.SIGTERM
                if event is signal.SIGTERM and code != 0:
                    made.broken.append(f"a stop ended with {code}")
                gateway.start()
            _check(made, _ends(gateway, ids), gateway.client(), ledger)
            made.seconds = time.monotonic() - started
            _close(made, gateway, folder)
    return made


def _close(made: Survived, gateway: Served, folder: Path) -> None:
    """A gateway that is done leaves nothing but files and its book."""
    gateway.end(signal.SIGTERM)
    left = [path for name in ("jobs", "batches", "incoming") for path in (folder / "gateway" / name).iterdir()]
    made.broken += [f"left behind: {path.name}" for path in left]


def _submit(gateway: Served, batches: int, lines: int) -> list[str]:
    client, ids = gateway.client(), []
    for number in range(batches):
        job = "".join(json.dumps(_line(number, line)) + "\n" for line in range(lines))
        file = client.files.create(file=(f"job-{number}.jsonl", job.encode()), purpose="batch")
        one = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        client.files.delete(file.id)  # the batch goes on without it
        ids.append(one.id)
    return ids


def _line(batch: int, line: int) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": f"batch {batch} line {line}"}]}
    return {"custom_id": f"line-{line}-of-{batch}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def _all_ended(gateway: Served, ids: list[str]) -> bool:
    client = gateway.client()
    return all(client.batches.retrieve(one).status in ENDED for one in reversed(ids))


def _ends(gateway: Served, ids: list[str]) -> list[Batch]:
    client, until = gateway.client(), time.monotonic() + PATIENCE_S
    ended: list[Batch] = []
    for one in ids:
        while (batch := client.batches.retrieve(one)).status not in ENDED:
            if time.monotonic() > until:
                raise RuntimeError(f"{one} came to no end: {batch}")
            time.sleep(0.2)
        ended.append(batch)
    return ended


def _check(made: Survived, ended: list[Batch], client: OpenAI, ledger: Path) -> None:
    for number, batch in enumerate(ended):
        counts: Counter[str] = Counter()
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue
            for raw in client.files.content(file_id).text.splitlines():
                record = json.loads(raw)
                counts[record["custom_id"]] += 1
                if record["response"]["status_code"] != 200 or set(record) != {"id", "custom_id", "response", "error"}:
                    made.broken.append(f"{batch.id}: {raw[:200]}")
        wanted = {f"line-{line}-of-{number}" for line in range(made.lines)}
        made.lost += len(wanted - counts.keys())
        made.twice += sum(count - 1 for count in counts.values())
        told = batch.request_counts
        if counts.keys() - wanted or batch.status != "completed" or told is None or told.completed != made.lines:
            made.broken.append(f"{batch.id} is {batch.status} with {told}")
    asked = Counter(json.loads(line)["prompt"] for line in ledger.read_bytes().splitlines())
    made.repeats = sum(count - 1 for count in asked.values())
    made.allowed = made.kills * CONCURRENCY
    made.lost += made.batches * made.lines - len(asked)


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of CPU a line: `batchllm run`, one batch of all lines, batches of a thousand lines each; and how many
    times the first the others are, round by round."""

    run_us: Spread
    one_us: Spread
    many_us: Spread
    one_ratio: Spread
    many_ratio: Spread

    def rows(self) -> list[str]:
        return [
            f"batchllm run     {self.run_us.shown('{:.0f}')} µs CPU a line",
            f"one batch        {self.one_us.shown('{:.0f}')} µs CPU a line, {self.one_ratio.shown()} times",
            f"batches of 1000  {self.many_us.shown('{:.0f}')} µs CPU a line, {self.many_ratio.shown()} times",
        ]


def costs(lines: int, rounds: int) -> Costs:
    with tempfile.TemporaryDirectory() as name, instant_server() as base_url:
        found = [_round(Path(name) / str(number), base_url, lines) for number in range(rounds)]
    each = 1e6 / lines
    return Costs(
        Spread.of([run * each for run, _, _ in found]),
        Spread.of([one * each for _, one, _ in found]),
        Spread.of([many * each for _, _, many in found]),
        Spread.of([one / run for run, one, _ in found]),
        Spread.of([many / run for run, _, many in found]),
    )


def _round(folder: Path, base_url: str, lines: int) -> tuple[float, float, float]:
    """Seconds of CPU, without the start: a run, a gateway with one batch, a gateway with batches of a thousand lines."""
    folder.mkdir()
    job, one = folder / "job.jsonl", folder / "one.jsonl"
    write_job(job, lines, Shape(form="batch"))
    write_job(one, 1, Shape(form="batch"))

    def run(path: Path, out: str) -> float:
        command = batchllm_command(path, folder / out, base_url, CONCURRENCY, "--quiet", "--no-report")
        return cost(command, folder).cpu_s

    def gate(jobs: list[bytes], out: str) -> float:
        (folder / out).mkdir()
        with served(folder / out, base_url) as gateway:
            _through(gateway, jobs)
            return gateway.end(signal.SIGTERM)[1]

    raw = job.read_bytes().splitlines(keepends=True)
    pieces = [b"".join(raw[at : at + 1000]) for at in range(0, len(raw), 1000)]
    start_run, start_gate = run(one, "start"), gate([one.read_bytes()], "gate-start")
    whole = run(job, "run") - start_run
    single, many = gate([job.read_bytes()], "gate-one"), gate(pieces, "gate-many")
    return whole, single - start_gate, many - start_gate


def _through(gateway: Served, jobs: list[bytes]) -> None:
    client, ids = gateway.client(), []
    for job in jobs:
        file = client.files.create(file=("job.jsonl", job), purpose="batch")
        one = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        ids.append(one.id)
    for one_id in ids:
        while (batch := client.batches.retrieve(one_id)).status not in ENDED:
            time.sleep(0.5)
        assert batch.status == "completed", batch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description="The gateway under restarts.")
    parser.add_argument("--batches", metavar="N", type=int, default=100, help="(default: 100)")
    parser.add_argument("--lines", metavar="N", type=int, default=1000, help="lines of each (default: 1000)")
    parser.add_argument("--kills", metavar="N", type=int, default=5, help="(default: 5)")
    parser.add_argument("--stops", metavar="N", type=int, default=5, help="(default: 5)")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="(default: 1)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="of the measurement (default: 5)")
    parser.add_argument(
        "--cost", metavar="LINES", type=int, default=20_000, help="lines to measure with; 0: do not (default: 20000)"
    )
    given = parser.parse_args()
    held = True
    if given.batches:
        found = survive(given.batches, given.lines, given.kills, given.stops, given.seed)
        print("\n".join(found.rows()), flush=True)
        held = found.held
    if given.cost:
        print("\n".join(costs(given.cost, given.rounds).rows()))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
