"""Job, tables and results at s3://, against a real S3 server on loopback: processes killed, uploads refused, other machines.

Opt-in: pip install 'batchllm[cloud]' 'moto[server]', then `pytest -m cloud`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batchllm.simulator import SimulatorOptions, run_in_thread
from batchllm.simulator.latency import Latency
from tests.conftest import Command, records

pytestmark = pytest.mark.cloud

JOB, OUT = "s3://bucket/jobs/reviews.jsonl", "s3://bucket/out/reviews"
LINES = 400
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Door(ThreadingHTTPServer):
    """A proxy before the server: `closed(method, path)` says which requests get a 503 instead."""

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = behind
        self.closed: Callable[[str, str], bool] = lambda method, path: False
        self.refused = 0


class _Forward(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.closed(self.command, self.path):
            self.server.refused += 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        onward = HTTPConnection("127.0.0.1", self.server.behind, timeout=20)
        try:
            onward.request(self.command, self.path, body, dict(self.headers))
            reply = onward.getresponse()
            content = reply.read()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)
        finally:
            onward.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """An S3 server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait(20)


@pytest.fixture
def door(server: int) -> Iterator[Door]:
    made = Door(server)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


class Store:
    """The bucket as the test sees it: by the server's own door."""

    def __init__(self, port: int) -> None:
        import s3fs

        self.fs: Any = s3fs.S3FileSystem(
            key="x", secret="y", endpoint_url=f"http://127.0.0.1:{port}", use_listings_cache=False, skip_instance_cache=True
        )
        if self.fs.exists("bucket"):
            self.fs.rm("bucket", recursive=True)
        self.fs.mkdir("bucket")
        lines = (json.dumps({"custom_id": f"doc-{number}", "prompt": f"Tell about {number}"}) for number in range(LINES))
        self.fs.pipe_file("bucket/jobs/reviews.jsonl", "".join(f"{one}\n" for one in lines).encode())

    def read(self, name: str) -> bytes:
        found: bytes = self.fs.cat_file(f"bucket/{name}")
        return found

    def results(self) -> list[dict[str, Any]]:
        listing = json.loads(self.read("out/reviews/run.json"))
        data = b"".join(self.read(f"out/reviews/{one['name']}") for one in listing["files"].get("results.jsonl", ()))
        return [json.loads(line) for line in data.splitlines()]

    def exists(self, name: str) -> bool:
        return bool(self.fs.exists(f"bucket/{name}"))


@pytest.fixture
def store(server: int) -> Store:
    return Store(server)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    ledger = tmp_path / "ledger.jsonl"
    options = SimulatorOptions(seed=1, latency=Latency(median_s=0.1), answer_words=8, ledger=str(ledger))
    with run_in_thread(options) as hosted:
        yield hosted.base_url, ledger


class Machine:
    """A machine: a folder with its settings, and commands run in it."""

    def __init__(self, folder: Path, door: Door, base_url: str, **cloud: float) -> None:
        folder.mkdir()
        self.command = Command(folder)
        self.command.environment |= {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{door.server_address[1]}",
            "OPENAI_API_KEY": "sk-test",
        }
        terms = "".join(f"{name} = {value}\n" for name, value in ({"segment": 8192, "every": 0.5} | cloud).items())
        settings = f'base_url = "{base_url}"\nmodel = "simulated-1"\nconcurrency = 8\n[cloud]\n{terms}'
        (folder / "batchllm.toml").write_text(settings)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "batchllm", *words],
            cwd=self.command.folder,
            env=self.command.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def folder(self) -> Path:
        (found,) = self.command.folder.glob("outputs/reviews-????????")
        return found


def asked(ledger: Path) -> Counter[str]:
    return Counter(one["prompt"] for one in records(ledger))


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to it within a minute")


def test_a_run_goes_on_from_another_machine_after_this_one_is_gone(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here = Machine(tmp_path / "here", door, base_url)
    running = here.start("run", JOB, "-o", OUT, "--quiet")
    until(lambda: store.exists("out/reviews/run.json") and len(store.results()) > 100)
    running.kill()
    running.communicate(timeout=20)
    shipped, local = len(store.results()), len(records(here.folder / "results.jsonl"))
    there = Machine(tmp_path / "there", door, base_url)
    done = there.command("run", JOB, "-o", OUT, "--json", timeout=150)
    assert done.code == 0, done.err
    assert "waiting up to 50 s to see whether it still is" in done.err
    assert done.summary["this_run"]["skipped"] >= shipped
    assert json.loads((there.folder / "summary.json").read_bytes())["shipping"]["complete"] is True
    assert done.summary["shipping"]["complete"] is True
    answered = store.results()
    assert sorted(one["custom_id"] for one in answered) == sorted(f"doc-{number}" for number in range(LINES))
    # Asked twice: what the first machine had not shipped yet, and what it had in flight.
    assert sum(asked(ledger).values()) - LINES <= local - shipped + 8
    assert json.loads(store.read("out/reviews/summary.json"))["request_counts"]["completed"] == LINES
    assert store.exists("out/reviews/report.html")
    assert not store.exists("out/reviews/lease.json")
    back = here.command("run", JOB, "-o", OUT, "--json", timeout=90)
    assert (back.code, back.summary["this_run"]["completed"]) == (0, 0), back.err
    assert len({one["custom_id"] for one in store.results()}) == len(store.results()) == LINES


def test_uploads_that_fail_neither_stop_nor_slow_the_run(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, _ = endpoint
    here = Machine(tmp_path / "here", door, base_url)
    seen: list[str] = []

    def closed(method: str, path: str) -> bool:
        if method == "PUT" and "segments" in path:
            seen.append(path)
            return len(seen) % 2 == 1
        return False

    door.closed = closed
    done = here.command("run", JOB, "-o", OUT, "--json", timeout=120)
    assert done.code == 0, done.err
    assert door.refused > 0
    assert done.summary["wall_s"] < 4 * LINES * 0.1 / 8
    assert len(store.results()) == LINES
    assert store.read("out/reviews/job.json") == (here.folder / "job.json").read_bytes()


def test_what_could_not_be_shipped_is_said_and_the_same_command_ships_it(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here = Machine(tmp_path / "here", door, base_url, patience=2.0)
    running = here.start("run", JOB, "-o", OUT, "--json")
    until(lambda: store.exists("out/reviews/run.json") and len(store.results()) > 0)
    door.closed = lambda method, path: True
    out, err = running.communicate(timeout=120)
    assert running.returncode == 75, err
    assert json.loads(out)["request_counts"]["completed"] == LINES
    assert json.loads(out)["shipping"]["complete"] is False
    assert "NOT SHIPPED" in err
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in out + err
    door.closed = lambda method, path: False
    done = here.command("run", JOB, "-o", OUT, "--json", timeout=90)
    assert (done.code, done.summary["this_run"]["completed"]) == (0, 0), done.err
    assert len(store.results()) == LINES
    assert sum(asked(ledger).values()) == LINES


def test_two_machines_at_once_are_one_and_the_other_is_told_so(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]
) -> None:
    base_url, ledger = endpoint
    here, there = Machine(tmp_path / "here", door, base_url), Machine(tmp_path / "there", door, base_url)
    running = here.start("run", JOB, "-o", OUT, "--quiet", "--rpm", "600")
    until(lambda: store.exists("out/reviews/lease.json"))
    late = there.command("run", JOB, "-o", OUT, timeout=90)
    assert (late.code, "is in use by process" in late.err) == (75, True), late.err
    running.terminate()
    running.communicate(timeout=90)
    assert running.returncode == 143
    assert max(asked(ledger).values()) == 1


def test_tables_come_from_there_and_go_there(tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path]) -> None:
    base_url, _ = endpoint
    here = Machine(tmp_path / "here", door, base_url)
    store.fs.pipe_file("bucket/tables/words.csv", b"id,word\n1,one\n2,two\n")
    built = here.command(
        "build",
        "s3://bucket/tables/words.csv",
        "-o",
        "s3://bucket/jobs/w.jsonl",
        "--prompt",
        "Say {{ word }}",
        "--id-column",
        "id",
    )
    assert (built.code, "→ s3://bucket/jobs/w.jsonl: 2 lines" in built.err) == (0, True), built.err
    assert here.command("check", "s3://bucket/jobs/w.jsonl").code == 0
    assert here.command("run", "s3://bucket/jobs/w.jsonl", "-o", "local").code == 0
    asked = here.command("run", "s3://bucket/tables/words.csv", "--prompt", "Say {{ word }}", "-o", "s3://bucket/out/words")
    assert (asked.code, store.exists("out/words/summary.json")) == (0, True), asked.err
    done = here.command(
        "export", "local", "-o", "s3://bucket/tables/answers.csv", "--input", "s3://bucket/tables/words.csv", "--on", "id"
    )
    assert done.code == 0, done.err
    assert [row.split(",")[2] for row in store.read("tables/answers.csv").decode().splitlines()[1:]] == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "s3://bucket/none.jsonl"), 65, "there is no such object"),
        (("run", "s3://nowhere/none.jsonl"), 65, "there is no such object"),
        (("run", JOB, "-o", "s3://nowhere/out"), 69, "nothing was sent"),
        (("run", "s3://bucket"), 2, "names no object"),
        (("run", JOB, "-o", OUT, "--lane", "batch", "--provider", "openai"), 2, "works with lane live only"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    tmp_path: Path, door: Door, store: Store, endpoint: tuple[str, Path], words: tuple[str, ...], code: int, message: str
) -> None:
    done = Machine(tmp_path / "here", door, endpoint[0]).command(*words)
    assert (done.code, message in done.err) == (code, True), done.err
    assert "Traceback" not in done.err
    assert not (endpoint[1].exists() and endpoint[1].stat().st_size)
