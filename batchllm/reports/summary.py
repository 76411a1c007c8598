"""`summary.json`: what a run came to, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.journal.index import JobIndex, State
from batchllm.records import usage_json
from batchllm.strictjson import loads
from batchllm.tally import Tally
from batchllm.types import Json


@dataclass(frozen=True, slots=True)
class Facts:
    """What the summary says of a run beside its numbers."""

    job: str
    output: str
    command: str
    provider: str
    endpoint: str
    model: str | None
    structured: str | None
    simulated: bool
    removed: int = 0
    beyond_limit: int = 0


def counts(index: JobIndex) -> dict[str, int]:
    """The lines of the job by where they stand; `completed + failed + pending` is `total`."""
    done = index.count(State.DONE)
    failed = index.count(State.FAILED, State.INVALID)
    pending = index.count(State.PENDING, State.RETRY)
    return {"total": done + failed + pending, "completed": done, "failed": failed, "pending": pending,
            "invalid_lines": index.count(State.INVALID)}  # fmt: skip


def exit_code(ending: JobError | None, request_counts: dict[str, int]) -> ExitCode:
    if ending is not None:
        return ending.exit_code
    if request_counts["pending"]:
        return ExitCode.TRY_LATER
    return ExitCode.SOME_FAILED if request_counts["failed"] else ExitCode.OK


def summary(facts: Facts, index: JobIndex, tally: Tally, wall_s: float, ending: JobError | None, now: datetime) -> Json:
    """The whole of `summary.json`. `usage` covers every billed attempt of every run into this folder."""
    request_counts = counts(index)
    code = exit_code(ending, request_counts)
    resume = None
    if ending is not None and ending.resume_after_s:
        resume = (now.astimezone(UTC) + timedelta(seconds=ending.resume_after_s)).isoformat(timespec="seconds")
    return {
        "job": facts.job,
        "output": facts.output,
        "provider": facts.provider,
        "endpoint": facts.endpoint,
        "model": facts.model,
        "structured": facts.structured,
        "simulated": facts.simulated,
        "request_counts": request_counts,
        "this_run": {"completed": tally.done, "failed": tally.failed, "skipped": tally.skipped},
        "removed_lines": facts.removed,
        "beyond_limit": facts.beyond_limit,
        "duplicates": tally.duplicates,
        "usage": usage_json(tally.usage),
        "cached_share": tally.cached_share,
        "rejected_usage": usage_json(tally.rejected_usage),
        "cost_usd": round(tally.cost_usd, 6) if tally.cost_known else None,
        "cost": {"known_usd": round(tally.cost_usd, 6), "rejected_usd": round(tally.rejected_cost_usd, 6),
                 "unseen_at_most_usd": round(tally.at_most_usd, 6), "unseen_at_most_tokens": tally.at_most_tokens},
        "failures": {
            code: {"count": group.count, "example_line": group.example_line, "example_custom_id": group.example_custom_id,
                   "message": group.message}
            for code, group in sorted(tally.failures.items(), key=lambda one: -one[1].count)
        },
        "fields_invalid": dict(tally.fields_invalid.most_common(20)),
        "models": dict(tally.models.most_common(20)),
        **tally.as_json(wall_s),
        "ended": {
            "exit_code": int(code),
            "reason": str(ending) if ending is not None else _reason(code),
            "at": now.astimezone(UTC).isoformat(timespec="seconds"),
            "resume_after": resume,
            "command": facts.command,
        },
    }  # fmt: skip


def earlier_series(folder: Path) -> Any:
    """`series` of the summary that an earlier run left; None where there is none to be read."""
    try:
        return loads((folder / "summary.json").read_bytes()).get("series")
    except (OSError, ValueError, AttributeError):
        return None


def live_rate(folder: Path) -> float | None:
    """Lines a second of the live requests of an earlier run into the folder; None where none is known."""
    try:
        found = loads((folder / "summary.json").read_bytes())
        lanes = found.get("lanes")
        rate = found["requests_per_s"] if lanes is None else lanes["live"]["lines_per_s"]
        return float(rate) or None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def _reason(code: ExitCode) -> str:
    return {
        ExitCode.OK: "every line is answered",
        ExitCode.SOME_FAILED: "finished; some lines failed for good",
    }.get(code, "some lines are still pending")
