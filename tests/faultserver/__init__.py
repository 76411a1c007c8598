"""A raw-socket fault server for tests: any bytes, at any pace, ended in any way.

    script = Script.by_text({"doc-3": [error(429, None, ("Retry-After", "1")), ok_chat("three")]})
    async with FaultServer(script, ledger=tmp_path / "ledger.jsonl") as server:
        ...  # point the client at server.base_url
    assert len(server.calls) == 2 and min(server.gaps_s("doc-3")) >= 1

Steps are frozen data (`steps`, `builders`), scripts say which request gets which (`script`), `wire` turns a
step into bytes and pauses; `catalogue` holds every fault a server can cause, `bodies` recorded-style replies.
"""

from .builders import (
    OMIT,
    PAGE,
    USAGE,
    chat_body,
    chunk,
    drop,
    dumps,
    endless,
    error,
    error_body,
    gzip_bomb,
    gzipped,
    hang,
    html,
    huge_chat,
    json_reply,
    ok_chat,
    raw,
    redirect,
    sse,
    sse_events,
)
from .connection import Connection
from .gate import Gate
from .ledger import Answer, read_ledger
from .script import Reply, Request, Rule, Script, ScriptLike, always, echo, mentions, says
from .server import PLAIN_ON_TLS, FaultServer
from .steps import (
    Connect,
    Cut,
    Drip,
    Pause,
    Repeat,
    Step,
    as_parts,
    cut,
    delayed,
    drip,
    framed,
    interim,
    then,
    with_headers,
)
from .thread import refused, run_in_thread
from .tls import Tls, have_openssl
from .wire import fill, is_whole, program, wire_bytes

__all__ = [
    "OMIT",
    "PAGE",
    "PLAIN_ON_TLS",
    "USAGE",
    "Answer",
    "Connect",
    "Connection",
    "Cut",
    "Drip",
    "FaultServer",
    "Gate",
    "Pause",
    "Repeat",
    "Reply",
    "Request",
    "Rule",
    "Script",
    "ScriptLike",
    "Step",
    "Tls",
    "always",
    "as_parts",
    "chat_body",
    "chunk",
    "cut",
    "delayed",
    "drip",
    "drop",
    "dumps",
    "echo",
    "endless",
    "error",
    "error_body",
    "fill",
    "framed",
    "gzip_bomb",
    "gzipped",
    "hang",
    "have_openssl",
    "html",
    "huge_chat",
    "interim",
    "is_whole",
    "json_reply",
    "mentions",
    "ok_chat",
    "program",
    "raw",
    "read_ledger",
    "redirect",
    "refused",
    "run_in_thread",
    "says",
    "sse",
    "sse_events",
    "then",
    "wire_bytes",
    "with_headers",
]
