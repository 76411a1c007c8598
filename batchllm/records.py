"""The lines of `results.jsonl`, `errors.jsonl` and `attempts.jsonl`: what one line of the job came to, in bytes."""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from batchllm.billing import Charge, Worst
from batchllm.errors import ErrorCode
from batchllm.strictjson import dumps, loads
from batchllm.types import NO_USAGE, Json, Usage, Verdict, value

TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


@value
class Record:
    """What one line of the job came to: the OpenAI Batch API's output line, our own facts under `batchllm`.

    `reply` is the reply's body as it came, one line of JSON (None if there was none); `text` the answer without
    its reasoning; `parsed` the validated object where a schema was asked for.
    """

    line: int
    custom_id: str
    digest: str
    status_code: int = 0
    request_id: str | None = None
    reply: bytes | None = field(default=None, repr=False)
    code: ErrorCode | None = None
    message: str = ""
    text: str | None = None
    parsed: Any = None
    usage: Usage = NO_USAGE
    facts: Json = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        return self.code is None

    @property
    def error(self) -> dict[str, str] | None:
        return None if self.code is None else {"code": str(self.code), "message": self.message}

    @property
    def body(self) -> Any:
        """The reply's body, parsed; None if there was none."""
        return None if self.reply is None else loads(self.reply)

    def to_json(self) -> bytes:
        """One line of strict JSON, with its line feed."""
        response = None
        if self.reply is not None or self.status_code:
            body = None if self.reply is None else orjson.Fragment(self.reply)
            response = {"status_code": self.status_code, "request_id": self.request_id, "body": body}
        return (
            dumps(
                {
                    "id": record_id(self.custom_id, self.digest),
                    "custom_id": self.custom_id,
                    "response": response,
                    "error": self.error,
                    "batchllm": self.facts,
                }
            )
            + b"\n"
        )


def failure_line(record: Record) -> bytes:
    """A failed line's record as it stands in `attempts.jsonl`, from which `errors.jsonl` is made."""
    inner = orjson.Fragment(record.to_json()[:-1])
    return dumps({"custom_id": record.custom_id, "line": record.line, "record": inner}) + b"\n"


def attempt_note(record: Record, charge: Charge, verdict: Verdict) -> Json:
    """The line of `attempts.jsonl` for a whole reply that is not the line's record, though it might have been."""
    note: Json = {
        "custom_id": record.custom_id,
        "line": record.line,
        "attempt": record.facts["attempts"],
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "kind": str(verdict.kind),
        "code": None if verdict.code is None else str(verdict.code),
        "message": verdict.message,
        "status": record.status_code,
        "wait_s": 0.0,
        "billed": charge.billed,
        "usage": None if charge.usage is None else usage_json(charge.usage),
        "cost_usd": charge.cost_usd,
        "latency_s": record.facts["latency_s"],
    }
    if charge.worst is not None:
        note["at_most"] = worst_json(charge.worst)
    if record.reply is not None and charge.billed != "no":
        note["body"] = orjson.Fragment(record.reply)
    return note


def record_id(custom_id: str, digest: str) -> str:
    """The same id for the same line with the same content, so that a repeated record shows as one."""
    text = f"{custom_id}\0{digest}".encode("utf-8", "surrogatepass")
    return "batch_req_" + blake2b(text, digest_size=12).hexdigest()


def usage_json(usage: Usage) -> Json:
    """Token counts as they stand in a record; null is "the provider did not say"."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def worst_json(worst: Worst) -> Json:
    """`at_most` of an attempt of which nobody told what it was billed: the most it may have used and cost."""
    return {"tokens": None if worst.tokens is None else int(worst.tokens), "usd": worst.usd}


def usage_from(value: Any) -> Usage:
    """The `usage` of a record read back; anything but counts is unknown."""
    if not isinstance(value, dict):
        return NO_USAGE
    return Usage(*[count if type(count) is int and count >= 0 else None for count in map(value.get, TOKENS)])
