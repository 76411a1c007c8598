"""The fault server does what its steps say, and remembers what it did."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import faultserver as fs
from tests.faultserver.client import ask, ask_on, bounded, connected, request_bytes

OK = fs.ok_chat("fine")
OK_BYTES = fs.wire_bytes(OK)
needs_openssl = pytest.mark.skipif(not fs.have_openssl(), reason="certificates are made by openssl")


FINITE = {
    "length": OK,
    "chunked": fs.framed(OK, "chunked"),
    "close": fs.framed(OK, "close"),
    "wrong length": fs.framed(OK, "length", 9999),
    "error": fs.error(429, b"slow down", ("Retry-After", "1")),
    "html": fs.html(),
    "sse": fs.sse(["a", "b"], usage=fs.USAGE),
    "sse crlf": fs.sse(["a"], eol=b"\r\n"),
    "raw": fs.raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "interim": fs.interim(OK, 103, ("Link", "</x>"), times=2),
    "redirect": fs.redirect(308),
    "drip": fs.drip(fs.error(500), 7, 0.0001),
    "head drip": fs.drip(OK, 9, 0.0001, "head"),
    "gzip": fs.gzipped(OK),
    "huge": fs.huge_chat(1),
    "drop": fs.drop(),
}


@pytest.mark.parametrize("name", FINITE)
@bounded
async def test_every_finite_step_arrives_byte_for_byte(name: str) -> None:
    step = fs.then(FINITE[name], "fin")
    async with fs.FaultServer(step) as server:
        got = await ask(server.base_url)
        assert got == fs.wire_bytes(step, 0, got.partition(b"Location: ")[2].decode().partition("/v1")[0])
        await server.until(lambda: server.in_flight == 0)
        assert [(a.sent, a.complete) for a in server.answers] == [(len(got), name != "drop")]


@bounded
async def test_a_cut_sends_so_many_bytes_and_is_never_paid() -> None:
    async with fs.FaultServer([fs.cut(OK, at) for at in range(len(OK_BYTES))]) as server:
        for at in range(len(OK_BYTES)):
            assert await ask(server.base_url) == OK_BYTES[:at]
        assert not server.paid


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@bounded
async def test_a_cut_body_keeps_its_head_and_has_no_last_chunk(framing: Any) -> None:
    step = fs.framed(OK, framing)
    async with fs.FaultServer(fs.cut(step, 5, of="body")) as server:
        head, _, body = (await ask(server.base_url)).partition(b"\r\n\r\n")
    assert fs.wire_bytes(step).startswith(head)
    assert body == (b'5\r\n{"id"\r\n' if framing == "chunked" else b'{"id"')


@pytest.mark.parametrize("step", [fs.drop("rst"), fs.cut(OK, 30, "rst"), fs.then(OK, "rst")])
@bounded
async def test_a_reset_is_a_reset(step: fs.Step) -> None:
    async with fs.FaultServer(step) as server:
        with pytest.raises(ConnectionResetError):
            await ask(server.base_url)
        assert server.connections[0].ended == "rst"


@bounded
async def test_gates_hold_the_first_byte_and_show_who_waits() -> None:
    gate = fs.Gate()
    async with fs.FaultServer(fs.then(fs.delayed(OK, until=gate), "fin")) as server:
        asking = [asyncio.create_task(ask(server.base_url)) for _ in range(3)]
        await server.until(lambda: gate.arrivals == 3)
        assert (server.in_flight, server.answers) == (3, [])
        gate.open()
        assert await asyncio.gather(*asking) == [OK_BYTES] * 3
        assert (server.peak_in_flight, len(server.paid)) == (3, 3)


@bounded
async def test_an_asyncio_event_is_a_gate_too() -> None:
    event = asyncio.Event()
    parts = fs.as_parts([b"1", fs.Pause(until=event), b"2"])
    step = fs.Step(body=parts, framing="close")
    async with fs.FaultServer(step) as server, connected(server.base_url) as (reader, writer):
        writer.write(request_bytes())
        assert (await reader.readuntil(b"\r\n\r\n1")).endswith(b"1")
        event.set()
        assert await reader.read() == b"2"


@pytest.mark.parametrize("step", [fs.hang(), fs.cut(OK, 20, "hang"), fs.endless(), fs.then(OK, "hang")])
@bounded
async def test_endless_steps_end_when_the_client_leaves_or_the_server_stops(step: fs.Step) -> None:
    async with fs.FaultServer(step) as server:
        async with connected(server.base_url) as (_, writer):
            writer.write(request_bytes())
            await server.until(lambda: len(server.requests) == 1)
        await server.until(lambda: server.connections[0].ended in ("client", "hang") and server.in_flight == 0)
        async with connected(server.base_url) as (_, writer):
            writer.write(request_bytes())
            await server.until(lambda: len(server.requests) == 2)
            await server.__aexit__(None, None, None)
            assert server.connections[1].ended


@bounded
async def test_redirects_lead_to_a_second_listener_on_another_origin() -> None:
    async with fs.FaultServer(fs.then(fs.redirect(307), "fin")) as server:
        got = await ask(server.base_url)
        to = got.partition(b"Location: ")[2].partition(b"\r\n")[0].decode()
        assert to.startswith("http://localhost:")
        assert server.elsewhere
        async with connected(to) as streams:
            await ask_on(streams, "leaked")
        assert [request.text for request in server.elsewhere.requests] == ["leaked"]


@bounded
async def test_requests_are_recorded_with_their_place() -> None:
    async with fs.FaultServer() as server:
        async with connected(server.base_url) as streams:
            replies = [await ask_on(streams, text) for text in ("one", "two")]
        async with connected(server.base_url) as streams:
            await ask_on(streams, "three")
        assert [b"echo: one" in reply for reply in replies] == [True, False]
        facts = [(r.text, r.connection, r.number, r.headers["host"]) for r in server.calls]
        assert facts == [("one", 1, 1, "x"), ("two", 1, 2, "x"), ("three", 2, 1, "x")]
        assert (server.calls[0].path, len(server.gaps_s())) == ("/v1/chat/completions", 2)


@bounded
async def test_chunked_requests_are_read_whole() -> None:
    async with fs.FaultServer(fs.then(OK, "fin")) as server, connected(server.base_url) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[1\r\n1\r\n]\r\n0\r\n\r\n")
        assert await reader.read() == OK_BYTES
        assert server.requests[0].json == [1]


@bounded
async def test_scripts_answer_in_order_and_by_text_and_leave_probes_alone() -> None:
    script = fs.Script.by_text({"a": [fs.error(500), fs.error(503)], "b": [fs.error(400)]}, fs.echo)
    async with fs.FaultServer(script) as server, connected(server.base_url) as streams:
        replies = [await ask_on(streams, text) for text in "abcaab"]
        streams[1].write(request_bytes(method="GET"))
        assert b'"object":"list"' in await streams[0].readuntil(b"]}")
        assert (len(server.calls), len(server.requests)) == (6, 7)
    assert [int(reply[9:12]) for reply in replies] == [500, 400, 200, 503, 200, 200]


@bounded
async def test_a_script_that_fails_fails_the_test() -> None:
    with pytest.raises(ZeroDivisionError):
        async with fs.FaultServer(lambda request: fs.error(1 // 0)) as server:
            await ask(server.base_url)


@bounded
async def test_connections_can_end_before_http() -> None:
    plans = [
        fs.Connect("rst"),
        fs.Connect("fin"),
        fs.Connect("fin", 10, b"220 smtp\r\n"),
        fs.Connect("hang", 5),
    ]
    async with fs.FaultServer(fs.then(OK, "fin"), connect=plans) as server:
        with pytest.raises(ConnectionError):
            await ask(server.base_url)
        async with connected(server.base_url) as (reader, _):
            assert await reader.read() == b""
        async with connected(server.base_url) as (reader, writer):
            writer.write(b"0123456789")
            assert await reader.read() == b"220 smtp\r\n"
        async with connected(server.base_url) as (_, writer):
            writer.write(b"01234")
            await server.until(lambda: server.connections[3].ended == "hang")
        assert await ask(server.base_url) == OK_BYTES
        assert server.connections[4].requests == 1 == len(server.requests)


@bounded
async def test_a_server_can_refuse_and_come_back_on_its_port() -> None:
    async with fs.FaultServer(fs.then(OK, "fin")) as server:
        await server.refuse()
        with pytest.raises(ConnectionRefusedError):
            await ask(server.base_url)
        await server.listen()
        assert await ask(server.base_url) == OK_BYTES
    with fs.refused() as url, pytest.raises(ConnectionRefusedError):
        await ask(url)


@needs_openssl
@bounded
async def test_tls_fails_in_each_way_and_works_for_who_trusts_it() -> None:
    step = fs.then(OK, "fin")
    async with fs.FaultServer(step, tls="self-signed", connect=[fs.Connect("rst", 1)]) as server:
        trusting = ssl.create_default_context(cafile=server.ca_file)
        with pytest.raises(ConnectionResetError):
            await ask(server.base_url, tls=trusting)
        assert await ask(server.base_url, tls=trusting) == OK_BYTES
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            await ask(server.base_url, tls=ssl.create_default_context())
        await server.until(lambda: server.connections[2].ended == "handshake")
    async with fs.FaultServer(step, tls="other-host") as server:
        trusting = ssl.create_default_context(cafile=server.ca_file)
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await ask(server.base_url, tls=trusting)
    async with fs.FaultServer(step, tls="plain") as server:
        with pytest.raises(ssl.SSLError, match=r"WRONG_VERSION|RECORD_LAYER"):
            await ask(server.base_url, tls=trusting)


@bounded
async def test_the_ledger_file_holds_whole_answers_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    steps = [fs.cut(OK, 40), fs.then(fs.error(500), "fin"), fs.then(OK, "fin")]
    async with fs.FaultServer(steps, ledger=path) as server:
        for text in ("cut", "error", "paid"):
            await ask(server.base_url, text)
        assert [request.text for request in server.paid] == ["paid"]
    lines = [(line["text"], line["status"], line["paid"]) for line in fs.read_ledger(path)]
    assert lines == [("error", 500, False), ("paid", 200, True)]


def test_a_thread_serves_those_without_a_loop(tmp_path: Path) -> None:
    gate = fs.Gate()
    served = fs.FaultServer(fs.delayed(OK, until=gate), ledger=tmp_path / "ledger")
    with fs.run_in_thread(served) as server:
        gate.open()
        with urllib.request.urlopen(f"{server.base_url}/chat/completions", b"{}") as reply:
            assert json.load(reply)["choices"][0]["message"]["content"] == "fine"
        server.wait_until(lambda: len(server.paid) == 1)
    assert len(fs.read_ledger(tmp_path / "ledger")) == 1
