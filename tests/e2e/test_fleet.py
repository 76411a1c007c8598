"""Several endpoints as one, as a user runs them: real processes, one of them killed and restarted; keys; going on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batchllm.simulator import SimulatorOptions, run_in_thread
from batchllm.testing.promises import check_promises
from tests.conftest import Command, Ended, by_id, records

KEYS = ("sk-first-0123456789abcdef", "sk-other-fedcba9876543210")


class Replica:
    """A simulator in a process of its own, which can be killed and come back at the same address."""

    def __init__(self, folder: Path, number: int) -> None:
        self.ledger = folder / f"ledger-{number}.jsonl"
        self._port = 0
        self.start()

    def start(self) -> None:
        words = ["simulate", "--port", str(self._port), "--latency", "0.15", "--sigma", "0", "--ledger", str(self.ledger)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batchllm", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().decode().split()[-1]
        self._port = int(self.base_url.split(":")[2].split("/")[0])

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)

    def answers(self) -> list[str]:
        return [one["prompt"] for one in records(self.ledger)] if self.ledger.exists() else []


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[Replica]]:
    made = [Replica(tmp_path, number) for number in range(3)]
    yield made
    for one in made:
        one.kill()


@pytest.fixture
def two() -> Iterator[list[str]]:
    """Two simulators that each take one key only."""
    with (
        run_in_thread(SimulatorOptions(seed=1, api_key=KEYS[0])) as first,
        run_in_thread(SimulatorOptions(seed=1, api_key=KEYS[1])) as second,
    ):
        yield [first.base_url, second.base_url]


def job(command: Command, count: int, name: str = "job.jsonl") -> Path:
    return command.write(
        name, *({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"} for number in range(1, count + 1))
    )


def urls(*addresses: str) -> list[str]:
    return [word for one in addresses for word in ("--base-url", one)]


def folder_of(command: Command) -> Path:
    return command.folder / "outputs/job"


def written(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(what: Any, process: subprocess.Popen[bytes]) -> None:
    """Look every 20 ms, as somebody outside can only do."""
    end = time.monotonic() + 60
    while not what():
        assert process.poll() is None, "the run ended too soon"
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_of_three_is_killed_and_restarted_and_every_line_has_exactly_one_record(
    command: Command, replicas: list[Replica]
) -> None:
    count, cap = 900, 6  # more than twenty seconds: time for two probes, however slow the machine
    path, folder = job(command, count), folder_of(command)
    argv = ["run", str(path), *urls(*(one.base_url for one in replicas)), "--model", "m", "-c", str(cap)]
    with subprocess.Popen(
        [sys.executable, "-m", "batchllm", *argv], cwd=command.folder, env=command.environment, stderr=subprocess.PIPE
    ) as run:
        wait_for(lambda: written(folder / "results.jsonl") >= 60, run)
        replicas[1].kill()
        before = len(replicas[1].answers())
        wait_for(lambda: written(folder / "results.jsonl") >= 90, run)
        replicas[1].start()
        _, err = run.communicate(timeout=90)
    assert run.returncode == 0, err.decode()
    answers = Counter(prompt for one in replicas for prompt in one.answers())
    assert check_promises(folder, path, answers, bound=cap).broken == []
    assert len(replicas[1].answers()) > before, "it was used again"
    assert f"{replicas[1].base_url} does not answer" in err.decode()
    assert f"{replicas[1].base_url} answers again" in err.decode()
    rows = json.loads((folder / "summary.json").read_bytes())["endpoints"]
    assert [row["endpoint"] for row in rows] == [one.base_url for one in replicas]
    assert sum(row["requests"] for row in rows) == json.loads((folder / "summary.json").read_bytes())["requests"]
    shares = Counter(one["batchllm"]["endpoint"] for one in records(folder / "results.jsonl"))
    assert set(shares) == {one.base_url for one in replicas}


def keyed(command: Command, two: list[str], *variables: str, **environment: str) -> Ended:
    words = [word for one in variables for word in ("--api-key-env", one)]
    return command("run", "job.jsonl", *urls(*two), "--model", "m", *words, "--json", **environment)


def test_each_endpoint_gets_its_own_key_and_neither_key_is_written_anywhere(command: Command, two: list[str]) -> None:
    job(command, 60)
    ended = keyed(command, two, "A", "B", A=KEYS[0], B=KEYS[1])
    assert ended.code == 0, ended.err
    assert all(row["answered"] == row["requests"] > 0 for row in ended.summary["endpoints"])
    page = (folder_of(command) / "report.html").read_text()
    seen = ended.err + ended.out + "".join(one.read_text() for one in folder_of(command).iterdir())
    assert not any(key in seen for key in KEYS)
    for row in ended.summary["endpoints"]:
        assert row["endpoint"] in ended.err.partition("files")[0], "the closing table has a line for it"
        assert row["endpoint"] in page.partition("Endpoints, in the last run")[2].partition("What was run")[0]


def test_a_wrong_key_at_one_leaves_that_one_out_and_at_all_of_them_ends_with_77(command: Command, two: list[str]) -> None:
    job(command, 60)
    ended = keyed(command, two, "A", "B", A=KEYS[0], B="sk-wrong-wrong-wrong")
    assert ended.code == 0, ended.err
    assert "this endpoint is left out of this run" in ended.err
    assert "$B" in ended.err
    good, bad = ended.summary["endpoints"]
    assert good["answered"] == 60
    assert bad["answered"] == 0
    assert bad["state"].startswith("left out")
    ended = command(
        "run", "job.jsonl", "-o", "other", *urls(*two), "--model", "m", "--api-key-env", "C", C="sk-wrong-wrong-wrong"
    )
    assert ended.code == 77
    assert all(one in ended.err for one in two)


class Nothing(BaseHTTPRequestHandler):
    """A web server that knows no API."""

    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def nothing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def test_a_wrong_address_at_one_leaves_that_one_out_and_fails_no_line(command: Command, simulator: str, nothing: str) -> None:
    job(command, 60)
    ended = command("run", "job.jsonl", *urls(simulator, nothing), "--model", "m", "--json")
    assert ended.code == 0, ended.err
    assert ended.summary["endpoints"][1]["state"].startswith("left out")
    assert ended.summary["endpoints"][1]["requests"] < 60


def test_an_endpoint_may_be_added_or_taken_away_between_runs_but_not_every_one_exchanged(
    command: Command, tmp_path: Path
) -> None:
    options = SimulatorOptions(seed=1)
    with run_in_thread(options) as one, run_in_thread(options) as two, run_in_thread(options) as three:
        job(command, 30)
        command.write("job.toml", f'base_url = ["{one.base_url}", "{two.base_url}"]\nmodel = "m"\n')
        assert command("run", "job.jsonl", "--limit", "10").code == 0
        first = (folder_of(command) / "results.jsonl").read_bytes()
        ended = command("run", "job.jsonl", "--limit", "20", *urls(three.base_url, two.base_url), "--json")
        assert ended.code == 0, ended.err
        assert ended.summary["this_run"]["skipped"] == 10
        ended = command("run", "job.jsonl", *urls(three.base_url), "--json")
        assert ended.code == 0, ended.err
        assert ended.summary["this_run"] == {**ended.summary["this_run"], "skipped": 20, "completed": 10}
        assert (folder_of(command) / "results.jsonl").read_bytes().startswith(first)
        assert len(by_id(folder_of(command) / "results.jsonl")) == 30
        refused = command("run", "job.jsonl", *urls(one.base_url + "/other", two.base_url + "/other"))
        assert refused.code == 65
        assert "endpoint" in refused.err
