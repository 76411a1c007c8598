"""A run as a watcher sees it, without a network: records, notes, and the few facts that are asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from batchllm.billing import Charge
from batchllm.errors import ErrorCode
from batchllm.records import Record
from batchllm.steps import Done
from batchllm.types import Json, Request, Usage

BODY: Json = {"model": "m", "messages": [{"role": "user", "content": "a secret prompt"}], "temperature": 0.5, "max_tokens": 9}
REPLY = b'{"id":"chatcmpl-1","model":"m-2026","choices":[{"finish_reason":"stop","message":{"content":"an answer"}}]}'


@dataclass
class Asked:
    """What a watcher reads of an item."""

    request: Request = field(default_factory=lambda: Request(7, "doc-7", "/v1/chat/completions", BODY, "d" * 32))
    last: Charge = field(default_factory=lambda: Charge("yes", Usage(80, 20, 100, 32, 8), 0.01))
    body: Json = field(default_factory=lambda: BODY)


def done(code: ErrorCode | None = None, line: int = 7, latency_s: float = 1.5, message: str = "") -> Done:
    facts: Json = {"line": line, "attempts": 2, "latency_s": latency_s, "ttft_s": None, "cost_usd": 0.01}
    return Done(Record(line, f"doc-{line}", "d" * 32, 200, "r", REPLY, code, message, "an answer", facts=facts))


def note(code: str = "rate_limited", message: str = "slow down") -> Json:
    return {"custom_id": "doc-7", "line": 7, "attempt": 1, "code": code, "kind": "refused", "message": message, "status": 429,
            "wait_s": 2.0, "latency_s": 0.2}  # fmt: skip


def run_at(base_url: str = "https://api.example.com/v1", provider: str = "openai") -> Any:
    """The part of a `Run` that says where requests go."""
    route = SimpleNamespace(base_url=base_url, provider=SimpleNamespace(name=provider))
    return SimpleNamespace(parts=SimpleNamespace(route=route))


def summary(**more: Any) -> Json:
    """A summary as a run leaves it, with what is of interest here."""
    return {
        "job": "jobs/extract.jsonl",
        "output": "outputs/extract",
        "provider": "openai",
        "model": "m",
        "simulated": False,
        "request_counts": {"total": 1200, "completed": 1190, "failed": 10, "pending": 0, "invalid_lines": 0},
        "this_run": {"completed": 1190, "failed": 10, "skipped": 0},
        "usage": {"prompt_tokens": 800, "completion_tokens": 200, "total_tokens": 1000},
        "cost_usd": 0.5312,
        "failures": {"refusal": {"count": 10, "example_line": 3, "message": "I cannot tell you about a secret prompt"}},
        "retries": {"rate_limited": 3},
        "latency_s": {"p50": 1.0, "p90": 2.0, "p99": 3.0},
        "wall_s": 61.5,
        "series": [{"t": [0]}],
        "ended": {"exit_code": 1, "reason": "finished; some lines failed for good", "at": "2026-01-01T00:00:00+00:00",
                  "resume_after": None, "command": "batchllm run jobs/extract.jsonl"},
        **more,
    }  # fmt: skip
