"""What was paid: one line per answer that was sent whole, in a file that the client cannot touch."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .script import Request
from .steps import Step


@dataclass(frozen=True)
class Answer:
    """How answering a request ended. `complete`: every byte went out; `sent` counts those that did."""

    request: Request
    step: Step
    sent: int
    complete: bool
    at: float

    @property
    def paid(self) -> bool:
        """A whole 2xx answer."""
        return self.complete and 200 <= self.step.status < 300


class Ledger:
    """Answers in memory, and whole ones as JSON lines in a file, each by a single O_APPEND write."""

    def __init__(self, path: Path | None = None) -> None:
        self.answers: list[Answer] = []
        self._fd = -1
        if path is not None:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, request: Request, step: Step, sent: int, complete: bool) -> None:
        """Records an answer at the moment it ended."""
        answer = Answer(request, step, sent, complete, time.monotonic())
        self.answers.append(answer)
        if complete and self._fd >= 0:
            os.write(self._fd, _line(answer))

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The lines of a ledger file: text, status, paid, method, path, sha256 (of the body), where and when."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _line(answer: Answer) -> bytes:
    request = answer.request
    facts = {
        "text": request.text,
        "status": answer.step.status,
        "paid": answer.paid,
        "method": request.method,
        "path": request.path,
        "sha256": hashlib.sha256(request.body).hexdigest(),
        "connection": request.connection,
        "number": request.number,
        "at": answer.at,
    }
    return json.dumps(facts).encode() + b"\n"
