"""A run that is at work, controlled by its owner: the real command in a process of its own, its socket, `batchllm ctl` and `top`."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from batchllm.errors import JobError
from batchllm.simulator import Latency, SimulatorOptions, run_in_thread
from batchllm.watching.address import NAME, POINTER
from batchllm.watching.client import ask, watch
from tests.conftest import Command, records

LINES = 60
BOUND_S = 60.0


def until(what: Callable[[], Any]) -> Any:
    """What this gives as soon as it is true."""
    end = time.monotonic() + BOUND_S
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it never came to that"


def state(folder: Path) -> dict[str, Any] | None:
    try:
        return ask(folder, {"do": "status"})
    except JobError:
        return None


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with run_in_thread(SimulatorOptions(seed=1, latency=Latency(median_s=0.05))) as hosted:
        yield hosted.base_url


@contextmanager
def at_work(command: Command, base_url: str, *flags: str, output: str = "out", **variables: str) -> Iterator[Any]:
    """A run of `LINES` lines that can be controlled; ended in every case."""
    command.write("job.jsonl", *({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(LINES)))
    process = subprocess.Popen(
        [sys.executable, "-m", "batchllm", "run", "job.jsonl", "-o", output, "--base-url", base_url, "--model", "m", "-c", "2", *flags],
        cwd=command.folder, env={**command.environment, **variables}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = b""
        while b" to ask " not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        until(lambda: state(command.folder / output))
        yield process
    finally:
        process.kill()
        process.communicate(timeout=BOUND_S)


def test_pause_lets_what_is_in_flight_end_and_sends_nothing_new_until_resume(command: Command, endpoint: str) -> None:
    out = command.folder / "out"
    with at_work(command, endpoint) as process:
        assert ask(out, {"do": "pause"})["state"] == "paused"
        rested = until(lambda: (found := ask(out, {"do": "status"}))["in_flight"] == 0 and found)
        told = command("ctl", "out", "status")  # takes several times as long as a request
        assert told.code == 0
        assert told.out.count("\n") == 1
        later = told.summary
        assert (later["state"], later["waits_for"]) == ("paused", ["ctl resume"])
        assert later["requests"] == rested["requests"] < LINES
        assert command("ctl", "out", "resume").summary["state"] == "running"
        assert process.wait(BOUND_S) == 0
    assert len(records(out / "results.jsonl")) == LINES
    assert not (out / NAME).exists()


def test_limits_can_be_set_beyond_those_the_run_began_with(command: Command, endpoint: str) -> None:
    with at_work(command, endpoint, "--rpm", "60") as process:
        told = command("ctl", "out", "set", "concurrency=30", "rpm=none", "tpm=6e6").summary
        assert (told["ok"], told["concurrency"], told["rpm"], told["tpm"]) == (True, 30, None, 6e6)
        assert process.wait(BOUND_S) == 0  # at 60 a minute it would take as long as the bound


def test_stop_drains_as_sigterm_does_and_the_same_command_goes_on(command: Command, endpoint: str) -> None:
    out = command.folder / "out"
    with at_work(command, endpoint) as process:
        assert command("ctl", "out", "stop").summary["state"] == "draining"
        assert process.wait(BOUND_S) == 143
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["ended"]["reason"] == "stopped by `batchllm ctl stop`"
    assert summary["request_counts"]["pending"] > 0
    done = len(records(out / "results.jsonl"))
    with at_work(command, endpoint) as process:
        assert process.wait(BOUND_S) == 0
    assert len(records(out / "results.jsonl")) == LINES > done


def test_a_draining_run_answers_and_cannot_be_resumed_into_sending(command: Command) -> None:
    out = command.folder / "out"
    slow = SimulatorOptions(seed=1, latency=Latency(median_s=30.0))
    with run_in_thread(slow) as hosted, at_work(command, hosted.base_url) as process:
        until(lambda: (found := state(out)) and found["in_flight"])
        process.send_signal(signal.SIGTERM)
        assert until(lambda: (found := state(out)) and found["state"] == "draining")
        told = command("ctl", "out", "resume")
        assert told.code == 1
        assert told.summary == {"ok": False, "error": "the run is ending already"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND_S) == 143


def test_a_dead_runs_socket_is_no_run_and_is_replaced_by_the_next(command: Command, endpoint: str) -> None:
    out = command.folder / "out"
    with at_work(command, endpoint) as process:
        process.kill()
        process.wait(BOUND_S)
        assert (out / NAME).exists()
        told = command("ctl", "out", "status")
        assert (told.code, told.out) == (69, "")
        assert "no run is at work here" in told.err
    with at_work(command, endpoint) as process:
        assert ask(out, {"do": "status"})["pid"] == process.pid
        assert process.wait(BOUND_S) == 0
    assert not (out / NAME).exists()


def test_the_socket_is_its_owners_alone(command: Command, endpoint: str) -> None:
    with at_work(command, endpoint):
        found = (command.folder / "out" / NAME).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Not pytest's: its own path may be too long for a socket's."""
    with TemporaryDirectory() as name:
        yield Path(name)


def test_where_the_path_is_too_long_the_socket_is_in_a_private_folder_and_found_all_the_same(
    command: Command, endpoint: str, short_folder: Path
) -> None:
    runtime = short_folder
    output = "a" * 120
    out = command.folder / output
    with at_work(command, endpoint, output=output, XDG_RUNTIME_DIR=str(runtime)) as process:
        pointer = json.loads((out / POINTER).read_bytes())
        assert Path(pointer["socket"]).parent == runtime / "batchllm"
        assert stat.S_IMODE((runtime / "batchllm").stat().st_mode) == 0o700
        assert command("ctl", output, "status").summary["pid"] == process.pid
        assert process.wait(BOUND_S) == 0
    assert not (out / POINTER).exists()
    assert list((runtime / "batchllm").iterdir()) == []


def test_watching_ends_with_the_run_and_top_draws_one_picture_into_a_pipe(command: Command, endpoint: str) -> None:
    out = command.folder / "out"
    with at_work(command, endpoint) as process:
        ask(out, {"do": "pause"})
        shown = command("top", "out")
        assert shown.code == 0
        assert "paused" in shown.out
        assert "job.jsonl" in shown.out
        states = watch(out)
        assert next(states)["state"] == "paused"
        ask(out, {"do": "resume"})
        *_, last = states
        assert last["state"] == "ended"
        assert last["request_counts"]["completed"] == LINES
        assert process.wait(BOUND_S) == 0


def test_many_callers_and_callers_that_talk_nonsense_harm_nothing(command: Command, endpoint: str) -> None:
    out = command.folder / "out"
    with at_work(command, endpoint) as process:
        ask(out, {"do": "pause"})
        watching = [watch(out) for _ in range(20)]
        heard = 0
        for one in watching:
            try:
                heard += next(one)["state"] == "paused"
            except JobError as error:
                assert "too many callers" in str(error)  # noqa: PT017 - some get an answer, some do not
        assert 0 < heard <= 8
        for one in watching:
            one.close()
        until(lambda: state(out))
        assert ask(out, {"do": "fly"})["ok"] is False
        assert ask(out, {"do": "set", "concurrency": "8"})["ok"] is False
        ask(out, {"do": "resume"})
        assert process.wait(BOUND_S) == 0
    assert len(records(out / "results.jsonl")) == LINES


@pytest.mark.parametrize(
    ("words", "code"),
    [(("ctl", "nowhere", "status"), 65), (("ctl", ".", "status"), 69), (("ctl", ".", "set"), 2), (("ctl", ".", "set", "x=1"), 2),
     (("ctl", ".", "pause", "rpm=1"), 2), (("ctl", ".", "fly"), 2), (("top", "."), 69)],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(command: Command, words: tuple[str, ...], code: int) -> None:
    ended = command(*words)
    assert (ended.code, ended.out) == (code, "")
    assert "Traceback" not in ended.err
    assert ended.err.count("batchllm: ") or "usage" in ended.err
