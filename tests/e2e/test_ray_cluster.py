"""The real command on a Ray cluster of three nodes on this machine, against the simulator's ledger outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from batchllm.simulator import Latency, SimulatorOptions, run_in_process
from tests.e2e.commands import ROOT
from tests.ray_nodes import Nodes, kill, nodes, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
KEY = "sk-canary-5f0c2b9e71d84a36"
CAP = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with nodes() as made:
        yield made


class Trial:
    """A job, the simulator that answers it, and runs of the real command."""

    def __init__(self, folder: Path, cluster: Nodes, lines: int, base_url: str) -> None:
        self.folder = folder
        self.lines = lines
        self._cluster = cluster
        self._base_url = base_url
        self.job = folder / "job.jsonl"
        self.job.write_text(
            "".join(json.dumps({"custom_id": f"doc-{at}", "prompt": f"Tell about {at}"}) + "\n" for at in range(lines))
        )

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "batchllm", "run", str(self.job), "-o", str(self.folder / "out"), "--base-url", self._base_url,
            "--model", "simulated-1", "-c", str(CAP), "--engine", "ray", "--ray-address", self._cluster.address, "--workers", "6",
            "--json", "--no-report", *more,
        ]  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "BATCHLLM_"))}
        environment = {**kept, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY}
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def records(self, name: str = "out/results.jsonl") -> list[Any]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    def answered(self, count: int) -> bool:
        path = self.folder / "out/results.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") >= count

    def ended(self, run: subprocess.Popen[bytes], code: int = 0) -> dict[str, Any]:
        out, err = run.communicate(timeout=300)
        assert run.returncode == code, err.decode()[-3000:]
        assert KEY.encode() not in out + err
        found: dict[str, Any] = json.loads(out)
        return found

    def assert_each_line_once(self) -> None:
        counted = Counter(record["custom_id"] for record in self.records())
        assert len(counted) == self.lines
        assert set(counted.values()) == {1}

    def repeats(self) -> int:
        asked = Counter(entry["prompt"] for entry in self.records("ledger.jsonl"))
        assert len(asked) == self.lines
        return sum(asked.values()) - len(asked)


@pytest.fixture
def trial(tmp_path: Path, cluster: Nodes) -> Iterator[Trial]:
    options = SimulatorOptions(
        seed=1, latency=Latency(median_s=0.2), api_key=KEY, ledger=str(tmp_path / "ledger.jsonl"), answer_words=8
    )
    with run_in_process(options) as hosted:
        yield Trial(tmp_path, cluster, 3000, hosted.base_url)


def test_workers_and_a_node_die_and_each_line_has_one_record(trial: Trial, cluster: Nodes) -> None:
    run = trial.start()
    wait_for(lambda: trial.answered(300))
    kill(cluster.workers()[0])
    wait_for(lambda: trial.answered(900))
    cluster.kill_node()
    wait_for(lambda: trial.answered(1800))
    kill(cluster.workers()[-1])
    summary = trial.ended(run)
    trial.assert_each_line_once()
    lost = sum(one["lost"] for one in summary["ray"]["workers"])
    assert lost >= 3
    assert trial.repeats() <= lost * -(-CAP // 4)  # the cap of a worker when two of six are gone
    assert sum(one["answered"] for one in summary["ray"]["workers"]) == trial.lines
    cluster.add()


def test_the_driver_is_killed_and_the_same_command_goes_on(trial: Trial) -> None:
    run = trial.start()
    wait_for(lambda: trial.answered(800))
    run.kill()
    run.communicate()
    trial.ended(trial.start())
    trial.assert_each_line_once()
    assert trial.repeats() <= CAP


def test_sigterm_drains_and_the_same_command_goes_on_without_a_repeat(trial: Trial) -> None:
    run = trial.start()
    wait_for(lambda: trial.answered(500))
    run.send_signal(signal.SIGTERM)
    trial.ended(run, 143)
    trial.ended(trial.start())
    trial.assert_each_line_once()
    assert trial.repeats() == 0


def test_the_key_stands_in_no_file_of_the_cluster(trial: Trial, cluster: Nodes) -> None:
    trial.ended(trial.start("--limit", "50"))
    for path in cluster.logs.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert KEY.encode() not in path.read_bytes(), path


TURNS = [{"custom_id": f"t-{at}", "turns": [f"Tell about {at}", "More", "The end"]} for at in range(60)]
PACKS = [{"custom_id": f"e-{at}", "url": "/v1/embeddings", "body": {"input": f"text {at}"}} for at in range(200)]
PLAIN = [{"custom_id": f"p-{at}", "prompt": f"Tell about {at}", "max_tokens": 50} for at in range(300)]
KINDS: dict[str, tuple[list[Any], tuple[str, ...], int]] = {
    "conversations": (TURNS, (), 180),
    "packs": (PACKS, ("--pack", "10"), 20),
    "several addresses": (PLAIN, ("--base-url", "{other}"), 300),
    "whole records for who looks at them": (PLAIN, ("--log-level", "debug"), 300),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_more_than_a_prompt_works_on_a_cluster_too(trial: Trial, kind: str) -> None:
    lines, flags, requests = KINDS[kind]
    trial.job.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trial.lines = len(lines)
    other = trial._base_url.replace("127.0.0.1", "localhost")
    summary = trial.ended(trial.start(*(flag.format(other=other) for flag in flags)))
    trial.assert_each_line_once()
    assert summary["requests"] == requests
    rows = summary["ray"]["workers"]
    assert sum(one["tokens"] for one in rows) == summary["usage"]["total_tokens"]
    assert sum(one["answered"] for one in rows) == len(lines)


def test_the_lines_of_a_canary_are_asked_first_and_those_behind_it_next(trial: Trial) -> None:
    trial.job.write_text("".join(json.dumps(line) + "\n" for line in PLAIN))
    trial.lines = len(PLAIN)
    summary = trial.ended(trial.start("--canary", "20", "--max-total-tokens", "100000"))
    trial.assert_each_line_once()
    assert summary["requests"] == 300
    assert summary["canary"]["lines"] == 20
    assert sum(one["answered"] for one in summary["ray"]["workers"]) == 280


def test_a_cluster_that_is_not_there_is_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial._cluster = type("Nowhere", (), {"address": "127.0.0.1:1"})()  # type: ignore[assignment]
    run = trial.start()
    out, err = run.communicate(timeout=300)
    assert run.returncode == 69
    assert b"no Ray cluster at 127.0.0.1:1" in err + out
    assert b"Traceback" not in err


def test_a_cluster_whose_head_goes_ends_the_run_with_69_and_another_one_goes_on(trial: Trial) -> None:
    with nodes(others=1) as doomed:
        there, trial._cluster = trial._cluster, doomed
        run = trial.start("-c", "12")  # slow enough that the job does not end before the head is missed
        wait_for(lambda: trial.answered(300))
        doomed.kill_head()
        summary = trial.ended(run, 69)
    assert "head of the Ray cluster is gone" in summary["ended"]["reason"]
    trial._cluster = there
    trial.ended(trial.start())
    trial.assert_each_line_once()
    assert trial.repeats() <= CAP
