"""The servers all peers are measured against: nginx with one fixed answer, also over TLS; and one of our own that answers late.

nginx is an ordinary process with its configuration in a temporary folder. The answer is a chat completion whose text is a JSON
object, so that tools that parse it are measured too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instant_server import COMPLETION
from benchmarks.processes import ROOT, environment

ANSWER = {"item": "oak shelf", "count": 3, "price": 149.0, "note": "to the workshop in Lindau by the 14th of March, order 4711"}
CHUNK = 12
"""Letters of the answer in each event of a stream."""
LARGE = 20_000
"""Bytes that the answer's note has, where bodies are large."""
PIECE = 4000
"""nginx takes no word of its configuration that is longer than 4,096 bytes."""
REFUSED = "5%"
_MARK = "LARGE-NOTE"


@dataclass(frozen=True, slots=True)
class Base:
    """The base URLs of a neutral server: what stands before `/chat/completions`."""

    plain: str
    tls: str
    certificate: Path

    def url(self, path: str, *, tls: bool) -> str:
        return f"{self.tls if tls else self.plain}{path}/v1"


def completion(note: str | None = None) -> str:
    content = json.dumps(ANSWER if note is None else {**ANSWER, "note": note})
    choice = {**COMPLETION["choices"][0], "message": {"role": "assistant", "content": content, "refusal": None}}  # type: ignore[index]
    return json.dumps({**COMPLETION, "choices": [choice]})


def stream() -> str:
    """The same answer in events, the usage in the last."""
    content = json.dumps(ANSWER)
    head = {"id": COMPLETION["id"], "object": "chat.completion.chunk", "created": COMPLETION["created"], "model": "instant"}
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": content[at : at + CHUNK]} for at in range(0, len(content), CHUNK)]
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**head, "choices": [], "usage": COMPLETION["usage"]})
    return "".join(f"data: {json.dumps(event, separators=(',', ':'))}\n\n" for event in events) + "data: [DONE]\n\n"


def configuration(folder: Path, port: int, tls_port: int) -> str:
    """nginx's own: five answers at five paths, on a plain and a TLS port."""
    text, words = completion(), ""
    large = completion(_MARK).replace(_MARK, "$piece" * (LARGE // PIECE))
    events = stream()
    for at in range(0, len(events), PIECE - 500):
        words += f"    set $event{at} {_quoted(events[at : at + PIECE - 500])};\n"
    parts = "".join(f"$event{at}" for at in range(0, len(events), PIECE - 500))
    refusal = '{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
    temporary = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 9000; }}
http {{
{temporary}  access_log off; keepalive_requests 100000000; keepalive_timeout 75; client_max_body_size 8m; client_body_buffer_size 64k;
  split_clients "$request_id" $refused {{ {REFUSED} 1; * 0; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    default_type application/json;
    set $piece {_quoted("x" * PIECE)};
{words}    location = /v1/chat/completions {{ return 200 {_quoted(text)}; }}
    location = /large/v1/chat/completions {{ return 200 {_quoted(large)}; }}
    location = /stream/v1/chat/completions {{ default_type text/event-stream; return 200 "{parts}"; }}
    location = /refusals/v1/chat/completions {{
      if ($refused) {{ add_header Retry-After 1 always; return 429 {_quoted(refusal)}; }}
      return 200 {_quoted(text)};
    }}
  }}
}}
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextmanager
def nginx(program: str, folder: Path) -> Iterator[Base]:
    """A neutral server that lives as long as the block. Raises RuntimeError with its last words where it does not come up."""
    port, tls_port = _free_port(), _free_port()
    certificate = _certificate(folder)
    (folder / "nginx.conf").write_text(configuration(folder, port, tls_port), encoding="utf-8")
    with (folder / "nginx.log").open("w+b") as log:
        child = subprocess.Popen(
            [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            _up(child, port, folder / "nginx.log")
            yield Base(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", certificate)
        finally:
            child.terminate()
            child.wait(10)


def _up(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"nginx ended with {child.returncode}: {log.read_text()[-500:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nginx did not come up: {log.read_text()[-500:]}")


def _certificate(folder: Path) -> Path:
    """A certificate of our own for 127.0.0.1, which is its own authority."""
    path = folder / "certificate.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names]
    subprocess.run(
        [*command, "-keyout", str(folder / "key.pem"), "-out", str(path)], check=True, capture_output=True, timeout=60
    )
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def late_server(latency_ms: float) -> Iterator[str]:
    """The base URL of a server that answers everything after so long, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers.late_server", str(latency_ms)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def trusting(base: Base) -> dict[str, str]:
    """The variables that make a client trust the certificate, each client its own."""
    path = str(base.certificate)
    return {**os.environ, "SSL_CERT_FILE": path, "REQUESTS_CA_BUNDLE": path, "BATCHLLM_CA_FILE": path}
