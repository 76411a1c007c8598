"""A proxy before an object store: it refuses requests to order, loses answers, and knows the preconditions an emulator lacks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, quote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request, as the server behind gets it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answered:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Door(ThreadingHTTPServer):
    """`closed(method, path)` says which requests get a 503 instead; `loses` which are done and get no answer. The path of an
    upload that has its name in its body ends with it.

    `generations`: hold writes to `ifGenerationMatch`, as Google's service does and its emulator does not.
    """

    daemon_threads = True

    def __init__(self, behind: int, *, generations: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = behind
        self.generations = generations
        self.closed: Callable[[str, str], bool] = lambda method, path: False
        self.loses: Callable[[str, str], bool] = lambda method, path: False
        self.refused = 0
        self._one_write = Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error of the door's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def answer(self, asked: Asked) -> Answered:
        wanted = parse_qs(urlsplit(asked.path).query).get("ifGenerationMatch") if self.generations else None
        with self._one_write if wanted else nullcontext():
            if wanted and self._generation(asked) != wanted[0]:
                return Answered(412, [], b'{"error": {"code": 412, "message": "conditionNotMet"}}')
            return self._onward(asked)

    def _generation(self, asked: Asked) -> str:
        """Of the object that would be written over; 0 where there is none."""
        where = urlsplit(asked.path)
        bucket = where.path.split("/b/")[1].split("/")[0]
        name = parse_qs(where.query).get("name") or [_name_in(asked.body)]
        found = self._onward(Asked("GET", f"/storage/v1/b/{bucket}/o/{quote(name[0], safe='')}", {}, b""))
        return str(json.loads(found.body)["generation"]) if found.status == 200 else "0"

    def _onward(self, asked: Asked) -> Answered:
        onward = HTTPConnection("127.0.0.1", self.behind, timeout=20)
        try:
            onward.request(asked.method, asked.path, asked.body, asked.headers)
            reply = onward.getresponse()
            return Answered(reply.status, reply.getheaders(), reply.read())
        finally:
            onward.close()


def _name_in(upload: bytes) -> str:
    """The name in the first part of a multipart upload."""
    return str(json.loads(upload.split(b"\n\n", 1)[1].split(b"\n--", 1)[0])["name"])


class _Forward(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.path + (f"#{_name_in(body)}" if "uploadType=multipart" in self.path else "")
        if self.server.closed(self.command, target):
            self.server.refused += 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        done = self.server.answer(Asked(self.command, self.path, dict(self.headers), body))
        if self.server.loses(self.command, target):
            self.close_connection = True
            return
        self.send_response(done.status)
        length = str(len(done.body))
        for name, value in done.headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("connection", "keep-alive", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(done.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""
