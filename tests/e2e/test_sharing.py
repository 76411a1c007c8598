"""Two runs on one account, as cron starts them: processes of their own against an endpoint that enforces its limit."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchllm.settings import checked
from batchllm.sharing import shared
from batchllm.simulator import SimulatorOptions, run_in_thread
from batchllm.simulator.limits import Limits
from batchllm.throttle import Throttle
from tests.conftest import Command
from tests.e2e.gateways import house, job, submit

RPM = 1200
SECOND = RPM / 60


@pytest.fixture
def limited() -> Iterator[str]:
    """It bears its rate and no burst of more than three seconds' worth."""
    with run_in_thread(SimulatorOptions(seed=1, answer_words=4, limits=Limits(rpm=RPM, burst_s=3.0))) as hosted:
        yield hosted.base_url


class Runs:
    """Commands that run at the same time, with a state folder of their own."""

    def __init__(self, command: Command, address: str) -> None:
        self._command, self._address = command, address
        self.started: list[subprocess.Popen[str]] = []

    def start(self, name: str, count: int, rpm: int = RPM, share: str = "account") -> subprocess.Popen[str]:
        job = self._command.write(f"{name}.jsonl", *({"prompt": f"{name} {number}"} for number in range(count)))
        job.with_suffix(".toml").write_text(f'[limits]\nshare = "{share}"\n')
        words = ["run", job.name, "--rpm", str(rpm), "--model", "simulated-1", "--base-url", self._address, "--json", "--quiet"]
        process = subprocess.Popen(
            [sys.executable, "-m", "batchllm", *words],
            cwd=self._command.folder,
            env={
                **self._command.environment,
                "XDG_STATE_HOME": str(self._command.folder / "state"),
                "OPENAI_API_KEY": "sk-test",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._address.removesuffix("/v1") + "/simulator/stats") as reply:
            found: dict[str, Any] = json.loads(reply.read())
        return found

    def seconds_until(self, enough: Callable[[dict[str, Any]], bool]) -> float:
        begun = time.monotonic()
        while not enough(self.stats()):
            assert time.monotonic() < begun + 60
            time.sleep(0.02)
        return time.monotonic() - begun


@pytest.fixture
def runs(command: Command, limited: str) -> Iterator[Runs]:
    made = Runs(command, limited)
    yield made
    for process in made.started:
        process.kill()
        process.communicate(timeout=20)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_two_runs_at_once_pass_no_limit_and_use_it_and_one_that_is_killed_leaves_it_to_the_other(runs: Runs) -> None:
    one, two = runs.start("one", 180), runs.start("two", 1000)
    folders = [runs._command.folder / "outputs" / name / "results.jsonl" for name in ("one", "two")]
    runs.seconds_until(lambda stats: all(path.exists() and path.stat().st_size for path in folders))
    begun, served = time.monotonic(), runs.stats()["served"]
    runs.seconds_until(lambda stats: stats["served"] >= served + 6 * SECOND)
    together = time.monotonic() - begun
    shares = [len(path.read_bytes().splitlines()) for path in folders]
    two.kill()
    runs.seconds_until(lambda stats: one.poll() is not None)
    summary = ended(one)
    assert summary["request_counts"]["completed"] == 180
    assert runs.stats()["statuses"].keys() == {"200"}, "the endpoint refused something"
    assert together <= 6.0 / 0.95
    assert max(shares) - min(shares) <= 2 * SECOND + 5
    # What was left of the 180, at the whole rate, and two seconds in which the dead one's claim lapsed.
    assert time.monotonic() - begun <= 6.0 / 0.95 + (180 - min(shares)) / SECOND + 3


def test_a_run_that_shares_a_lower_limit_says_so(runs: Runs) -> None:
    slow = runs.start("slow", 600, rpm=300)
    runs.seconds_until(lambda stats: stats["served"] > 0)
    fast = runs.start("fast", 10)
    out, err = fast.communicate(timeout=60)
    assert "shared limits: rpm is 300, as another process says; this one says 1200" in err
    assert json.loads(out)["request_counts"]["completed"] == 10
    assert slow.poll() is None


def test_the_gateway_shares_with_a_run(tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batches go by the one rate that both know: the run hears of the gateway's, which is lower."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told: list[str] = []

    async def beside() -> None:
        throttle = Throttle(4, asyncio.get_running_loop().time())
        async with shared(checked({"rpm": 1200, "limits": {"share": "account"}}, {}), throttle, told.append):
            assert throttle.rpm == 600

    with house(tmp_path, simulator, rpm=600, share="account") as gateway:
        client = gateway.client()
        batch = gateway.ended(submit(client, job(*map(str, range(15)))).id)
        assert batch.request_counts is not None
        assert (batch.status, batch.request_counts.completed) == ("completed", 15)
        asyncio.run(beside())
    assert told == ["shared limits: rpm is 600, as another process says; this one says 1200"]


def test_it_is_refused_where_workers_on_other_machines_send(command: Command) -> None:
    job = command.write("job.jsonl", {"prompt": "Hi"})
    job.with_suffix(".toml").write_text('provider = "simulator"\nengine = "ray"\n[limits]\nshare = "x"\n')
    done = command("run", job)
    assert (done.code, "limits.share works on this machine only" in done.err) == (2, True)
