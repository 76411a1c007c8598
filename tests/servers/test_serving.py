"""`--serve` with real servers: started for a run, asked, and gone with it, also on a signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tests.conftest import Command
from tests.e2e.simulated import prompts
from tests.servers.served import MODEL

pytestmark = pytest.mark.servers
BOUND_S = 900
READY = re.compile(r"the server answers at (\S+) after")


@pytest.fixture(params=["VLLM", "TRANSFORMERS"])
def serve(request: pytest.FixtureRequest) -> str:
    variable = f"BATCHLLM_TEST_SERVE_{request.param}"
    if not (value := os.environ.get(variable)):
        pytest.skip(f"{variable} holds no command (see docs/servers.md)")
    return value


def test_a_server_is_started_asked_and_gone_with_the_run(serve: str, command: Command) -> None:
    command.write("job.jsonl", *prompts(6, max_tokens=8))
    ended = command("run", "job.jsonl", "--model", MODEL, "--serve", serve, "--json", timeout=BOUND_S)
    assert ended.code in (0, 1), ended.err  # random weights seldom come to an end by themselves: `truncated`
    counts = ended.summary["request_counts"]
    assert (counts["completed"] + counts["failed"], counts["pending"]) == (6, 0)
    assert set(ended.summary["failures"]) <= {"truncated", "bad_response"}
    assert ended.summary["usage"]["completion_tokens"] > 0
    assert ended.summary["provider"] in ("vllm", "transformers")
    assert not answers(ended.err)
    assert (command.folder / "outputs/job/server.log").stat().st_size > 0


def test_a_signal_ends_the_server_too(serve: str, command: Command) -> None:
    command.write("job.jsonl", *prompts(500, max_tokens=64))
    process = subprocess.Popen(
        [sys.executable, "-m", "batchllm", "run", "job.jsonl", "--model", MODEL, "--serve", serve, "-c", "2"],
        cwd=command.folder, env=command.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if READY.search(said):
            break
    process.send_signal(signal.SIGTERM)
    said += process.communicate(timeout=BOUND_S)[1]
    assert process.returncode == 143, said
    assert not answers(said)


def answers(said: str) -> bool:
    """Whether somebody still listens where the server was said to answer."""
    found = READY.search(said)
    assert found is not None, said
    address = urlsplit(found[1])
    with socket.socket() as trial:
        return trial.connect_ex((address.hostname or "", address.port or 0)) == 0
