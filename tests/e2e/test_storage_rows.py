"""Rows S11 to S22: signals, a terminal that is gone, clocks that jump, memory, and answers on the disk as they come."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import jumping
from tests.e2e.commands import ROOT, environment, started
from tests.e2e.trial import Trial, conduct, timed, write_job
from tests.faultserver import FaultServer, Gate, Rule, Script, delayed, error, hang, ok_chat, run_in_thread, says
from tests.faultserver.script import Request, echo
from tests.faultserver.steps import Step

TIMEOUT_S = 30
SIGNALS = {"sigint": (signal.SIGINT, 130), "sigterm": (signal.SIGTERM, 143), "sighup": (signal.SIGHUP, 129)}


@dataclass
class Held:
    """A server that keeps every request in the air until the gate opens, and a job of ten lines for it."""

    server: FaultServer
    gate: Gate
    folder: Path

    def start(self, *flags: str, **options: Any) -> subprocess.Popen[bytes]:
        job = write_job(self.folder / "job.jsonl", [{"custom_id": f"{number}", "prompt": f"{number}"} for number in range(10)])
        return started(["run", job, "-o", "out", "-c", "3", *flags], self.folder, environment(self.server.base_url), **options)

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / "out" / name
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    @property
    def answered(self) -> list[str]:
        return sorted(record["custom_id"] for record in self.lines("results.jsonl"))

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "out" / "summary.json").read_bytes())
        return found


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    gate = Gate()
    try:
        with run_in_thread(lambda request: delayed(echo(request), until=gate)) as server:
            yield Held(server, gate, tmp_path)
    finally:
        gate.open()


def signalled(held: Held, process: subprocess.Popen[bytes], number: signal.Signals) -> bytes:
    """Send the signal with three requests in the air; returns once the process has said that it heard it."""
    held.server.wait_until(lambda: held.server.in_flight == 3)
    process.send_signal(number)
    assert process.stderr is not None
    said = b""
    while b"no new requests" not in said:
        more = process.stderr.readline()
        assert more, said
        said += more
    return said


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_drains_what_is_in_the_air_s11_s12(name: str, held: Held) -> None:
    number, code = SIGNALS[name]
    process = held.start()
    assert b"3 in flight" in signalled(held, process, number)
    held.gate.open()
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code
    assert len(held.answered) == 3
    assert held.summary["request_counts"]["pending"] == 7
    assert b"go on" in err
    assert len(held.server.calls) == 3
    again = held.start()
    _, err = again.communicate(timeout=TIMEOUT_S)
    assert again.returncode == 0, err
    assert len(held.answered) == len(held.server.calls) == 10


@pytest.mark.parametrize("name", SIGNALS)
def test_a_second_signal_ends_at_once_and_leaves_a_sound_folder_s11(name: str, held: Held) -> None:
    number, code = SIGNALS[name]
    process = held.start()
    signalled(held, process, number)
    process.send_signal(number)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert held.summary["outcome_unknown"] == 3
    held.gate.open()
    again = held.start()
    _, err = again.communicate(timeout=TIMEOUT_S)
    assert again.returncode == 0, err
    assert held.answered == [f"{number}" for number in range(10)]
    assert len(held.server.calls) == 13


def test_a_drain_has_its_bound_s11(held: Held) -> None:
    (held.folder / "job.toml").write_text("[timeouts]\ndrain = 0.2\n")
    process = held.start()
    signalled(held, process, signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143
    assert held.summary["outcome_unknown"] == 3
    assert held.answered == []


def test_a_hangup_that_is_ignored_stays_ignored_s12(held: Held) -> None:
    """As under nohup: the terminal goes, the run stays."""
    process = held.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    held.server.wait_until(lambda: held.server.in_flight == 3)
    process.send_signal(signal.SIGHUP)
    held.gate.open()
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert len(held.answered) == 10


def closed(*fds: int) -> Callable[[], None]:
    def close() -> None:
        for fd in fds:
            os.close(fd)

    return close


def nobody_listens(held: Held) -> subprocess.Popen[bytes]:
    """stdout and stderr are pipes whose readers are gone."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    process = held.start("--json", stdout=out_write, stderr=err_write)
    for fd in (out_read, out_write, err_read, err_write):
        os.close(fd)
    return process


def onto_a_full_disk(held: Held) -> subprocess.Popen[bytes]:
    with Path("/dev/full").open("wb") as full:
        return held.start("--json", "--log-level", "debug", stdout=full, stderr=full)


MUTE: dict[str, Callable[[Held], subprocess.Popen[bytes]]] = {
    "s12-closed": lambda held: held.start("--json", stdout=None, stderr=None, preexec_fn=closed(1, 2)),
    "s12-epipe": nobody_listens,
    "s22-full": onto_a_full_disk,
}


@pytest.mark.parametrize("name", MUTE)
def test_a_terminal_that_is_gone_does_not_stop_a_run(name: str, held: Held) -> None:
    if name == "s22-full" and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    held.gate.open()
    process = MUTE[name](held)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert len(held.answered) == 10
    assert held.summary["ended"]["exit_code"] == 0


def test_too_few_descriptors_lower_the_cap_and_it_is_said_h32(held: Held) -> None:
    held.gate.open()
    process = held.start("-c", "500", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)))
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert b"concurrency lowered from 500 to 16" in err
    assert len(held.answered) == 10


# -- in one process, on a clock that jumps -----------------------------------------------------------------------------


def run_lines(tmp_path: Path, count: int, answer: Any, during: Callable[[Any], Any] | None = None, **settings: Any) -> Trial:
    async def main() -> Trial:
        times: list[float] = []
        async with FaultServer(timed(Script.of(answer), times)) as server:
            job = write_job(tmp_path / "job.jsonl", [{"custom_id": f"{n}", "prompt": f"{n}"} for n in range(1, count + 1)])
            return await conduct(server, job, tmp_path / "out", times, during, **settings)

    return jumping.run(main())


def test_a_machine_that_slept_asks_again_what_was_in_the_air_s14(tmp_path: Path) -> None:
    """On waking every connection is dead and no one says so: the bound on the whole attempt notices."""

    def sleep_soon(run: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, jumping.JumpingLoop)
        loop.call_later(0.05, loop.jump, 3600.0)

    script = Script((Rule((hang(),), says("1")),))
    trial = run_lines(tmp_path, 3, script, sleep_soon, concurrency=3)
    assert trial.exit_code == 0
    assert len(trial.requests) == 4
    assert trial.summary["wall_s"] < 60, "what a run says it took is the machine's own time"


def test_only_timestamps_come_from_the_wall_clock_s13() -> None:
    """A clock that is set back must not lengthen a wait: every wait counts on the loop's own clock."""
    allowed = {
        "batchllm/journal", "batchllm/simulator", "batchllm/testing", "batchllm/api.py",
        "batchllm/watching/metrics_file.py",  # metrics are times of day
        "batchllm/sharing/ledger.py", "batchllm/cloud/lease.py",  # the age of what others left, told beside a clock of our own
        "batchllm/engines/batch_lane/application.py",  # how long a batch took, over restarts
        "batchllm/gateway/serving.py", "batchllm/cloud/courier.py", "batchllm/cloud/view.py",
    }  # fmt: skip
    found = set()
    for path in sorted((ROOT / "batchllm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and (node.value.id, node.attr) == ("time", "time")
            ):
                found.add(str(path.relative_to(ROOT)))
    assert {name for name in found if not name.startswith(tuple(allowed))} == set()


def test_tasks_follow_the_cap_and_not_the_job_s15(tmp_path: Path) -> None:
    seen: list[int] = []

    def answer(request: Request) -> Step:
        seen.append(len(asyncio.all_tasks()))
        return error(429, None, ("Retry-After", "2")) if len(seen) % 7 == 0 else ok_chat()

    trial = run_lines(tmp_path, 200, answer, concurrency=8)
    assert trial.exit_code == 0
    assert max(seen) < 8 + 4 * 8 + 3 * 8 + 10, "workers, lines that wait, the server's own, and a few"


def test_an_answer_is_on_the_disk_before_the_next_is_asked_for_s19(tmp_path: Path) -> None:
    on_disk: list[int] = []

    def answer(request: Request) -> Step:
        results = tmp_path / "out" / "results.jsonl"
        on_disk.append(results.read_bytes().count(b"\n") if results.exists() else 0)
        return ok_chat()

    trial = run_lines(tmp_path, 20, answer, concurrency=1)
    assert trial.exit_code == 0
    assert on_disk == list(range(20))


@pytest.mark.parametrize(
    "poison",
    [error(400), error(500), ok_chat(""), Step(body=(b"[" * 100_000,)), hang()],
    ids=["400", "500", "empty", "deep", "hang"],
)
def test_one_poisoned_line_fails_alone_s20(poison: Step, tmp_path: Path) -> None:
    trial = run_lines(tmp_path, 12, Script((Rule((poison,) * 50, says("5")),)), concurrency=4, retries={"max_attempts": 2})
    assert trial.exit_code == 1
    assert len(trial.results) == 11
    assert [record["custom_id"] for record in trial.errors] == ["5"]
