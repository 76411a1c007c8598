"""What is in a JSONL file: lines, ids, fields, endpoints and models of a job, outcomes and tokens of results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from batchllm.journal.index import JobIndex
from batchllm.jsonl.streams import custom_id
from batchllm.records import TOKENS
from batchllm.sources.batch_output import outcome
from batchllm.strictjson import loads
from batchllm.types import Json

MOST_NAMES = 1000
"""Different names counted one by one; a file with more has them as values, not as names."""


class Stats:
    """Counts of one file, or of several together. Memory: about 25 bytes a line, for the ids that stand there twice."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()
        self.urls: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.longest = (0, 0)
        self.first_bad: Json | None = None
        self._ids = JobIndex()

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        for number, raw in lines:
            self.counts["lines"] += 1
            self.counts["bytes"] += len(raw) + 1
            if len(raw) > self.longest[1]:
                self.longest = (number, len(raw))
            try:
                values = loads(raw)
            except ValueError as error:
                values = str(error)
            if type(values) is dict:
                self._object(number, values)
            else:
                self.counts["bad"] += 1
                self.first_bad = self.first_bad or {"line": number, "message": str(values)[:200]}

    def _object(self, number: int, values: Json) -> None:
        _count(self.fields, values)
        if self._ids.add(self.counts["lines"], custom_id(values, number), ""):
            self.counts["repeated_ids"] += 1
        kind = kind_of(values)
        self.kinds[kind] += 1
        if kind == "result":
            self._result(values)
            return
        body = values["body"] if kind == "batch" else values
        url = values.get("url")
        if isinstance(url, str):
            _count(self.urls, [url])
        if isinstance(body.get("model"), str):
            _count(self.models, [body["model"]])

    def _result(self, record: Json) -> None:
        if isinstance(record.get("custom_id"), str):
            told = outcome(record)
            self.counts["answered" if told.answered else "failed"] += 1
            if not told.answered:
                _count(self.errors, [told.code])
        usage = _usage(record)
        for name in TOKENS:
            if type(usage.get(name)) is int:
                self.tokens[name] += usage[name]

    def as_json(self) -> Json:
        return {
            **{name: self.counts[name] for name in ("lines", "bytes", "bad", "repeated_ids")},
            "longest_line": {"line": self.longest[0], "bytes": self.longest[1]},
            "first_bad": self.first_bad,
            "forms": dict(self.kinds),
            "fields": dict(self.fields.most_common(30)),
            "urls": dict(self.urls.most_common(30)),
            "models": dict(self.models.most_common(30)),
            "answered": self.counts["answered"],
            "failed": self.counts["failed"],
            "errors": dict(self.errors.most_common(30)),
            "tokens": dict(self.tokens),
        }


def kind_of(values: Json) -> str:
    """Which form a line has: `batch`, `short`, `result`, or `other`."""
    if "response" in values or "error" in values:
        return "result"
    if isinstance(values.get("body"), dict):
        return "batch"
    return "short" if values.keys() & {"prompt", "messages", "turns", "input"} else "other"


def _count(counter: Counter[str], names: Iterable[str]) -> None:
    for name in names:
        if name in counter or len(counter) < MOST_NAMES:
            counter[name] += 1


def _usage(record: Json) -> Json:
    """What the record says was used: our own sum over all attempts, else the reply's word."""
    facts: Any = record.get("batchllm")
    if not isinstance(facts, dict) or not isinstance(facts.get("usage"), dict):
        body = (record.get("response") or {}).get("body") if isinstance(record.get("response"), dict) else None
        facts = body if isinstance(body, dict) else {}
    usage = facts.get("usage")
    return usage if isinstance(usage, dict) else {}
