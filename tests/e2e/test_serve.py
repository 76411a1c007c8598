"""`run --serve`: a server started for the job lives exactly as long as the run, however that ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, records

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc and pidfd")

BOUND_S = 30.0
SIMULATE = f"{sys.executable} -m batchllm simulate --port {{port}}"


def told(then: str) -> str:
    """A command that tells its process number and its environment before it becomes another."""
    return f"sh -c {shlex.quote('env > env.txt; echo $$ > pid; exec ' + then)}"


def job(command: Command, count: int = 3) -> None:
    command.write("job.jsonl", *({"prompt": f"Tell about {number}"} for number in range(count)))


def words(*more: str, serve: str = SIMULATE) -> tuple[str, ...]:
    return ("run", "job.jsonl", "--model", "m", "--serve", serve, *more)


class Running:
    """A run that is under way."""

    def __init__(self, command: Command, *args: str) -> None:
        os.mkfifo(command.folder / "pid")
        self._fifo = os.open(command.folder / "pid", os.O_RDONLY | os.O_NONBLOCK)
        self.folder = command.folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "batchllm", *args],
            cwd=command.folder, env={**command.environment, "PYTHONWARNINGS": "error"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.err = b""

    def server(self) -> int:
        """The process number of the server, as soon as it has one."""
        assert select.select([self._fifo], [], [], BOUND_S)[0], "the server was never started"
        return int(os.read(self._fifo, 32))

    def until(self, said: str) -> None:
        assert self.process.stderr is not None
        end = time.monotonic() + BOUND_S
        while said.encode() not in self.err:
            assert select.select([self.process.stderr], [], [], end - time.monotonic())[0], self.err
            piece = os.read(self.process.stderr.fileno(), 65536)
            assert piece, self.err
            self.err += piece

    def ends(self) -> int:
        _, rest = self.process.communicate(timeout=BOUND_S)
        self.err += rest
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._fifo)

    @property
    def summary(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / "outputs/job/summary.json").read_text())
        return value


@contextmanager
def running(command: Command, *args: str) -> Iterator[Running]:
    one = Running(command, *args)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def watched(pid: int) -> Iterator[int]:
    """A handle on a process that is not our child; whatever is left of it is ended with the test."""
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def gone(handle: int) -> bool:
    return bool(select.select([handle], [], [], BOUND_S)[0])


def test_the_server_is_started_asked_and_stopped(command: Command) -> None:
    job(command)
    ended = command(*words("--json", serve=told(SIMULATE)), OPENAI_API_KEY="sk-canary-0123456789", HF_TOKEN="hf-of-the-server")
    assert ended.code == 0, ended.err
    assert ended.summary["request_counts"]["completed"] == 3
    environment = (command.folder / "env.txt").read_text()
    assert "sk-canary" not in environment
    assert "HF_TOKEN=hf-of-the-server" in environment
    assert not Path(f"/proc/{(command.folder / 'pid').read_text().strip()}").exists()
    log = command.folder / "outputs/job/server.log"
    assert "http://127.0.0.1:" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


LOOKALIKE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kind, host = sys.argv[1], os.environ.get("OLLAMA_HOST", "127.0.0.1:" + sys.argv[-1])
asked = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        loading = kind == "llama" and len(asked) < 4
        self.say(404 if kind == "ollama" and self.path == "/health" else 503 if loading else 200, {"data": []})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        early = kind == "llama" and len(asked) < 4
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        self.say(500 if early else 200, {"object": "chat.completion", "model": "m", "choices": [choice]})

    def say(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

ThreadingHTTPServer(("127.0.0.1", int(host.rpartition(":")[2])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    "serve", ["{python} like.py llama --port {{port}}", "env OLLAMA_HOST=127.0.0.1:{{port}} {python} like.py ollama"]
)
def test_a_server_is_asked_once_it_is_ready_however_it_says_so(serve: str, command: Command) -> None:
    """One answers 503 while it loads its model, as llama.cpp; one has no /health and its address in a variable, as Ollama."""
    job(command)
    (command.folder / "like.py").write_text(LOOKALIKE)
    ended = command(*words("--json", serve=serve.format(python=sys.executable)))
    assert ended.code == 0, ended.err
    assert (ended.summary["requests"], ended.summary["request_counts"]["completed"]) == (3, 3)


def test_a_finished_job_starts_no_server_and_another_command_is_another_endpoint(command: Command) -> None:
    job(command)
    assert command(*words()).code == 0
    again = command(*words("--json"))
    assert (again.code, again.summary["requests"]) == (0, 0)
    assert "starting:" not in again.err
    other = command(*words(serve=SIMULATE + " --seed 7"))
    assert other.code == 65
    assert "endpoint" in other.err


def test_the_settings_file_starts_it_too_and_chat_and_ask_use_it(command: Command) -> None:
    (command.folder / "batchllm.toml").write_text(
        f'provider = "mine"\nmodel = "m"\n[providers.mine.serve]\ncommand = "{SIMULATE}"\ntimeout = 60\n'
    )
    ended = command("ask", "hi", stdin="")
    assert ended.code == 0, ended.err
    assert ended.out.strip()


@pytest.mark.parametrize(
    ("serve", "code", "said"),
    [
        ("no-such-command-anywhere {port}", 2, "there is no command 'no-such-command-anywhere'"),
        ("sh -c 'echo the model is not there >&2; exit 3' {port}", 69, "| the model is not there"),
        ("sh -c 'kill -9 $$' {port}", 69, "ended by signal 9 before it was ready"),
    ],
)
def test_a_server_that_does_not_come_up_ends_the_run_and_leaves_all_lines(
    command: Command, serve: str, code: int, said: str
) -> None:
    job(command)
    ended = command(*words("--json", serve=serve))
    assert ended.code == code
    assert said in ended.err
    assert ended.summary["request_counts"]["pending"] == 3
    assert ended.summary["requests"] == 0


def test_a_server_that_never_answers_is_given_up_and_ended(command: Command) -> None:
    job(command)
    ended = command(*words("--serve-timeout", "0.5", serve=told("sleep 600 {port}").replace("{port}", "# {port}")))
    assert ended.code == 69
    assert "serve_timeout" in ended.err
    assert not Path(f"/proc/{(command.folder / 'pid').read_text().strip()}").exists()


def test_a_server_that_dies_in_the_middle_ends_the_run_with_69_and_leaves_the_rest(command: Command) -> None:
    job(command, 500)
    with running(command, *words("-c", "2", serve=told(SIMULATE + " --latency 0.1"))) as run:
        pid = run.server()
        run.until("the server answers")
        os.kill(pid, signal.SIGKILL)
        assert run.ends() == 69
        assert b"ended by signal 9 in the middle of the run" in run.err
        assert b"  | " in run.err
        counts = run.summary["request_counts"]
        assert counts["failed"] == 0
        assert counts["pending"] > 400
        assert counts["completed"] == len(records(run.folder / "outputs/job/results.jsonl"))


def test_sigterm_drains_the_run_and_then_ends_the_server(command: Command) -> None:
    job(command, 500)
    with running(command, *words("-c", "2", serve=told(SIMULATE + " --latency 0.1"))) as run, watched(run.server()) as server:
        run.until("the server answers")
        run.process.send_signal(signal.SIGTERM)
        assert run.ends() == 143
        assert gone(server)
        assert run.summary["outcome_unknown"] == 0


def test_sigterm_while_the_server_starts_ends_both_and_is_written_down(command: Command) -> None:
    job(command)
    with running(command, *words(serve=told("sleep 600 # {port}"))) as run, watched(run.server()) as server:
        run.process.send_signal(signal.SIGTERM)
        assert run.ends() == 143
        assert gone(server)
        assert run.summary["ended"]["exit_code"] == 143


def test_the_server_does_not_outlive_a_killed_run(command: Command) -> None:
    job(command, 500)
    with running(command, *words("-c", "2", serve=told(SIMULATE + " --latency 0.1"))) as run, watched(run.server()) as server:
        run.until("the server answers")
        run.process.kill()
        assert gone(server)


def test_a_server_that_ignores_sigterm_is_killed_with_its_group_even_if_its_keeper_is(command: Command) -> None:
    job(command)
    deaf = told(f'{sys.executable} -c "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()" # {{port}}')
    with running(command, *words(serve=deaf)) as run, watched(run.server()) as server:
        keeper = int(Path(f"/proc/{_pid_of(server)}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(keeper, signal.SIGKILL)
        assert gone(server)
        assert run.ends() == 69


def _pid_of(handle: int) -> int:
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))


def test_an_address_that_is_taken_is_not_mistaken_for_the_new_server(command: Command) -> None:
    job(command)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        ended = command(*words("--base-url", base_url))
    assert ended.code == 2
    assert "answers at" in ended.err
