"""Words for the person at the terminal: foreign text made harmless, output that may fail without stopping a run."""

from __future__ import annotations

import logging
import re
import sys
from threading import Thread
from typing import Any

from batchllm.redaction import Redactor

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def harmless(text: str) -> str:
    """Foreign text without control, escape and direction characters, each shown as its code (CWE-150)."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def say(text: str, stream: Any = None) -> None:
    """Print one line to stderr (or `stream`), whatever is in it; a closed or broken terminal does not stop a run."""
    try:
        print(harmless(text).replace("\n", "\\n"), file=stream or sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def say_aside(text: str) -> None:
    """The same without waiting for a terminal that takes no more."""
    Thread(target=say, args=(text,), name="batchllm-say", daemon=True).start()


class CleanFormatter(logging.Formatter):
    """Log lines without the key and without control characters, also where a library logs what a server said."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return harmless(self._redactor.text(super().format(record)))
