"""`--log-level`: at `info` a line for each attempt that brought no answer, at `debug` one for every attempt.

Never what was asked or answered, only what became of it. At any other level nobody looks on, so that nothing is paid for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from batchllm.records import Record
from batchllm.steps import Asked, Done
from batchllm.types import Json

if TYPE_CHECKING:
    from batchllm.pipeline import Run

LOGGER = logging.getLogger("batchllm.attempts")


class Log:
    def started(self, run: Run) -> None:
        settings, facts = run.parts.settings, run.parts.facts
        LOGGER.info("%s: %d lines to ask of %s, concurrency %s", facts.job, run.pending, facts.endpoint, settings.concurrency)

    def step(self, came: Done | Json, item: Asked) -> None:
        if not isinstance(came, Done):
            LOGGER.info("%s", noted(came))
            return
        for record in came.records:
            LOGGER.log(logging.DEBUG if record.ok else logging.INFO, "%s", recorded(record))

    def finished(self, summary: Json, code: int) -> None:
        LOGGER.info("ended with %d: %s", code, summary["ended"].get("reason", ""))


def noted(note: Json) -> str:
    """One attempt that brought no answer, in a line: `line 17, attempt 2: 429 rate_limited, again in 3.0 s: slow down`."""
    if "turn" in note:
        return f"line {note['line']}, turn {note['turn']}: answered"
    wait = f", again in {note['wait_s']:.1f} s" if note["wait_s"] else ""
    took = "" if note["latency_s"] is None else f" after {note['latency_s']:.3f} s"
    status = f"{note['status']} " if note["status"] else ""
    return f"line {note['line']}, attempt {note['attempt']}: {status}{note['code']}{took}, billed: {note['billed']}{wait}: {note['message']}"


def recorded(record: Record) -> str:
    """A line's end: `line 17, attempt 3: 200 answered after 1.830 s, 100 tokens`."""
    facts = record.facts
    tokens = facts["usage"]["total_tokens"]
    counted = "tokens unknown" if tokens is None else f"{tokens} tokens"
    what = "answered" if record.ok else str(record.code)
    said = "" if record.ok else f": {record.message}"
    return f"line {record.line}, attempt {facts['attempts']}: {record.status_code} {what} after {facts['latency_s']:.3f} s, {counted}{said}"
