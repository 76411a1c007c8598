"""Where a run stands, told from its folder alone, also while it runs: a fold over whole lines that changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal.batches import BatchState, read_batches
from batchllm.journal.journal import RESULTS
from batchllm.journal.last_words import LastWords
from batchllm.journal.lock import LOCK_NAME, holder
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.journal.storage import Storage
from batchllm.strictjson import loads
from batchllm.types import Json


def status(folder: Path, now: datetime, elsewhere: str | None = None) -> Json:
    """Counts, tokens, failures, pace and the last run's end. Raises `JobError` (65) for what is no folder.

    `elsewhere` says who is at work on the machine that this folder was fetched from.
    """
    if not folder.is_dir():
        kind = "a file; name the output folder it lies in" if folder.exists() else "no folder: nothing was run into it"
        raise JobError(ExitCode.BAD_DATA, f"{folder} is {kind}")
    # Asked first: of a run that ends while its folder is read, the summary is the newer word.
    at_work = elsewhere or holder(Storage(), folder)
    manifest = read_manifest(folder)
    words = LastWords(frozenset(manifest.accepted) if manifest else frozenset())
    words.read(folder)
    summary = _summary(folder)
    found: Json = {
        "folder": str(folder),
        "state": "running" if at_work else _state(manifest, summary),
        "at_work": at_work,
        "simulated": bool(manifest and manifest.simulated),
        **_job(manifest),
        **_numbers(words, manifest),
    }
    found["batches"] = [_batch(one) for one in read_batches(folder).values()]
    found["pace"] = _pace(folder, manifest, summary, words, now) if at_work else None
    found["last_written"] = _last_written(folder)
    found["ended"] = summary["ended"] if summary and not at_work else None
    found["stale_summary"] = bool(summary and not at_work and _stale(summary, found["request_counts"]))
    return found


def _batch(state: BatchState) -> Json:
    """One batch at the provider: where it was last seen."""
    status = state.status if state.open else "given up" if state.dropped is not None else f"{state.status}, applied"
    return {
        "batch_id": state.batch_id,
        "status": status,
        "open": state.open,
        "lines": state.requests,
        "completed": state.counts.get("completed"),
        "failed": state.counts.get("failed"),
        "submitted_at": state.submitted.get("at"),
        "seen_at": state.at,
        "cost_usd": None if state.applied is None else state.applied.get("cost_usd"),
    }


def _numbers(words: LastWords, manifest: Manifest | None) -> Json:
    bad = _count(manifest, "bad_lines")
    failed = words.failed + bad
    known = manifest is not None
    total = _count(manifest, "requests") + bad
    usage = words.totals.usage
    cost = round(words.totals.cost_usd, 6) if words.totals.cost_known and words.totals.cost_usd else None
    return {
        "request_counts": {
            "total": total if known else None,
            "completed": words.answered,
            "failed": failed,
            "pending": max(0, total - words.answered - failed) if known else None,
            "invalid_lines": bad,
        },
        "usage": usage,
        "cost_usd": cost,
        "outcome_unknown": words.totals.maybe_billed,
        "duplicates": words.totals.duplicates,
        "failures": words.failures(),
        "last_attempts": [_cause(note) for note in words.attempts],
        "outdated": words.outdated,
        "damaged_lines": words.damaged,
    }


def _cause(note: Json) -> Json:
    """What is said of an attempt: never its body."""
    names = ("custom_id", "line", "attempt", "at", "code", "status", "message", "wait_s", "final")
    return {name: note[name] for name in names if name in note}


def _count(manifest: Manifest | None, name: str) -> int:
    value = manifest.job.get(name) if manifest else 0
    return value if isinstance(value, int) else 0


def _job(manifest: Manifest | None) -> Json:
    if manifest is None:
        return {"job": None, "provider": None, "model": None, "created": None}
    shaping = manifest.shaping
    return {"job": manifest.job.get("path"), "provider": shaping.get("provider"), "model": shaping.get("model"),
            "created": manifest.created}  # fmt: skip


def _state(manifest: Manifest | None, summary: Json | None) -> str:
    if summary is not None:
        return "ended"
    return "empty" if manifest is None else "cut off"


def _summary(folder: Path) -> Json | None:
    try:
        summary = loads((folder / "summary.json").read_bytes())
        ended = summary["ended"]
        return dict(summary) if isinstance(ended["reason"], str) and isinstance(ended["command"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stale(summary: Json, counts: Json) -> bool:
    """Whether more was answered since: then a later run was cut off, and its end is not the one in the summary."""
    said = summary.get("request_counts", {}).get("completed")
    removed = summary.get("removed_lines") or 0
    return isinstance(said, int) and counts["completed"] > said + removed


def _last_written(folder: Path) -> str | None:
    """When the last answer came, as the file system has it."""
    try:
        stat = (folder / RESULTS).stat()
    except OSError:
        return None
    if not stat.st_size:
        return None
    return datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds")


def _pace(folder: Path, manifest: Manifest | None, summary: Json | None, words: LastWords, now: datetime) -> Json | None:
    """Lines a second since this run began, and the seconds left at that pace; None where its beginning is not known."""
    since = _since(folder)
    if manifest is None or since is None:
        return None
    before = _before(manifest, summary, since)
    if before is None:
        return None
    seconds = max((now - since).total_seconds(), 1.0)
    rate = max(0, words.answered + words.failed - before) / seconds
    left = _count(manifest, "requests") - words.answered - words.failed
    return {
        "since": since.isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "lines_per_s": round(rate, 3),
        "seconds_left": round(left / rate) if rate and left > 0 else None,
    }


def _since(folder: Path) -> datetime | None:
    try:
        found = datetime.fromisoformat(loads((folder / LOCK_NAME).read_bytes())["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.tzinfo else None


def _before(manifest: Manifest, summary: Json | None, since: datetime) -> int | None:
    """Lines that were finished when this run began: none in a first run, else what the last run's end says."""
    try:
        if datetime.fromisoformat(manifest.created) >= since:
            return 0
        counts = (summary or {})["request_counts"]
        return int(counts["completed"]) + int(counts["failed"]) - int(counts["invalid_lines"])
    except (KeyError, TypeError, ValueError):
        return None
