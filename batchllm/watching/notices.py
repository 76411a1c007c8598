"""Those who are told how a run ended over HTTP: a webhook (Slack and its like) and a health check."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from batchllm.strictjson import dumps
from batchllm.terminal import say
from batchllm.types import Json
from batchllm.watching import words
from batchllm.watching.posting import BOUND_S, Sender

if TYPE_CHECKING:
    from batchllm.pipeline import Run
    from batchllm.steps import Asked, Done, Finished

JSON, PLAIN = "application/json", "text/plain; charset=utf-8"


class Webhook:
    """Posts the end of a run as JSON: `{"text": …, "batchllm": {…}}`."""

    def __init__(self, url: str, sender: Sender) -> None:
        self._url, self._sender = url, sender

    def started(self, run: Run) -> None:
        """Nobody is told of a start."""

    def step(self, came: Done | Json, item: Asked) -> None:
        """Nor of what comes between."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """Nor of answers."""

    def finished(self, summary: Json, code: int) -> None:
        problem = self._sender.post(self._url, dumps(words.slack(summary, code)), JSON)
        if problem is not None:
            say(f"  note: the webhook was not told how the run ended: {problem}")


class HealthCheck:
    """Pings as healthchecks.io reads it: URL/start at the start, URL itself after exit 0, URL/CODE after any other."""

    def __init__(self, url: str, sender: Sender) -> None:
        self._url, self._sender = url, sender
        self._starting: threading.Thread | None = None

    def started(self, run: Run) -> None:
        self._starting = self._sender.later(ping_url(self._url, "start"), b"", PLAIN, lambda problem: _say("start", problem))

    def step(self, came: Done | Json, item: Asked) -> None:
        """What comes between is no news."""

    def answered(self, answers: Sequence[Finished]) -> None:
        """Nor is an answer."""

    def finished(self, summary: Json, code: int) -> None:
        if self._starting is not None:
            self._starting.join(BOUND_S)  # or it would come in behind the end, and the check would wait for ever
        text = words.text(summary, code).encode("utf-8", "replace")
        problem = self._sender.post(ping_url(self._url, str(code) if code else ""), text, PLAIN)
        if problem is not None:
            _say("end", problem)


def ping_url(url: str, what: str) -> str:
    """The URL with one more step of its path, before its query."""
    if not what:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{what}"))


def _say(what: str, problem: str) -> None:
    say(f"  note: the health check was not told of the {what}: {problem}")
