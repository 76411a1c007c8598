"""The batch lane as a user meets it: the real command, its signals, its other commands, against a provider on loopback."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from batchllm.simulator import BatchOrders, SimulatorOptions, run_in_thread
from tests.conftest import Command, records

FLAGS = ("--model", "m", "--lane", "batch")
ENVIRONMENT = {"BATCHLLM_BATCH": "{ lines = 20, poll = 0.05, poll_most = 0.1, settle = 0.5 }"}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    options = SimulatorOptions(
        seed=4, answer_words=3, ledger=str(tmp_path / "ledger.jsonl"), batches=BatchOrders(running_s=1.5)
    )
    with run_in_thread(options) as hosted:
        yield hosted.base_url


def job(command: Command, count: int = 50) -> Path:
    return command.write("job.jsonl", *({"custom_id": f"doc-{number}", "prompt": f"doc {number}"} for number in range(count)))


def stats(provider: str) -> dict[str, Any]:
    with urlopen(provider.removesuffix("/v1") + "/simulator/stats") as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def started(command: Command, provider: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "batchllm", "run", "job.jsonl", *FLAGS, "--base-url", provider, "--json"]
    environment = {**command.environment, **ENVIRONMENT}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, cwd=command.folder, env=environment, stdin=subprocess.DEVNULL, **pipes)


def submitted(process: subprocess.Popen[str], provider: str, batches: int) -> None:
    """Wait until the provider has so many batches."""
    until = time.monotonic() + 60
    while stats(provider)["batches"] < batches:
        assert time.monotonic() < until
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(str(process.communicate()))


def interrupted(command: Command, provider: str) -> None:
    process = started(command, provider)
    submitted(process, provider, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "3 batches with 50 lines go on at the provider" in err
    assert "batchllm cancel outputs/job" in err
    assert json.loads(out)["lanes"]["batch"]["unfinished"] == 3


def test_an_interrupt_leaves_the_batches_running_status_shows_them_and_cancel_stops_them(
    command: Command, provider: str
) -> None:
    job(command)
    interrupted(command, provider)
    status = command("status", "outputs/job")
    assert "3: 3 unfinished with 50 lines" in status.out
    assert "batch_000000000001" in status.out
    refused = command("run", "job.jsonl", "--model", "m", "--base-url", provider)
    assert refused.code == 2
    assert "unfinished batches at the provider" in refused.err
    ended = command("cancel", "outputs/job")
    assert ended.code == 0, ended.err
    results = command.folder / "outputs/job/results.jsonl"
    assert len(records(results)) == len(records(command.folder / "ledger.jsonl"))


@pytest.mark.sweep
def test_after_an_interrupt_the_same_command_fetches_the_answers(command: Command, provider: str) -> None:
    job(command)
    interrupted(command, provider)
    ended = command("run", "job.jsonl", *FLAGS, "--base-url", provider, **ENVIRONMENT)
    assert ended.code == 0, ended.err
    assert "50 answered in 3 batches" in ended.err
    assert stats(provider)["batch_lines"] == 50
    assert command("verify", "job.jsonl", "outputs/job").code == 0


@pytest.mark.sweep
@pytest.mark.parametrize("batches", [1, 3])
def test_a_run_that_is_killed_submits_nothing_twice_and_loses_nothing(command: Command, provider: str, batches: int) -> None:
    job(command)
    process = started(command, provider)
    submitted(process, provider, batches)
    process.kill()
    process.communicate(timeout=30)
    ended = command("run", "job.jsonl", *FLAGS, "--base-url", provider, **ENVIRONMENT)
    assert ended.code == 0, ended.err
    assert stats(provider)["batch_lines"] == 50
    asked = Counter(one["prompt"] for one in records(command.folder / "ledger.jsonl"))
    assert set(asked.values()) == {1}
    assert command("verify", "job.jsonl", "outputs/job").code == 0


@pytest.mark.sweep
def test_cancel_stops_the_batches_of_a_folder_and_keeps_what_is_finished(command: Command, provider: str) -> None:
    job(command)
    process = started(command, provider)
    submitted(process, provider, 3)
    process.kill()
    process.communicate(timeout=30)
    ended = command("cancel", "outputs/job")
    assert ended.code == 0, ended.err
    kept = len(records(command.folder / "outputs/job/results.jsonl"))
    assert kept == len(records(command.folder / "ledger.jsonl"))
    assert "no batch is unfinished" in command("cancel", "outputs/job").err
    assert command("run", "job.jsonl", "--model", "m", "--base-url", provider).code == 0
    assert len(records(command.folder / "ledger.jsonl")) == 50


@pytest.mark.sweep
def test_batches_of_a_provider_that_is_gone_can_be_given_up(command: Command, provider: str) -> None:
    job(command, 5)
    process = started(command, provider)
    submitted(process, provider, 1)
    process.kill()
    process.communicate(timeout=30)
    ended = command("cancel", "--forget", "outputs/job")
    assert ended.code == 0
    assert "1 batches are given up; 5 lines are pending again" in ended.err
    assert command("run", "job.jsonl", "--model", "m", "--base-url", provider).code == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--provider", "deepseek"), "has no Batch API"),
        (("--base-url", "http://127.0.0.1:9/v1", "--lane", "auto"), "--lane auto needs --until"),
    ],
)
def test_a_lane_that_cannot_work_is_refused_before_anything_is_read(
    command: Command, flags: tuple[str, ...], said: str
) -> None:
    job(command, 2)
    ended = command("run", "job.jsonl", "--model", "m", "--lane", "batch", *flags, DEEPSEEK_API_KEY="sk-0123456789abcdef")
    assert ended.code == 2
    assert said in ended.err
    assert not (command.folder / "outputs").exists()


def test_cancelling_what_is_no_run_is_said_in_a_sentence(command: Command) -> None:
    ended = command("cancel", "nowhere")
    assert ended.code == 65
    assert "no job.json" in ended.err
