"""A line of the job as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from batchllm.export.rows import answer_of
from batchllm.journal.soundness import parsed
from batchllm.strictjson import dumps
from batchllm.types import Json

CLIP = 4000
"""Characters kept of one text."""


@dataclass(slots=True)
class Row:
    """One line of the job with its outcome; texts are clipped. `code` is None where it is answered."""

    line: int
    custom_id: str
    answer: str = ""
    prompt: str = ""
    reasoning: str = ""
    code: str | None = None
    message: str = ""
    model: str | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    attempts: int | None = None


def answered_row(custom_id: str, facts: Json, raw: bytes) -> Row:
    try:
        return row_of(parsed(raw))
    except (ValueError, KeyError, TypeError):
        return _row(custom_id, facts, None)


def row_of(record: Json) -> Row:
    """The row of an answer's whole record."""
    response = record["response"]
    return _row(record["custom_id"], record["batchllm"], response.get("body") if isinstance(response, dict) else None)


def failed_row(custom_id: str, record: Json) -> Row:
    error, response = record.get("error"), record.get("response")
    row = _row(custom_id, record.get("batchllm") or {}, response.get("body") if isinstance(response, dict) else None)
    said = error if isinstance(error, dict) else {}
    row.code, row.message = str(said.get("code")), str(said.get("message"))[:CLIP]
    return row


def _row(custom_id: str, facts: Json, body: Any) -> Row:
    text, _, model, reasoning = answer_of(body)
    parsed_answer = facts.get("parsed")
    answer = _indented(parsed_answer) if parsed_answer is not None else text or ""
    thought = facts.get("reasoning") or reasoning
    return Row(
        whole(facts.get("line")), custom_id, answer[:CLIP], reasoning=thought[:CLIP] if isinstance(thought, str) else "",
        model=str(facts.get("model") or model or "") or None, tokens=tokens(facts.get("usage")),
        cost_usd=number(facts.get("cost_usd")), latency_s=number(facts.get("latency_s")), attempts=whole(facts.get("attempts")),
    )  # fmt: skip


def _indented(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # half a surrogate pair
        return dumps(value).decode()


def tokens(usage: Any) -> int | None:
    if not isinstance(usage, dict):
        return None
    told = [count for name in ("prompt_tokens", "completion_tokens") if type(count := usage.get(name)) is int]
    return sum(told) if told else None


def whole(value: Any) -> int:
    return value if type(value) is int else 0


def number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None
