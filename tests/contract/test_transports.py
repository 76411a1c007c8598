"""What every transport promises: one request, every bound on time and size, nothing followed, nothing retried, bytes kept."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from batchllm.errors import Phase, TransportError
from batchllm.protocols import Transport
from batchllm.settings import Timeouts
from batchllm.supervisor import event_loop
from batchllm.transports import TRANSPORTS, TransportOptions, transport
from batchllm.types import Call, Reply
from tests import faultserver as fs
from tests.e2e import jumping

KEY = "sk-canary-9f8e7d6c5b4a"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
BODY = b'{"messages":[{"role":"user","content":"hi"}]}'
BOUNDS = Timeouts(connect=2.0, first_byte=5.0, silence=3.0, total=20.0)
CHAT = fs.ok_chat("The whole answer.")
SMALL = 1 << 20

REAL = asyncio.Runner(loop_factory=event_loop()) if os.environ.get("BATCHLLM_TEST_CLOCK") == "real" else None
"""With this variable tests run on the loop that a run has (uvloop), and its waits take as long as they say (a minute or two)."""
Session = Callable[[Transport], Awaitable[Any]]


@pytest.fixture(params=TRANSPORTS)
def name(request: pytest.FixtureRequest) -> str:
    found = str(request.param)
    if importlib.util.find_spec(found) is None:
        pytest.skip(f"the package {found} is not installed")
    return found


def call(server: fs.FaultServer, *, stream: bool = False, url: str | None = None) -> Call:
    return Call(url or f"{server.base_url}/chat/completions", BODY, HEADERS, stream)


def converse(name: str, server: fs.FaultServer, session: Session, **options: Any) -> Any:
    """Run `session` with an open transport while the server serves; the clock jumps over waits."""

    def made() -> Transport:
        return transport(name, TransportOptions(**{"timeouts": BOUNDS, "max_response": SMALL, "connections": 8, **options}))

    async def alone() -> Any:
        async with made() as sender:
            return await session(sender)

    async def together() -> Any:
        async with server:
            return await alone()

    if REAL is None:
        return jumping.run(together())
    with fs.run_in_thread(server):
        return REAL.run(alone())


def only_where_the_clock_jumps() -> None:
    if REAL is not None:
        pytest.skip("here the server has a loop and a thread of its own")


def reply_to(name: str, server: fs.FaultServer, feed: Any = None, **options: Any) -> Reply:
    reply: Reply = converse(name, server, lambda sender: sender.send(call(server, stream=feed is not None), feed), **options)
    return reply


def failure_of(name: str, server: fs.FaultServer, feed: Any = None, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        reply_to(name, server, feed, **options)
    assert KEY not in str(caught.value) + repr(caught.value)
    return caught.value


# -- a plain exchange ------------------------------------------------------------------------------------------------


def test_a_reply_comes_whole_with_lower_case_header_names(name: str) -> None:
    server = fs.FaultServer([fs.with_headers(CHAT, ("X-Request-ID", "r-1"))])
    reply = reply_to(name, server)
    assert reply.status == 200
    assert reply.body == b"".join(part for part in CHAT.body if isinstance(part, bytes))
    assert reply.headers["x-request-id"] == "r-1"
    assert all(key == key.lower() for key in reply.headers)
    assert reply.latency_s >= 0
    assert reply.ttft_s is None


def test_what_is_sent_is_what_the_call_says(name: str) -> None:
    server = fs.FaultServer()
    reply_to(name, server)
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/chat/completions", BODY)
    assert request.headers["authorization"] == HEADERS["Authorization"]
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == server.origin.removeprefix("http://")
    assert request.headers["accept-encoding"] == "gzip"
    assert "transfer-encoding" not in request.headers
    allowed = {
        "host",
        "authorization",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
        "connection",
    }
    assert set(request.headers) <= allowed


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529, 599])
def test_an_error_status_is_a_reply_like_any_other(name: str, status: int) -> None:
    server = fs.FaultServer([fs.error(status)])
    reply = reply_to(name, server)
    assert reply.status == status
    assert f"status {status}".encode() in reply.body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_every_framing_gives_the_same_body(name: str, framing: Any) -> None:
    reply = reply_to(name, fs.FaultServer([fs.framed(CHAT, framing)]))
    assert b"The whole answer." in reply.body


def test_interim_replies_are_passed_over(name: str) -> None:
    reply = reply_to(name, fs.FaultServer([fs.interim(CHAT, 103, ("Link", "</x>"), times=2)]))
    assert (reply.status, b"whole answer" in reply.body) == (200, True)


def test_an_empty_reply_is_empty_bytes(name: str) -> None:
    reply = reply_to(name, fs.FaultServer([fs.Step(status=204, headers=())]))
    assert (reply.status, reply.body) == (204, b"")


def test_gzip_is_unpacked(name: str) -> None:
    packed = gzip.compress(b'{"a": 1}' * 1000)
    step = fs.Step(headers=(("Content-Type", "application/json"), ("Content-Encoding", "gzip")), body=(packed,))
    assert reply_to(name, fs.FaultServer([step])).body == b'{"a": 1}' * 1000


# -- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(name: str) -> None:
    server = fs.FaultServer()

    async def session(sender: Transport) -> None:
        for _ in range(3):
            await sender.send(call(server))

    converse(name, server, session)
    assert len(server.requests) == 3
    assert len(server.connections) == 1


def test_an_idle_connection_is_given_up_before_servers_close_theirs_h18(name: str) -> None:
    """uvicorn closes after five seconds: a request must never meet a connection that is closing."""
    server = fs.FaultServer()

    async def session(sender: Transport) -> None:
        await sender.send(call(server))
        await asyncio.sleep(4.9)
        await sender.send(call(server))

    converse(name, server, session)
    assert len(server.connections) == 2


def test_as_many_requests_fly_as_are_sent_h34(name: str) -> None:
    """The throttle is the only limiter: a second one in the transport would queue requests inside their time bounds."""
    only_where_the_clock_jumps()
    gate = fs.Gate()
    server = fs.FaultServer(fs.delayed(CHAT, until=gate))

    async def session(sender: Transport) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(40):
                tasks.create_task(sender.send(call(server)))
            await server.until(lambda: server.in_flight == 40)
            gate.open()

    converse(name, server, session)
    assert server.peak_in_flight == 40


def test_nothing_is_sent_twice_when_a_connection_breaks_h19(name: str) -> None:
    server = fs.FaultServer([fs.drop(), CHAT])
    assert failure_of(name, server).phase is Phase.SEND
    assert len(server.requests) == 1


def test_a_reused_connection_that_ends_unanswered_is_told_h18(name: str) -> None:
    server = fs.FaultServer([CHAT, fs.drop()])

    async def session(sender: Transport) -> None:
        await sender.send(call(server))
        await sender.send(call(server))

    with pytest.raises(TransportError) as caught:
        converse(name, server, session)
    assert caught.value.phase is Phase.SEND
    assert len(server.requests) == 2


def test_cookies_are_not_kept(name: str) -> None:
    server = fs.FaultServer(fs.with_headers(CHAT, ("Set-Cookie", "a=b; Path=/")))

    async def session(sender: Transport) -> None:
        await sender.send(call(server))
        await sender.send(call(server))

    converse(name, server, session)
    assert all("cookie" not in request.headers for request in server.requests)


def test_a_cancelled_request_gives_its_connection_up(name: str) -> None:
    only_where_the_clock_jumps()
    server = fs.FaultServer([fs.hang()])

    async def session(sender: Transport) -> None:
        flight = asyncio.create_task(sender.send(call(server)))
        await server.until(lambda: server.in_flight == 1)
        flight.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flight
        await server.until(lambda: server.connections[0].ended == "client")

    converse(name, server, session)


def test_an_abort_cuts_what_waits_and_leaves_what_came(name: str) -> None:
    """Whoever waits hears it as a broken connection; what had come of a reply is kept, and a whole one is a reply."""
    only_where_the_clock_jumps()
    half = replace(CHAT, body=(b'{"choices":', fs.Pause()), length=200)
    server = fs.FaultServer([CHAT, fs.hang(), half])

    async def session(sender: Transport) -> list[Any]:
        heard = asyncio.Event()

        def feed(data: bytes) -> bool:
            heard.set()
            return True

        whole = asyncio.create_task(sender.send(call(server)))
        await whole
        waiting = asyncio.create_task(sender.send(call(server)))
        await server.until(lambda: len(server.requests) == 2)
        begun = asyncio.create_task(sender.send(call(server), feed))
        await heard.wait()
        await sender.abort()
        return await asyncio.gather(whole, waiting, begun, return_exceptions=True)

    whole, waiting, begun = converse(name, server, session)
    assert whole.status == 200
    assert (type(waiting), waiting.phase, waiting.partial) == (TransportError, Phase.SEND, b"")
    assert (type(begun), begun.phase, begun.partial) == (TransportError, Phase.READ, b'{"choices":')


def test_an_abort_ends_what_has_no_connection_yet(name: str) -> None:
    only_where_the_clock_jumps()
    server = fs.FaultServer(connect=[fs.Connect("hang")], tls="self-signed")
    if not fs.have_openssl():
        pytest.skip("certificates are made by openssl")

    async def session(sender: Transport) -> Any:
        waiting = asyncio.create_task(sender.send(call(server)))
        await server.until(lambda: bool(server.connections))
        await sender.abort()
        done, _ = await asyncio.wait({waiting}, timeout=BOUNDS.connect + 1)
        return done.pop().exception()

    assert isinstance(converse(name, server, session), TransportError)


def test_what_comes_unasked_is_not_the_next_reply(name: str) -> None:
    """A second reply behind the first belongs to nobody: the connection is not used again."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    server = fs.FaultServer([fs.raw(wire + b"1" + wire + b"2"), fs.raw(wire + b"3")])

    async def session(sender: Transport) -> list[bytes]:
        return [(await sender.send(call(server))).body for _ in range(2)]

    assert converse(name, server, session) == [b"1", b"3"]


def test_a_large_request_goes_out_whole(name: str) -> None:
    server = fs.FaultServer([CHAT])
    body = b'{"messages":[{"role":"user","content":"' + b"x" * (3 << 20) + b'"}]}'
    converse(name, server, lambda sender: sender.send(replace(call(server), body=body)))
    assert server.requests[0].body == body


# -- bounds on time --------------------------------------------------------------------------------------------------


def lasted(error: TransportError, bound: float) -> bool:
    return bound <= error.elapsed_s < bound + 1.5


@pytest.mark.parametrize("tls", [None, "self-signed"])
def test_a_peer_that_says_nothing_at_all_is_bounded_h22(name: str, tls: Any) -> None:
    server = fs.FaultServer(connect=[fs.Connect("hang")], tls=tls)
    error = failure_of(name, server)
    assert error.phase in ({Phase.FIRST_BYTE} if tls is None else {Phase.CONNECT, Phase.TLS})
    assert lasted(error, BOUNDS.first_byte if tls is None else BOUNDS.connect)


def test_the_first_byte_has_its_bound_h22(name: str) -> None:
    error = failure_of(name, fs.FaultServer([fs.hang()]))
    assert error.phase is Phase.FIRST_BYTE
    assert lasted(error, BOUNDS.first_byte)
    assert (error.status, error.partial) == (0, b"")


def test_silence_in_the_midst_has_its_bound_and_what_came_is_kept_h22(name: str) -> None:
    half = replace(CHAT, body=(b'{"choices":', fs.Pause()), length=200, headers=(("X-Request-Id", "r-9"),))
    error = failure_of(name, fs.FaultServer([half]))
    assert error.phase is Phase.SILENCE
    assert lasted(error, BOUNDS.silence)
    assert (error.status, error.partial) == (200, b'{"choices":')
    assert error.headers["x-request-id"] == "r-9"


def test_a_pause_shorter_than_silence_is_none(name: str) -> None:
    """Also where the first byte has a stricter bound than the silence after it."""
    slow = replace(CHAT, body=(b'{"choices": ', fs.Pause(2.5), b"[]", fs.Pause(2.5), b"}"), framing="chunked")
    bounds = BOUNDS.model_copy(update={"first_byte": 1.0})
    reply = reply_to(name, fs.FaultServer([slow]), timeouts=bounds)
    assert reply.body == b'{"choices": []}'


def test_blanks_do_not_end_a_silence_h23(name: str) -> None:
    blank = fs.drip(fs.Step(body=(fs.Repeat(b"\n"),), framing="chunked"), 1, 0.5, "body")
    error = failure_of(name, fs.FaultServer([blank]))
    assert error.phase is Phase.SILENCE
    assert lasted(error, BOUNDS.silence)


def test_comments_do_not_end_a_silence_of_a_stream_h23(name: str) -> None:
    alive = replace(fs.sse([]), body=(b'data: {"a": 1}\n\n', fs.Repeat(b": keep-alive\n\n")))
    error = failure_of(name, fs.FaultServer([fs.drip(alive, 16, 0.5, "body")]), feed=lambda data: b"data:" in data)
    assert error.phase is Phase.SILENCE
    assert error.partial.startswith(b'data: {"a": 1}')


@pytest.mark.parametrize("part", ["body", "head"])
def test_one_byte_at_a_time_is_stopped_by_the_whole_attempts_bound_h23(name: str, part: Any) -> None:
    error = failure_of(name, fs.FaultServer([fs.drip(CHAT, 1, 0.5, part)]))
    assert error.phase in ({Phase.TOTAL} if part == "body" else {Phase.TOTAL, Phase.FIRST_BYTE})
    assert error.elapsed_s <= BOUNDS.total + 1.5
    assert (error.status, bool(error.partial)) == ((200, True) if part == "body" else (0, False))


# -- bounds on size --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [fs.endless(b"x" * 65536), fs.huge_chat(64), fs.gzip_bomb(64), fs.framed(fs.huge_chat(64), "chunked")],
    ids=["endless", "huge", "gzip-bomb", "chunked"],
)
def test_a_reply_above_the_cap_is_broken_off_h26_h25(name: str, step: fs.Step) -> None:
    server = fs.FaultServer([step])
    error = failure_of(name, server)
    assert error.phase is Phase.TOO_LARGE
    assert error.status == 200
    assert 0 < len(error.partial) <= SMALL
    assert REAL is not None or not server.paid  # there the kernel may have taken all of a small bomb before


def test_an_endless_head_is_broken_off_h26(name: str) -> None:
    head = fs.Step(body=(b"HTTP/1.1 200 OK\r\n", fs.Repeat(b"X-Filler: " + b"y" * 900 + b"\r\n")), framing="raw")
    error = failure_of(name, fs.FaultServer([head]))
    assert error.phase in (Phase.SEND, Phase.TOO_LARGE, Phase.READ, Phase.TOTAL)


# -- replies that break off ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        fs.cut(CHAT, 50, of="body"),
        fs.cut(CHAT, 50, "rst", "body"),
        fs.cut(fs.framed(CHAT, "chunked"), 50, of="body"),
    ],
    ids=["length", "rst", "chunked"],
)
def test_a_reply_that_breaks_off_keeps_what_came_h16(name: str, step: fs.Step) -> None:
    error = failure_of(name, fs.FaultServer([step]))
    assert error.phase is Phase.READ
    assert error.status == 200
    assert error.partial == b"".join(part for part in CHAT.body if isinstance(part, bytes))[:50]


def test_the_end_of_a_close_delimited_body_is_no_failure_h17(name: str) -> None:
    """Nothing on the wire tells it from a whole one: that it is none the endpoint's rules have to find."""
    assert len(reply_to(name, fs.FaultServer([fs.cut(fs.framed(CHAT, "close"), 50, of="body")])).body) == 50


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_end_before_the_first_byte_is_told_apart_h19(name: str, how: Any) -> None:
    assert failure_of(name, fs.FaultServer([fs.drop(how)])).phase is Phase.SEND


@pytest.mark.parametrize(
    "data",
    [
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 2 OK\r\n\r\n",
        b"\x00\xff\x16\x03\x01" * 9,
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    ],
    ids=["text", "status", "binary", "length"],
)
def test_garbage_is_a_failure_and_no_crash(name: str, data: bytes) -> None:
    assert failure_of(name, fs.FaultServer([fs.raw(data)])).phase in (Phase.SEND, Phase.READ)


def test_a_damaged_gzip_body_is_a_failure(name: str) -> None:
    packed = bytearray(gzip.compress(b"hello" * 100))
    packed[20] ^= 0xFF
    step = fs.Step(headers=(("Content-Encoding", "gzip"),), body=(bytes(packed),))
    assert failure_of(name, fs.FaultServer([step])).phase is Phase.READ


# -- who is spoken to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_reply_and_nobody_else_hears_of_it_h24_x4(name: str, status: int) -> None:
    server = fs.FaultServer([fs.redirect(status)])
    reply = reply_to(name, server)
    assert reply.status == status
    assert reply.headers["location"].startswith("http://localhost:")
    assert server.elsewhere is not None
    assert not server.elsewhere.connections


@pytest.fixture
def openssl() -> None:
    if not fs.have_openssl():
        pytest.skip("certificates are made by openssl")


@pytest.mark.usefixtures("openssl")
@pytest.mark.parametrize("tls", ["self-signed", "other-host"])
def test_a_certificate_that_proves_nothing_ends_it_before_the_key_is_sent_h21(name: str, tls: Any) -> None:
    server = fs.FaultServer(tls=tls)
    trusted = str(fs.FaultServer(tls="other-host").ca_file) if tls == "other-host" else None
    assert failure_of(name, server, ca_file=trusted).phase is Phase.CERTIFICATE
    assert not server.requests


@pytest.mark.usefixtures("openssl")
def test_a_certificate_the_user_trusts_is_one_h21(name: str) -> None:
    server = fs.FaultServer(tls="self-signed")
    assert reply_to(name, server, ca_file=str(server.ca_file)).status == 200


@pytest.mark.usefixtures("openssl")
def test_a_broken_handshake_is_passing_h21(name: str) -> None:
    server = fs.FaultServer(connect=[fs.Connect("rst", 1)], tls="self-signed")
    assert failure_of(name, server, ca_file=str(server.ca_file)).phase in (Phase.TLS, Phase.CONNECT)


def test_a_port_without_tls_is_no_certificate_matter_h21(name: str) -> None:
    assert failure_of(name, fs.FaultServer(tls="plain")).phase in (Phase.TLS, Phase.CONNECT)


def test_a_port_nobody_listens_on_is_told_as_such(name: str) -> None:
    server = fs.FaultServer()
    with fs.refused() as base_url:
        asked = call(server, url=f"{base_url}/chat/completions")
        with pytest.raises(TransportError) as caught:
            converse(name, server, lambda sender: sender.send(asked))
    assert caught.value.phase is Phase.CONNECT


def test_a_name_that_does_not_resolve_is_told_and_passing_h20(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only_where_the_clock_jumps()  # uvloop does not ask Python's resolver
    server = fs.FaultServer()
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolver(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "endpoint.test":
            return real(host, *rest, **more)
        asked.append(host)
        if len(asked) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)

    async def session(sender: Transport) -> Reply:
        named = call(server, url=f"http://endpoint.test:{server.origin.rpartition(':')[2]}/v1/chat/completions")
        with pytest.raises(TransportError) as caught:
            await sender.send(named)
        assert caught.value.phase is Phase.DNS
        return await sender.send(named)

    assert converse(name, server, session).status == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxies_of_the_environment_are_not_used_h33(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(one, raising=False)
    with fs.run_in_thread(fs.Script()) as proxy:
        monkeypatch.setenv(variable, proxy.origin)
        server = fs.FaultServer()
        assert reply_to(name, server).status == 200
        assert not proxy.connections


def test_a_proxy_that_is_named_is_used_h33(name: str) -> None:
    with fs.run_in_thread(fs.Script()) as proxy:
        server = fs.FaultServer()
        assert reply_to(name, server, proxy=proxy.origin).status == 200
        assert not server.connections
        assert proxy.requests[0].path.startswith(server.origin)


@contextmanager
def tunnels(asked: list[bytes]) -> Iterator[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]]:
    """A proxy that opens tunnels and keeps the heads of those who asked for one."""
    ends: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        onward_reader, onward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends.extend(asyncio.create_task(pump(*pair)) for pair in ((reader, onward), (onward_reader, writer)))

    yield serve
    for task in ends:
        task.cancel()


@pytest.mark.usefixtures("openssl")
def test_an_encrypted_endpoint_is_reached_through_a_tunnel_h33(name: str) -> None:
    """The proxy hears the endpoint's name and its own password, never the key."""
    only_where_the_clock_jumps()
    asked: list[bytes] = []
    server = fs.FaultServer(tls="self-signed")

    async def main(serve: Any) -> int:
        proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        options = TransportOptions(BOUNDS, SMALL, 8, f"http://me:secret@127.0.0.1:{port}", str(server.ca_file))
        async with server, proxy, transport(name, options) as sender:
            return (await sender.send(call(server))).status

    with tunnels(asked) as serve:
        assert jumping.run(main(serve)) == 200
    assert len(asked) == len(server.connections) == 1
    assert asked[0].startswith(f"CONNECT {server.origin.removeprefix('https://')} HTTP/1.1".encode())
    assert b"Basic bWU6c2VjcmV0" in asked[0]
    assert KEY.encode() not in asked[0]


def test_netrc_is_not_read_x1(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the home folder must neither replace the key nor add another one."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    server = fs.FaultServer()
    reply_to(name, server)
    assert server.requests[0].headers["authorization"] == HEADERS["Authorization"]


# -- our own machine -------------------------------------------------------------------------------------------------


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
    spare: list[int] = []
    try:
        while True:
            spare.append(os.dup(0))
    except OSError:
        pass
    try:
        yield
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_few_descriptors_are_our_own_fault_h32(name: str) -> None:
    server = fs.FaultServer()

    async def session(sender: Transport) -> Reply:
        await asyncio.sleep(0)  # the server accepts before there are no descriptors for it either
        with no_more_descriptors(), pytest.raises(TransportError) as caught:
            await sender.send(call(server))
        assert caught.value.phase is Phase.LOCAL
        return await sender.send(call(server))

    assert converse(name, server, session).status == 200


# -- streams ---------------------------------------------------------------------------------------------------------


class Listener:
    """A feed that notes when which bytes came."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []

    def __call__(self, data: bytes) -> bool:
        self.pieces.append((asyncio.get_running_loop().time(), data))
        return b"data:" in data

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


def test_a_stream_is_fed_as_it_comes(name: str) -> None:
    events = fs.sse_events(["a", "b"])
    paused: list[bytes | fs.Pause] = [part for event in events for part in (event, fs.Pause(1.0))]
    listener = Listener()
    reply = reply_to(name, fs.FaultServer([replace(fs.sse([]), body=(b": hello\n\n", fs.Pause(1.0), *paused))]), listener)
    assert listener.data == reply.body == b": hello\n\n" + b"".join(events)
    assert listener.pieces[-1][0] - listener.pieces[0][0] >= len(events) - 1
    assert reply.ttft_s is not None
    assert 0.9 <= reply.ttft_s <= 2.0


def test_only_a_good_reply_is_fed(name: str) -> None:
    listener = Listener()
    reply = reply_to(name, fs.FaultServer([fs.error(500)]), listener)
    assert (reply.status, listener.pieces) == (500, [])


def test_a_stream_that_breaks_off_keeps_what_came_h27(name: str) -> None:
    listener = Listener()
    error = failure_of(name, fs.FaultServer([fs.cut(fs.sse(["Hello"]), 60, of="body")]), listener)
    assert error.phase is Phase.READ
    assert error.partial == listener.data
    assert len(error.partial) == 60
