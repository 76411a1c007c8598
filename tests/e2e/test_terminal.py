"""What the person at the terminal sees: the bar on a real one, the line without, the table at the end, status meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from batchllm.progress import LINE_S, Lines
from batchllm.simulator import Latency, SimulatorOptions, run_in_thread
from tests.conftest import Command, records

COLUMNS = 120
SLOW = """\
provider = "simulator"
model = "m"
concurrency = 4
[simulator]
latency = { median_s = 0.05 }
faults = { server_error = 0.1, refusal = 0.1 }
"""


@pytest.fixture
def slow(command: Command) -> Command:
    command.write("job.jsonl", *({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(60)))
    (command.folder / "job.toml").write_text(SLOW)
    return command


def on_a_terminal(command: Command, *args: str) -> str:
    """Everything a command writes to a terminal of its own."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(command.folder)
        os.execve(sys.executable, [sys.executable, "-m", "batchllm", *args], {**command.environment, "TERM": "xterm"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    seen = b""
    try:
        while piece := os.read(terminal, 65536):
            seen += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return seen.decode()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_bar_shows_done_failed_rate_tokens_retries_in_flight_and_eta(slow: Command) -> None:
    seen = on_a_terminal(slow, "run", "job.jsonl")
    drawn = [line for line in seen.split("\r") if "%|" in line]
    whole = r"\d+%\|.*\| +\d+/60 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+/s, \d+ failed, \d+/\d+ in flight, \d+ retries, [\d.k]+ tokens"
    assert re.search(whole, drawn[-1]), drawn[-1]
    assert "60/60" in drawn[-1]
    assert len(drawn) > 3
    assert max(len(line.rstrip()) for line in drawn) <= COLUMNS
    assert seen.index("SIMULATED") < seen.index(drawn[0]) < seen.index("answered")


def test_without_a_terminal_a_plain_line_is_due_every_thirty_seconds(slow: Command) -> None:
    assert LINE_S == Lines.every_s == 30
    ended = slow("run", "job.jsonl")
    assert "\r" not in ended.err
    assert "%|" not in ended.err


def test_the_closing_table_says_what_failed_why_and_how_to_go_on(slow: Command) -> None:
    ended = slow("run", "job.jsonl")
    failed = records(slow.folder / "outputs/job/errors.jsonl")
    assert ended.code == 1
    assert f"60: {60 - len(failed)} answered, {len(failed)} failed, 0 pending" in ended.err
    first = min(one["batchllm"]["line"] for one in failed)
    assert re.search(rf"refusal +{len(failed)}  e\.g\. line \d+: The model refused", ended.err), (first, ended.err)
    assert re.search(r"tokens +[\d,]+ prompt, [\d,]+ completion", ended.err)
    assert re.search(r"retries +\d+ server_error", ended.err)
    assert re.search(r"time .* requests, .*/s; latency p50 .* p90 .* p99", ended.err)
    assert "outputs/job/results.jsonl, errors.jsonl" in ended.err
    assert re.search(r"again .*run job\.jsonl --retry-failed", ended.err)


def test_status_tells_of_a_run_that_is_at_work_and_disturbs_nothing(command: Command) -> None:
    count = 40
    with run_in_thread(SimulatorOptions(seed=1, latency=Latency(median_s=0.3))) as hosted:
        command.write("job.jsonl", *({"custom_id": f"doc-{number}", "prompt": f"Tell {number}"} for number in range(count)))
        running = subprocess.Popen(
            [sys.executable, "-m", "batchllm", "run", "job.jsonl", "--base-url", hosted.base_url, "--model", "m", "-c", "2", "--quiet"],
            cwd=command.folder, env=command.environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            results = command.folder / "outputs/job/results.jsonl"
            while not (results.exists() and results.stat().st_size):
                assert running.poll() is None
            found = command("status", "outputs/job", "--json").summary
            told = command("status", "outputs/job").out
            assert running.wait(timeout=60) == 0
        finally:
            running.kill()
    assert found["at_work"]
    assert 0 < found["request_counts"]["completed"] < count
    assert found["request_counts"]["total"] == count
    assert "a run is at work" in told
    assert "to go" in told
    assert len(records(results)) == count


def test_debug_tells_of_every_attempt_info_of_those_without_an_answer_and_neither_tells_the_key(slow: Command) -> None:
    told = {}
    for level in ("debug", "info", "warning", "error"):
        ended = slow("run", "job.jsonl", "--fresh", "--limit", "3", "--log-level", level, OPENAI_API_KEY="sk-canary-123456")
        assert ended.code in (0, 1)
        assert "sk-canary" not in ended.err
        told[level] = [line for line in ended.err.splitlines() if "batchllm.attempts" in line]
    answered = [
        line for line in told["debug"] if re.search(r"line \d, attempt 1: 200 answered after [0-9.]+ s, \d+ tokens$", line)
    ]
    assert len(answered) == 3
    assert len(told["info"]) == 2  # how it began and ended
    assert told["warning"] == told["error"] == []


def test_json_is_one_line_on_stdout_and_everything_else_goes_to_stderr(slow: Command) -> None:
    ended = slow("run", "job.jsonl", "--json")
    assert ended.out.count("\n") == 1
    written = json.loads((Path(slow.folder) / "outputs/job/summary.json").read_text())
    assert {name: written[name] for name in ended.summary} == ended.summary
