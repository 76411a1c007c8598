"""What the log says of an attempt: what became of it, never what was asked or answered."""

from __future__ import annotations

import pytest

from batchllm.errors import ErrorCode
from batchllm.records import Record
from batchllm.types import Json
from batchllm.watching.log import noted, recorded

NOTE: Json = {
    "line": 17, "attempt": 2, "status": 429, "code": "rate_limited", "latency_s": 0.25, "billed": "no", "wait_s": 3.0,
    "message": "slow down", "body": "secret",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "line 17, attempt 2: 429 rate_limited after 0.250 s, billed: no, again in 3.0 s: slow down"),
        ({"status": 0, "code": "timeout", "wait_s": 0.0, "billed": "maybe"},
         "line 17, attempt 2: timeout after 0.250 s, billed: maybe: slow down"),
        ({"latency_s": None}, "line 17, attempt 2: 429 rate_limited, billed: no, again in 3.0 s: slow down"),
        ({"turn": 3}, "line 17, turn 3: answered"),
    ],
)  # fmt: skip
def test_an_attempt_without_an_answer_is_told_in_a_line(change: Json, said: str) -> None:
    assert noted({**NOTE, **change}) == said


@pytest.mark.parametrize(
    ("code", "message", "tokens", "said"),
    [
        (None, "", 100, "line 3, attempt 1: 200 answered after 1.830 s, 100 tokens"),
        (None, "", None, "line 3, attempt 1: 200 answered after 1.830 s, tokens unknown"),
        (ErrorCode.TRUNCATED, "cut off", 9, "line 3, attempt 1: 200 truncated after 1.830 s, 9 tokens: cut off"),
    ],
)
def test_a_record_is_told_without_its_content(code: ErrorCode | None, message: str, tokens: int | None, said: str) -> None:
    facts: Json = {"attempts": 1, "latency_s": 1.83, "usage": {"total_tokens": tokens}}
    assert recorded(Record(3, "c", "d", 200, None, b'{"secret":1}', code, message, "secret", facts=facts)) == said
