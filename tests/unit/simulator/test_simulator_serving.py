"""Over a socket: faults on the wire, pacing, the ledger, and the three ways to run it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import orjson
import pytest

from batchllm.simulator import (
    Faults,
    Latency,
    Limits,
    Simulator,
    SimulatorOptions,
    run_in_process,
    run_in_thread,
    serve,
)
from batchllm.simulator.hosting import Hosted, new_loop

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Tell me of the sea."}]}
Talk = Callable[[aiohttp.ClientSession, Simulator], Coroutine[Any, Any, None]]


def talk(options: SimulatorOptions, conversation: Talk) -> Simulator:
    async def run() -> Simulator:
        async with Simulator(options) as simulator, aiohttp.ClientSession() as session:
            await conversation(session, simulator)
        return simulator

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(run())


async def post(session: aiohttp.ClientSession, simulator: Simulator, body: dict[str, Any] = BODY) -> bytes:
    async with session.post(f"{simulator.base_url}/chat/completions", data=orjson.dumps(body)) as reply:
        return await reply.read()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_broken_reply_does_not_look_like_a_whole_one(fault: str, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        for number in range(8):
            try:
                body = await post(session, simulator, {**BODY, "stream": stream, "number": number})
            except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                continue
            assert (fault, stream) == ("truncated", True)
            assert b'"finish_reason":"stop"' not in body
            assert b"[DONE]" not in body

    talk(SimulatorOptions(faults=Faults(**{fault: 1.0})), conversation)
    assert not caplog.records


def test_a_hang_answers_nothing_and_does_not_hold_up_the_end() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(post(session, simulator), 0.4)
        assert simulator.stats["statuses"] == {0: 1}

    began = time.monotonic()
    talk(SimulatorOptions(faults=Faults(hang=1.0)), conversation)
    assert time.monotonic() - began < 3


def test_a_hang_ends_with_a_closed_connection() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(session, simulator)

    talk(SimulatorOptions(faults=Faults(hang=1.0), hang_s=0.05), conversation)


def test_a_stream_is_paced_and_begins_late() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        body = {**BODY, "stream": True, "max_tokens": 10}
        began = time.monotonic()
        async with session.post(f"{simulator.base_url}/chat/completions", json=body) as reply:
            await reply.content.readany()
            assert time.monotonic() - began >= 0.05
            await reply.read()
        assert time.monotonic() - began >= 0.05 + 9 * 0.01

    talk(SimulatorOptions(latency=Latency(first_token_s=0.05, per_token_s=0.01)), conversation)


def test_the_ledger_has_a_line_for_every_paid_answer_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    raw = orjson.dumps(BODY)

    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        url = f"{simulator.base_url}/chat/completions"
        async with session.post(url, data=raw, headers={"X-Request-Tag": "doc-1"}) as reply:
            usage = (await reply.json())["usage"]
        assert (await session.post(url, data=b"{")).status == 400
        (line,) = path.read_text().splitlines()
        assert json.loads(line) == {
            "digest": sha256(raw).hexdigest(),
            "tag": "doc-1",
            "prompt": "Tell me of the sea.",
            "status": 200,
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "fault": None,
        }

    talk(SimulatorOptions(ledger=str(path)), conversation)


def test_the_ledger_names_what_did_not_arrive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"

    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        with pytest.raises(aiohttp.ClientError):
            await post(session, simulator)

    talk(SimulatorOptions(ledger=str(path), faults=Faults(truncated=1.0)), conversation)
    assert json.loads(path.read_text())["fault"] == "truncated"


def test_more_than_the_house_holds_is_refused() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        await asyncio.gather(*(post(session, simulator) for _ in range(5)))
        assert simulator.stats["statuses"] == {200: 2, 429: 3}
        assert simulator.stats["in_flight"] == 0

    talk(SimulatorOptions(limits=Limits(max_in_flight=2), latency=Latency(0.4)), conversation)


def test_paths_of_other_providers_lead_to_the_same_endpoint() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        root = simulator.base_url.removesuffix("/v1")
        for prefix in ("/compatible-mode/v1", "/openai/deployments/gpt"):
            path = f"{prefix}/chat/completions?api-version=1"
            assert (await session.post(root + path, json=BODY)).status == 200
        assert (await session.get(f"{root}/health")).status == 200
        assert (await session.post(f"{root}/v1/unheard-of", json=BODY)).status == 404

    talk(SimulatorOptions(), conversation)


def test_a_body_too_large_is_refused_and_a_key_is_asked_for() -> None:
    async def conversation(session: aiohttp.ClientSession, simulator: Simulator) -> None:
        url = f"{simulator.base_url}/chat/completions"
        assert (await session.post(url, data=b"x" * 2000)).status == 413
        assert (await session.post(url, json=BODY)).status == 401
        assert (await session.post(url, json=BODY, headers={"Authorization": "Bearer k"})).status == 200

    talk(SimulatorOptions(max_body_bytes=1000, api_key="k"), conversation)


def test_serve_tells_its_address_and_stops_when_cancelled() -> None:
    async def run() -> None:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(SimulatorOptions(), ready=address.set_result))
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"{await address}/models")).status == 200
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(run())


@pytest.mark.parametrize("run", [run_in_thread, run_in_process])
def test_it_runs_elsewhere_and_is_gone_afterwards(
    run: Callable[[SimulatorOptions], AbstractContextManager[Hosted]],
) -> None:
    with (
        run(SimulatorOptions(models=("elsewhere",))) as hosted,
        urlopen(f"{hosted.base_url}/models") as reply,
    ):
        assert json.load(reply)["data"][0]["id"] == "elsewhere"
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{hosted.base_url}/models")


@pytest.mark.parametrize("run", [run_in_thread, run_in_process])
def test_a_start_that_fails_is_told(run: Callable[[SimulatorOptions], AbstractContextManager[Hosted]], tmp_path: Path) -> None:
    missing = SimulatorOptions(ledger=str(tmp_path / "no such folder" / "ledger"))
    with pytest.raises(RuntimeError, match="did not start"), run(missing):
        pass


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_process_outlives_an_interrupt_and_not_its_parent() -> None:
    code = (
        "import time; from batchllm.simulator import run_in_process\n"
        "with run_in_process() as hosted: print(hosted.pid, hosted.base_url, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, base_url = parent.stdout.readline().split()
    os.kill(int(pid), signal.SIGINT)
    with urlopen(f"{base_url}/models") as reply:
        assert reply.status == 200
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _await_refusal(base_url)


def _await_refusal(base_url: str) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            urlopen(f"{base_url}/models", timeout=1).close()
        except OSError:
            return
    pytest.fail("the process outlived its parent")
