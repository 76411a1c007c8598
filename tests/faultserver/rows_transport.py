"""Rows H14 to H26: replies that are no answer, broken connections, silence, other hosts, endless bodies."""

from __future__ import annotations

from dataclasses import replace

from .builders import (
    chat_body,
    chunk,
    drop,
    dumps,
    endless,
    error_body,
    gzip_bomb,
    hang,
    html,
    huge_chat,
    json_reply,
    ok_chat,
    redirect,
    sse,
)
from .expect import (
    ONCE,
    ONE_BY_ONE,
    RETRIED,
    STREAM,
    TOLD,
    Expect,
    Fault,
    refused_for_good,
)
from .script import echo
from .steps import Connect, Pause, Repeat, Step, cut, drip, framed, then

CHAT = ok_chat("The whole answer.")
BRIEF = {"timeout_s": 0.5}
UNAVAILABLE = Expect("connection", exits=(69,), pending=True, requests=(0, 0))
AT_FAULT = Expect("invalid_request")
SMALL = {"max_response_bytes": 1 << 20}
SWOLLEN = Expect("ok", ("bad_response",), (1, 2), memory_mb=100)


def _no_answers() -> list[Fault]:
    busy = json_reply(error_body("Provider returned error", 502, metadata={"provider_name": "X"}))
    vllm = {"object": "error", "message": "max_tokens is too large", "type": "BadRequestError", "code": 400}
    limited = json_reply(error_body("Rate limit exceeded", 429))
    broke = json_reply(error_body("Insufficient credits", 402))
    down = Expect("bad_response", requests=(5, 200), exits=(69,), slow=True)  # lines asked six times are failed
    plain = replace(CHAT, headers=(("Content-Type", "text/plain"),))
    return [
        Fault("H14", "200 with an error object: a server's fault", (busy,), RETRIED),
        Fault("H14", "200 with an error object: asked too often", (limited,), TOLD, "429"),
        Fault("H14", "200 with an error as text", (json_reply({"error": "overloaded"}),), RETRIED, "text"),
        Fault("H14", "200 with an error at the top level", (json_reply(vllm),), AT_FAULT, "400"),
        refused_for_good("H14", "402", "200 with an error object: out of credit", broke),
        Fault("H15", "200 with a web page", (html(),), RETRIED),
        Fault("H15", "JSON served as text/plain is an answer", (plain,), ONCE, "text-plain"),
        Fault("H15", "a login page for everyone", (), down, "for-ever", html(), items=40, needs=ONE_BY_ONE),
    ]


def _cut_bodies() -> list[Fault]:
    chunked, closed = framed(CHAT, "chunked"), framed(CHAT, "close")
    short = framed(CHAT, "length", 40)
    salvaged = Expect(content="The whole answer.")
    return [
        Fault("H16", "Content-Length, then too few bytes", (cut(CHAT, 50, of="body"),), RETRIED),
        Fault("H16", "the same with RST", (cut(CHAT, 50, "rst", "body"),), RETRIED, "rst"),
        Fault("H16", "chunked without an end", (cut(chunked, 50, of="body"),), RETRIED, "chunked"),
        Fault("H16", "Content-Length cuts the answer", (then(short, "fin"),), RETRIED, "length-short"),
        Fault(
            "H16",
            "too large a Content-Length, all of the answer",
            (then(framed(CHAT, "length", 9999), "fin"),),
            salvaged,
            "salvage",
        ),
        Fault(
            "H16",
            "no last chunk, all of the answer",
            (cut(chunked, 9999, of="body"),),
            salvaged,
            "salvage-chunked",
        ),
        Fault("H17", "closed early, and nothing says so", (cut(closed, 50, of="body"),), RETRIED),
        Fault("H17", "closed before the first byte of the body", (cut(closed, 0, of="body"),), RETRIED, "empty"),
        Fault(
            "H18",
            "a reused connection ends unanswered",
            (echo, drop()),
            Expect(requests=(3, 3)),
            items=2,
            needs=ONE_BY_ONE,
        ),
        Fault(
            "H18",
            "an idle connection is closed",
            (then(CHAT, "fin"),),
            Expect(requests=(2, 2)),
            "idle",
            items=2,
            needs=ONE_BY_ONE,
        ),
        Fault("H19", "reset before the first byte", (drop("rst"),), RETRIED),
        Fault("H19", "reset within the head", (cut(CHAT, 20, "rst"),), RETRIED, "head"),
        Fault("H19", "reset while the request is sent", (), ONCE, "request", connect=(Connect("rst", 30),)),
    ]


def _tls_and_time() -> list[Fault]:
    slow = replace(UNAVAILABLE, slow=True)
    white = Step(body=(Repeat(b"\n"),), framing="chunked", body_drip=drip(CHAT, 1, 0.05).body_drip)
    alive = replace(sse([]), body=(Repeat(b": keep-alive\n\n"),), body_drip=drip(CHAT, 14, 0.05).body_drip)
    half = replace(CHAT, body=(dumps(chat_body())[:30], Pause()), length=200)
    return [
        Fault(
            "H21",
            "reset within the handshake",
            (),
            ONCE,
            connect=(Connect("rst", 1),),
            tls="self-signed",
            needs={"trust": True},
        ),
        Fault("H21", "a certificate nobody signed", (), UNAVAILABLE, "self-signed", tls="self-signed"),
        Fault(
            "H21",
            "a certificate of another host",
            (),
            UNAVAILABLE,
            "other-host",
            tls="other-host",
            needs={"trust": True},
        ),
        Fault("H21", "no TLS on the port", (), slow, "plain", tls="plain"),
        Fault("H22", "never answers", (hang(),), RETRIED, needs=BRIEF),
        Fault("H22", "silent after the head", (half,), RETRIED, "body", needs=BRIEF),
        Fault("H22", "never reads", (), ONCE, "connection", connect=(Connect("hang"),), needs=BRIEF),
        Fault(
            "H22",
            "a handshake without end",
            (),
            ONCE,
            "handshake",
            connect=(Connect("hang"),),
            tls="self-signed",
            needs={**BRIEF, "trust": True},
        ),
        Fault("H23", "one byte at a time", (drip(CHAT, 1, 0.05, "body"),), RETRIED, needs=BRIEF),
        Fault("H23", "the head one byte at a time", (drip(CHAT, 1, 0.05, "head"),), RETRIED, "head", needs=BRIEF),
        Fault("H23", "only white space", (white,), RETRIED, "blank", needs={"idle_s": 0.5}),
        Fault(
            "H23",
            "only keep-alive comments",
            (alive,),
            RETRIED,
            "comments",
            body=STREAM,
            needs={"idle_s": 0.5},
        ),
    ]


def _elsewhere_and_size() -> list[Fault]:
    led = Expect("connection", ("bad_response", "not_found"), (1, 3), (69,), pending=True, flags=("localhost",))
    page = framed(replace(gzip_bomb(512), headers=(("Content-Encoding", "gzip"),)), "close")
    flood = replace(sse([]), body=(Repeat(b"data: " + dumps(chunk({"content": "x" * 9000})) + b"\n\n"),))
    return [
        *(
            Fault(
                "H24",
                f"{code} to another host, which must hear nothing",
                (),
                led,
                str(code),
                redirect(code),
                items=6,
                needs=ONE_BY_ONE,
            )
            for code in (301, 302, 303, 307, 308)
        ),
        Fault("H25", "a gzip bomb", (gzip_bomb(512),), SWOLLEN, needs=SMALL),
        Fault("H25", "a gzip bomb, closed at its end", (page,), SWOLLEN, "close", needs=SMALL),
        Fault("H26", "a body without end", (endless(),), SWOLLEN, needs=SMALL),
        Fault("H26", "an answer too large", (huge_chat(256),), SWOLLEN, "huge", needs=SMALL),
        Fault("H26", "a stream without end", (flood,), SWOLLEN, "stream", body=STREAM, needs=SMALL),
    ]


TRANSPORT: tuple[Fault, ...] = (*_no_answers(), *_cut_bodies(), *_tls_and_time(), *_elsewhere_and_size())
