"""`batchllm serve` as a process of its own: tokens, bad usage, full disks, kills, large uploads, its own description."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from benchmarks.gateway import Served, served, survive
from tests.conftest import Command
from tests.e2e.commands import Commands
from tests.e2e.gateways import KEY, ended, job, lines, submit, until, upload
from tests.faultserver import FaultServer, Gate, delayed, echo, ok_chat, run_in_thread


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """`batchllm …` in this process, for what ends before anything begins."""
    return Commands(tmp_path, None, monkeypatch, capsys)


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.open()


@pytest.fixture
def upstream(gate: Gate) -> Iterator[FaultServer]:
    """Answers at once, but what says `slow` only once the gate is open."""
    with run_in_thread(
        lambda request: delayed(echo(request), until=gate) if "slow" in request.text else echo(request)
    ) as server:
        yield server


def test_a_kill_loses_nothing_and_writes_nothing_twice() -> None:
    """A small share of `python -m benchmarks.gateway`; the witness is the endpoint's own ledger."""
    found = survive(batches=4, lines=150, kills=1, stops=0, seed=3)
    assert (found.held, found.kills) == (True, 1), found.rows()


def test_a_stop_asks_nothing_twice() -> None:
    found = survive(batches=4, lines=150, kills=0, stops=1, seed=4)
    assert (found.held, found.repeats, found.stops) == (True, 0, 1), found.rows()


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_lose_nothing(seed: int) -> None:
    found = survive(batches=20, lines=300, kills=6, stops=3, seed=seed)
    assert found.held, found.rows()


def test_a_stop_waits_for_what_is_in_flight_and_the_next_start_goes_on(
    tmp_path: Path, gate: Gate, upstream: FaultServer
) -> None:
    with served(tmp_path, upstream.base_url, "-c", "2") as one:
        made = submit(one.client(), job("slow 1", "slow 2", "slow 3", "slow 4"))
        upstream.wait_until(lambda: upstream.in_flight == 2)
        one.child.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(one.base_url.removesuffix("/v1") + "/healthz").status_code, lambda code: code == 503)
        with pytest.raises(openai.InternalServerError):
            submit(one.client(), job("too late"))
        gate.open()
        assert one.wait()[0] == 0
        assert len(upstream.calls) == 2
        one.start()
        batch = ended(one.client(), made.id)
        assert (batch.status, batch.request_counts.completed, len(upstream.calls)) == ("completed", 4, 4)


def test_a_second_signal_ends_at_once(tmp_path: Path, gate: Gate, upstream: FaultServer) -> None:
    with served(tmp_path, upstream.base_url) as one:
        submit(one.client(), job("slow"))
        upstream.wait_until(lambda: upstream.in_flight == 1)
        one.child.send_signal(signal.SIGTERM)
        until(lambda: (tmp_path / "serve.err").read_text(), lambda said: "again to stop at once" in said)
        assert one.end(signal.SIGTERM)[0] == 0
        assert "Traceback" not in (tmp_path / "serve.err").read_text()


def _limited(bytes_: int) -> Any:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))


class _OnASmallDisk(Served):
    """No file may grow above two megabytes, until there is `room`: what a full disk looks like to the process."""

    room = False

    def start(self) -> None:
        if self.room:
            super().start()
            return
        before = subprocess.Popen

        def small(*args: Any, **more: Any) -> Any:
            return before(*args, **more, preexec_fn=_limited(2 << 20))

        subprocess.Popen = small  # type: ignore[assignment,misc]
        try:
            super().start()
        finally:
            subprocess.Popen = before  # type: ignore[misc]


def test_a_full_disk_gets_the_apis_own_error_and_takes_nothing(tmp_path: Path, upstream: FaultServer) -> None:
    one = _OnASmallDisk(tmp_path, upstream.base_url)
    try:
        client = one.client()
        with pytest.raises(openai.APIStatusError) as refused:
            upload(client, job("x" * 1000) * 3000)
        assert (refused.value.status_code, refused.value.code) == (507, "insufficient_storage")
        assert refused.value.response.headers["x-should-retry"] == "false"
        for name in ("files", "incoming"):
            assert list((tmp_path / "gateway" / name).iterdir()) == []
        assert ended(client, submit(client, job("small")).id).status == "completed"
    finally:
        one.close()


def test_a_disk_that_fills_during_a_batch_loses_nothing_and_stops_asking(tmp_path: Path) -> None:
    with run_in_thread(lambda request: ok_chat(content=request.text * 12_000)) as upstream:
        one = _OnASmallDisk(tmp_path, upstream.base_url, "-c", "4")
        try:
            made = submit(one.client(), job(*(f"say {number}" for number in range(60))))
            until(lambda: (tmp_path / "serve.err").read_text(), lambda said: "the disk" in said)
            asked = len(upstream.calls)
            assert 10 < asked < 60
            assert one.client().batches.retrieve(made.id).status == "in_progress"
            one.child.kill()
            one.wait()
            one.room = True
            one.start()
            batch = ended(one.client(), made.id)
            assert (batch.status, batch.request_counts.completed) == ("completed", 60)
            assert lines(one.client(), batch.output_file_id).keys() == {f"line-{number}" for number in range(1, 61)}
            assert len(upstream.calls) <= 60 + 4
        finally:
            one.close()


@pytest.mark.parametrize("mebibytes", [16, pytest.param(200, marks=pytest.mark.sweep)])
def test_a_large_malformed_upload_is_refused_in_little_memory(mebibytes: int, tmp_path: Path, upstream: FaultServer) -> None:
    block = b"\x00\xff not multipart \r\n" * 4096

    def content() -> Iterator[bytes]:
        for _ in range((mebibytes << 20) // len(block)):
            yield block

    with served(tmp_path, upstream.base_url) as one:
        before = _peak(one.child.pid)
        headers = {"Authorization": "Bearer any", "Content-Type": "multipart/form-data; boundary=x"}
        reply = httpx.post(f"{one.base_url}/files", headers=headers, content=content(), timeout=60)
        assert reply.status_code == 400
        assert reply.json()["error"]["type"] == "invalid_request_error"
        assert _peak(one.child.pid) - before < 12 << 20
        assert list((tmp_path / "gateway" / "incoming").iterdir()) == []


def _peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def test_tokens_are_made_once_and_kept_as_hashes(command: Command, commands: Commands, upstream: FaultServer) -> None:
    made = commands("serve", "--tokens", "tokens.toml", "--new-token", "alice")
    token = made.out.strip()
    assert (made.code, len(token) > 40) == (0, True)
    assert token not in (command.folder / "tokens.toml").read_text() + made.err
    assert (command.folder / "tokens.toml").stat().st_mode & 0o077 == 0
    assert commands("serve", "--tokens", "tokens.toml", "--new-token", "alice").code == 2
    assert commands("serve", "--tokens", "tokens.toml", "--new-token", "bob").code == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "batchllm", "serve", "--base-url", upstream.base_url, "--port", "0", "--tokens", "tokens.toml"],
        cwd=command.folder, env={**command.environment, "OPENAI_API_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        base_url = child.stdout.readline().decode().strip()
        with openai.OpenAI(base_url=base_url, api_key=token, max_retries=0) as client:
            batch = ended(client, submit(client, job("with a token")).id)
            assert lines(client, batch.output_file_id).keys() == {"line-1"}
        with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client, pytest.raises(openai.AuthenticationError):
            client.files.list()
    finally:
        child.terminate()
        _, err = child.communicate(timeout=30)
    assert child.returncode == 0
    everything = err + b"".join(path.read_bytes() for path in command.folder.rglob("*") if path.is_file())
    assert token.encode() not in everything
    assert KEY.encode() not in everything


WRONG: dict[str, tuple[list[str], int, str]] = {
    "nobody is named": ([], 2, "--tokens"),
    "both": (["--tokens", "t.toml", "--no-tokens"], 2, "keep one"),
    "open to the world": (["--no-tokens", "--host", "0.0.0.0"], 2, "loopback"),
    "no such file": (["--tokens", "none.toml"], 2, "none.toml"),
    "no TOML": (["--tokens", "bad.toml"], 2, "not valid TOML"),
    "the token itself": (["--tokens", "plain.toml"], 2, "never the token itself"),
    "a name that is none": (["--tokens", "t.toml", "--new-token", "../alice"], 2, "cannot be a tenant"),
    "another folder": (["--no-tokens", "--data", "."], 65, "no gateway"),
    "a port that is none": (["--no-tokens", "--port", "70000"], 2, "port"),
    "several endpoints": (["--no-tokens", "--base-url", "http://127.0.0.1:1", "--base-url", "http://127.0.0.1:2"], 2, "one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_it_cannot_be_started_with_is_said_in_a_sentence(name: str, commands: Commands) -> None:
    argv, code, said = WRONG[name]
    (commands.folder / "bad.toml").write_text("this is [no TOML")
    (commands.folder / "plain.toml").write_text('[alice]\nsha256 = ["bl-my-own-token"]\n')
    endpoint = [] if "--base-url" in argv else ["--base-url", "http://127.0.0.1:9/v1"]
    done = commands("serve", *endpoint, "--port", "0", *argv)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert "bl-my-own-token" not in done.err


def test_one_gateway_at_a_time_has_a_folder(tmp_path: Path, upstream: FaultServer, commands: Commands) -> None:
    with served(tmp_path, upstream.base_url):
        data = str(tmp_path / "gateway")
        done = commands("serve", "--base-url", upstream.base_url, "--no-tokens", "--port", "0", "--data", data)
        assert done.code == 75
        assert "another gateway" in done.err


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
)
def test_without_tokens_no_web_page_gets_through(headers: dict[str, str], status: int, open_house: Served) -> None:
    reply = httpx.get(f"{open_house.base_url}/files", headers=headers)
    assert reply.status_code == status, json.loads(reply.text)


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with run_in_thread(echo) as server, served(tmp_path_factory.mktemp("open"), server.base_url) as one:
        yield one
