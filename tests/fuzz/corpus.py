"""Input as it really comes: recorded replies and streams, every body of the fault catalogue, job lines, headers, answers."""

from __future__ import annotations

import json
from functools import cache

from tests.faultserver import Step
from tests.faultserver.bodies import BODIES, STREAMS
from tests.faultserver.catalogue import CATALOGUE

LONGEST = 1 << 14
"""Larger bodies of the catalogue are about size, which has tests of its own."""

ASKED = {"role": "user", "content": "x"}
SCHEMA = {"name": "n", "schema": {"type": "object"}}
LINES = (
    {"custom_id": "a", "prompt": "say it", "system": "be short", "temperature": 0.2, "metadata": {"row": 7}},
    {"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [ASKED]}},
    {"messages": [{**ASKED, "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "c.png"}}]}]},
    {"custom_id": "c", "turns": ["one", "two"], "history": {"keep": 2}, "max_tokens": 5},
    {"custom_id": "d", "url": "/v1/embeddings", "input": ["a", "b"], "model": "e"},
    {"custom_id": "e", "prompt": "x", "response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    {"custom_id": "f", "url": "/v1/responses", "input": "x", "stream": True, "tools": [{"type": "function", "name": "f"}]},
)  # fmt: skip

WAITS = (
    "120", "0", "-1", "1e20", "nan", "inf", "１２", "12ms", "6m0s", "1h2m3.5s", "Wed, 21 Oct 2099 07:28:00 GMT",
    "2099-01-01T00:00:00Z", "1999999999", "1999999999000", "Please try again in 11.955s.", "Retry after 37 seconds",
    "resets at 2099-01-01 00:00 UTC", "请在 3 分钟后重试",
)  # fmt: skip

ANSWERS = (
    '{"a": 1}', '```json\n{"a": "`", "b": [1, 2]}\n```', 'Sure! {"a": {"b": [null, true]}} as asked [1].',
    "<think>\n{x}\n</think>\n[1, 2, 3]", '{"a": NaN}', '{"a": 1, "a": 2}', '~~~\n[{"x": "\\ud800"}]\n~~~', '{"cut": "of',
    "x" * 50 + "[" * 50, '{"n": 123456789012345678901234567890}',
)  # fmt: skip


@cache
def replies() -> tuple[bytes, ...]:
    found = [body.raw for body in BODIES.values()]
    for fault in CATALOGUE:
        for step in fault.steps:
            if isinstance(step, Step):
                found.append(b"".join(part for part in step.body if isinstance(part, bytes)))
    return tuple(sorted({one for one in found if one and len(one) <= LONGEST}))


@cache
def streams() -> tuple[bytes, ...]:
    return tuple(stream.raw for stream in STREAMS.values())


@cache
def lines() -> tuple[bytes, ...]:
    return tuple(json.dumps(one, ensure_ascii=False).encode() for one in LINES)


def texts(values: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(value.encode() for value in values)


@cache
def everything() -> tuple[bytes, ...]:
    return (*replies(), *streams(), *lines(), *texts(WAITS), *texts(ANSWERS))
