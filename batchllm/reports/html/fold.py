"""What the page shows of a folder: one reading of its records, in a few bytes of memory for each line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.journal.last_words import LastWords
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.soundness import OF_THE_JOB, parsed
from batchllm.reports.html.reservoir import Reservoir
from batchllm.reports.html.rows import Row, answered_row, failed_row, number, tokens, whole
from batchllm.series import is_series
from batchllm.sources.raw_lines import raw_lines
from batchllm.strictjson import loads
from batchllm.tally import Histogram, fields_of
from batchllm.types import Json

ANSWERS, FAILURES = 1500, 500
"""Rows the page holds at most."""
GROUPS, EXAMPLES = 40, 3
_VARIES = re.compile(r"[0-9a-f]{8,}|\d+")


@dataclass(slots=True)
class Group:
    """Lines that failed alike: the same code and a message that differs in numbers only."""

    code: str
    message: str
    count: int = 0
    examples: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Spent:
    """Attempts whose answer was not kept: how many, and what they were billed."""

    attempts: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, usage: Any, cost: Any) -> None:
        self.attempts += 1
        self.tokens += tokens(usage) or 0
        self.cost_usd += cost if isinstance(cost, int | float) else 0.0


class Fold:
    """Looks on while a folder is read, and keeps what a page can show of it."""

    def __init__(self) -> None:
        self.latency, self.ttft = Histogram(), Histogram()
        self.retries: Counter[tuple[str, str]] = Counter()
        self.fields: Counter[str] = Counter()
        self.groups: dict[tuple[str, str], Group] = {}
        self.rejected = Spent()
        self.answers: Reservoir[Row] = Reservoir(ANSWERS)
        self.failures: Reservoir[Row] = Reservoir(FAILURES)

    def answered(self, number: int, custom_id: str, facts: Json, raw: bytes, *, again: bool) -> None:
        self._times(facts)
        (self.answers.replace if again else self.answers.offer)(number, partial(answered_row, custom_id, facts, raw))

    def failed(self, number: int, custom_id: str, record: Json, *, again: bool) -> None:
        facts = record["batchllm"]
        self._times(facts)
        if facts.get("billed", "yes") == "yes":
            self.rejected.add(_last_usage(facts), _last_cost(facts))
        make = partial(failed_row, custom_id, record)
        if again:
            self.failures.replace(number, make)
            return
        self.fields.update(fields_of(facts))
        self.failures.offer(number, make)
        self._group(make())

    def attempt(self, note: Json) -> None:
        if "turn" in note:
            return
        self.retries[str(note.get("code")), str(note.get("kind"))] += 1
        if note.get("billed") == "yes":
            self.rejected.add(note.get("usage"), note.get("cost_usd"))

    def bad_line(self, record: Json) -> None:
        """A line of the job that could not be sent."""
        self._group(failed_row(str(record.get("custom_id")), record))

    def _times(self, facts: Json) -> None:
        latency, ttft = facts.get("latency_s"), facts.get("ttft_s")
        if type(latency) is float:
            self.latency.add(latency)
        if type(ttft) is float:
            self.ttft.add(ttft)

    def _group(self, row: Row) -> None:
        key = row.code or "", _VARIES.sub("#", row.message)[:200]
        if key not in self.groups and len(self.groups) >= GROUPS:
            key = row.code or "", "other messages"
        group = self.groups.setdefault(key, Group(key[0], row.message if key[1] != "other messages" else key[1]))
        group.count += 1
        if len(group.examples) < EXAMPLES:
            group.examples.append(row)


@dataclass(slots=True)
class Picture:
    """Everything one page is made of."""

    folder: Path
    manifest: Manifest
    summary: Json
    words: LastWords
    fold: Fold
    rows: list[Row]
    counts: dict[str, int]

    @property
    def series(self) -> list[Json]:
        found = self.summary.get("series")
        return [one for one in found if is_series(one)] if isinstance(found, list) else []

    @property
    def cost_usd(self) -> float | None:
        totals = self.words.totals
        return totals.cost_usd if totals.cost_known and totals.cost_usd else None


def picture(folder: Path) -> Picture:
    """Read a folder, also one at which a run is at work. Raises `JobError` (65) where no run was made into it."""
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        raise JobError(ExitCode.BAD_DATA, f"{folder}: no run was made into this folder (it has no job.json)")
    fold = Fold()
    words = LastWords(frozenset(manifest.accepted), fold)
    words.read(folder)
    _bad_lines(folder, fold)
    rows = sorted([*fold.answers.values(), *fold.failures.values()], key=lambda row: row.line)
    bad, requests = whole(manifest.job.get("bad_lines")), whole(manifest.job.get("requests"))
    failed, total = words.failed + bad, requests + bad
    counts = {"total": total, "answered": words.answered, "failed": failed, "pending": max(0, total - words.answered - failed)}
    return Picture(folder, manifest, _summary(folder), words, fold, rows, counts)


def _bad_lines(folder: Path, fold: Fold) -> None:
    """The bad lines of the job stand first in `errors.jsonl`, and nowhere else."""
    path = folder / "errors.jsonl"
    if not path.is_file():
        return
    for _, raw in raw_lines(path, MAX_RECORD):
        try:
            record = parsed(raw)
            if record["error"]["code"] not in OF_THE_JOB:
                return
            fold.bad_line(record)
        except (ValueError, KeyError, TypeError):
            return


def _summary(folder: Path) -> Json:
    try:
        found = loads((folder / "summary.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("ended"), dict) else {}


def _last_usage(facts: Json) -> Any:
    """What the last attempt used: the ones before it have notes of their own."""
    usage, before = facts.get("usage"), facts.get("rejected_usage")
    if not isinstance(usage, dict) or not isinstance(before, dict):
        return usage
    return {name: (usage.get(name) or 0) - (before.get(name) or 0) for name in usage}


def _last_cost(facts: Json) -> float | None:
    cost = number(facts.get("cost_usd"))
    return None if cost is None else cost - (number(facts.get("rejected_cost_usd")) or 0.0)
