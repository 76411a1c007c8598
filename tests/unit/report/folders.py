"""Output folders as a run leaves them, for pages to be made of."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchllm.errors import ErrorCode
from batchllm.journal.index import JobIndex
from batchllm.journal.manifest import Manifest
from batchllm.journal.storage import Storage
from batchllm.records import Record, failure_line, usage_json
from batchllm.reports.summary import Facts, summary
from batchllm.strictjson import dumps
from batchllm.tally import Tally
from batchllm.types import Json, Usage

SETTINGS = "00000001"
USED = Usage(100, 20, 120, 40, 5)


def answer(custom_id: str, text: str = "fine", *, line: int = 1, **facts: Any) -> Record:
    """An answered line."""
    return _record(custom_id, text, line, facts)


def failure(custom_id: str, message: str, *, code: ErrorCode = ErrorCode.SCHEMA_INVALID, line: int = 1, **facts: Any) -> Record:
    """A line that failed for good, with the answer that was rejected."""
    return _record(custom_id, "rejected", line, {"retryable": False, **facts}, code, message)


def _record(custom_id: str, text: str, line: int, more: Json, code: ErrorCode | None = None, message: str = "") -> Record:
    body = {"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    digest = f"{line:016x}" * 2
    facts: Json = {
        "line": line, "digest": digest, "settings": SETTINGS, "usage": usage_json(USED), "attempts": 1, "latency_s": 0.5,
        "ttft_s": 0.1, "cost_usd": 0.001, "provider": "p", **more,
    }  # fmt: skip
    return Record(line, custom_id, digest, 200, "req", dumps(body), code, message, facts=facts)


def note(code: str, kind: str, *, billed: str = "no", **more: Any) -> Json:
    """An attempt that did not become a record."""
    return {"custom_id": "a", "line": 1, "attempt": 1, "kind": kind, "code": code, "billed": billed, **more}


def folder(path: Path, *records: Record, notes: tuple[Json, ...] = (), job: Json | None = None, **more: Any) -> Path:
    """A folder with these records; `more` goes into its summary."""
    path.mkdir(parents=True, exist_ok=True)
    requests = len({one.custom_id for one in records})
    told = {"path": "jobs/job.jsonl", "bytes": 1, "sha256": "0", "requests": requests, "bad_lines": 0, **(job or {})}
    shaping = {"model": "m", "provider": "p", "endpoint": "http://127.0.0.1/v1"}
    Manifest(told, shaping, {}, (SETTINGS,), "0", "2026-01-01T00:00:00+00:00").write(Storage(), path)
    (path / "results.jsonl").write_bytes(b"".join(one.to_json() for one in records if one.ok))
    attempts = [dumps(one) + b"\n" for one in notes] + [failure_line(one) for one in records if not one.ok]
    (path / "attempts.jsonl").write_bytes(b"".join(attempts))
    facts = Facts("job.jsonl", str(path), "batchllm run job.jsonl", "p", "e", "m", None, simulated=False)
    said = summary(facts, JobIndex(), Tally(), 1.0, None, datetime(2026, 1, 1, tzinfo=UTC)) | more
    (path / "summary.json").write_bytes(dumps(said))
    return path
