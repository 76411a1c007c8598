"""Proves that every line of a job has exactly one record, to exactly that request, or says which do not.

A fold over `results.jsonl`, `errors.jsonl` and `attempts.jsonl` against an index of the job: about 32 bytes a line.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.findings import Finding, Findings, Flaw
from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.manifest import Manifest
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.soundness import (
    OF_THE_JOB,
    damage,
    failure_flaw,
    note_damage,
    parsed,
    repeats_key,
    result_flaw,
)
from batchllm.journal.totals import Totals
from batchllm.sources.job_file import JobFile
from batchllm.sources.raw_lines import raw_lines
from batchllm.survey import Survey, survey
from batchllm.types import BadLine, Json, Request
from batchllm.validation import Schema

NONE, ANSWERED, FAILED, CHANGED, OTHER = range(5)
"""What a line of the job has: no record, an answer, a failure, a record of other content, of other settings."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are answered under a schema. `number` gives 0 for none, else a number that `schemas` may know."""

    number: Callable[[Request], int] = lambda _: 0
    schemas: Mapping[int, Schema] = field(default_factory=dict)


@dataclass(slots=True)
class Lines:
    """The job as it is now: its index, and for each line what it has (`marks`) and which record of results that is."""

    found: Survey
    last: int
    """The last line within the run's `--limit`."""
    schema: bytearray
    marks: bytearray
    records: array[int]

    @property
    def index(self) -> JobIndex:
        return self.found.index


def read_lines(job: JobFile, limit: int | None, wanted: Wanted) -> Lines:
    """Read the whole job, also what lies beyond the limit."""
    schema = bytearray()
    last = 0

    def counted() -> Iterator[Request | BadLine]:
        nonlocal last
        for number, one in enumerate(job, 1):
            if limit is None or number <= limit:
                last = one.line
            yield one

    def watch(request: Request) -> None:
        number = wanted.number(request)
        if number:
            schema.extend(bytes(request.line + 1 - len(schema)))
            schema[request.line] = number

    found = survey(counted(), None, watch)
    size = found.last_line + 1
    schema.extend(bytes(size - len(schema)))
    return Lines(found, last, schema, bytearray(size), array("I", bytes(4 * size)))


class Verification:
    """Holds one folder against one job. `run` reads everything once; `findings` and `counts` say what came of it."""

    def __init__(self, job: JobFile, folder: Path, manifest: Manifest, wanted: Wanted = Wanted()) -> None:  # noqa: B008 - frozen
        self.folder = folder
        self.findings = Findings()
        self.totals = Totals()
        self.results = self.errors = self.attempts = 0
        self.removed = self.superseded = self.rechecked = 0
        self._job = job
        self._accepted = frozenset(manifest.accepted)
        self._current = manifest.accepted[0] if manifest.accepted else ""
        self._wanted = wanted
        self._lines = read_lines(job, manifest.settings.get("limit"), wanted)

    def run(self, *, at_work: bool) -> None:
        """`at_work` says that a run is writing: then an unfinished last line is none of its faults."""
        for number, record in self._read(RESULTS, damage, at_work=at_work):
            self._result(number, record)
        for number, record in self._read(ERRORS, None, at_work=False):
            self._failure(number, record)
        for _, note in self._read(ATTEMPTS, note_damage, at_work=at_work):
            self._attempt(note)
        self._without_record()

    def counts(self) -> dict[str, int]:
        """As `request_counts` of a summary: the lines within the run's limit, by where they stand."""
        lines, last = self._lines, self._lines.last + 1
        answered, failed = lines.marks.count(ANSWERED, 0, last), lines.marks.count(FAILED, 0, last)
        invalid = sum(line < last for line in lines.index.lines(State.INVALID))
        total = sum(state is not State.BLANK for state in map(lines.index.state, range(last)))
        return {"total": total, "completed": answered, "failed": failed, "pending": total - answered - failed,
                "invalid_lines": invalid}  # fmt: skip

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(
        self, name: str, broken: Callable[[Json], str | None] | None, *, at_work: bool
    ) -> Iterator[tuple[int, Json]]:
        """The records of one file that can be read at all; the others are findings."""
        path = self.folder / name
        if not path.is_file():
            return
        whole = ends_whole(path)
        bad: tuple[int, str] | None = None
        number = 0
        flaw = Flaw.DAMAGED if broken else Flaw.MALFORMED  # errors.jsonl is derived: a run writes it anew
        for number, raw in raw_lines(path, MAX_RECORD):
            if bad is not None:
                self._add(flaw, name, *bad)
                bad = None
            try:
                record = parsed(raw)
                problem = broken(record) if broken else None
            except ValueError as error:
                bad = number, str(error)
                continue
            if problem:
                bad = number, problem
                continue
            self._repeated(name, number, raw, record)
            yield number, record
        if not whole and not at_work:
            self._add(Flaw.TORN, name, number, "there is no line feed at its end")
        elif bad is not None and whole:
            self._add(flaw, name, *bad)

    def _repeated(self, name: str, number: int, raw: bytes | int, record: Json) -> None:
        assert isinstance(raw, bytes)
        whose = repeats_key(raw, record)
        if whose:
            flaw = Flaw.REPEATED_KEY if whose == "ours" else Flaw.REPLY_REPEATS_KEY
            self._add(flaw, name, number, "a key stands twice in one object", custom_id=str(record.get("custom_id")))

    def _add(
        self, flaw: Flaw, file: str, at: int, message: str, *, line: int = 0, custom_id: str = "", count: int = 1
    ) -> None:
        self.findings.add(flaw, Finding(message, line, custom_id, file, at), count)

    # -- results -------------------------------------------------------------------------------------------------

    def _result(self, number: int, record: Json) -> None:
        self.results += 1
        custom_id = record["custom_id"]
        problem = result_flaw(record)
        line = self._lines.index.find(custom_id)
        if problem:
            self._add(Flaw.MALFORMED, RESULTS, number, problem, line=line, custom_id=custom_id)
        if not line:
            self._strange(number, custom_id, sound=not problem)
            return
        earlier = self._lines.records[line]
        if earlier:
            self.superseded += 1
            message = f"record {earlier} is superseded by record {number}"
            self._add(Flaw.TWICE, RESULTS, number, message, line=line, custom_id=custom_id)
        self._lines.records[line] = number
        facts = record["batchllm"]
        mark = self._lines.marks[line] = self._mark(line, facts)
        if mark == ANSWERED:
            self.totals.add_record(facts)
            self._schema(number, line, custom_id, facts)
        if facts.get("line") != line:
            message = f"asked as line {facts.get('line')}, now line {line}"
            self._add(Flaw.MOVED, RESULTS, number, message, line=line, custom_id=custom_id)

    def _strange(self, number: int, custom_id: str, *, sound: bool) -> None:
        self.removed += sound
        self._add(Flaw.UNKNOWN_CUSTOM_ID, RESULTS, number, "the job has no such line", custom_id=custom_id)

    def _mark(self, line: int, facts: Json) -> int:
        if not self._lines.index.same(line, facts["digest"]):
            return CHANGED
        return ANSWERED if facts.get("settings") in self._accepted else OTHER

    def _schema(self, number: int, line: int, custom_id: str, facts: Json) -> None:
        """Only answers made with the settings of the last run can be held to its schema."""
        wanted = self._lines.schema[line]
        if not wanted or facts.get("settings") != self._current:
            return
        if "parsed" not in facts:
            self._add(Flaw.NOT_PARSED, RESULTS, number, "there is no 'parsed'", line=line, custom_id=custom_id)
            return
        schema = self._wanted.schemas.get(wanted)
        if schema is None:
            return
        self.rechecked += 1
        _, problems = schema.validate(facts["parsed"])
        if problems:
            message = f"{problems[0].path}: {problems[0].message}"
            self._add(Flaw.SCHEMA_INVALID, RESULTS, number, message, line=line, custom_id=custom_id)

    # -- failures ------------------------------------------------------------------------------------------------

    def _failure(self, number: int, record: Json) -> None:
        self.errors += 1
        custom_id = record.get("custom_id")
        problem = failure_flaw(record)
        if problem:
            self._add(Flaw.MALFORMED, ERRORS, number, problem, custom_id=str(custom_id or ""))
            return
        assert isinstance(custom_id, str)
        facts = record["batchllm"]
        lines = self._lines
        line = facts["line"] if record["error"]["code"] in OF_THE_JOB else lines.index.find(custom_id)
        invalid = record["error"]["code"] in OF_THE_JOB
        if not 0 < line < len(lines.marks) or (lines.index.state(line) is State.INVALID) != invalid:
            message = "the job has no such line" if not invalid else f"line {line} of the job is not bad"
            self._add(Flaw.UNKNOWN_CUSTOM_ID, ERRORS, number, message, custom_id=custom_id)
            return
        mark = FAILED if invalid else self._mark(line, facts)
        earlier = lines.marks[line]
        if earlier == FAILED or lines.records[line]:
            where = f"record {lines.records[line]} of {RESULTS}" if lines.records[line] else f"an earlier one of {ERRORS}"
            self._add(Flaw.TWICE, ERRORS, number, f"beside {where}", line=line, custom_id=custom_id)
        if earlier != ANSWERED:
            lines.marks[line] = FAILED if mark == ANSWERED else mark

    def _attempt(self, note: Json) -> None:
        self.attempts += 1
        line = self._lines.index.find(note["custom_id"])
        record = note.get("record")
        if not line:
            return
        if not isinstance(record, dict):
            self.totals.add_note(note)
            return
        facts = record.get("batchllm")
        if isinstance(facts, dict) and damage(record) is None and self._mark(line, facts) == ANSWERED:
            self.totals.add_record(facts)

    # -- what is left --------------------------------------------------------------------------------------------

    def _without_record(self) -> None:
        """The lines without a record that counts: pending, changed since, asked with other settings."""
        lines = self._lines
        messages = {NONE: "no record", CHANGED: "its record is of other content", OTHER: "its record is of other settings"}
        flaws = {NONE: Flaw.PENDING, CHANGED: Flaw.CHANGED, OTHER: Flaw.OTHER_SETTINGS}
        missing: dict[int, Flaw] = {}
        for line in range(1, len(lines.marks)):
            mark = lines.marks[line]
            if mark in (ANSWERED, FAILED) or lines.index.state(line) is State.BLANK:
                continue
            flaw = flaws[mark]
            if flaw is Flaw.PENDING and line > lines.last:
                flaw = Flaw.BEYOND_LIMIT
            if self.findings.wants(flaw):
                missing[line] = flaw
            self.findings.counts[flaw] += 1
            self.findings.expect(flaw)
        for one in self._named(missing):
            self.findings.show(missing[one.line], Finding(messages[lines.marks[one.line]], one.line, one.custom_id))

    def _named(self, lines: Mapping[int, Flaw]) -> Iterable[Request | BadLine]:
        """The given lines once more, for their ids: the index does not keep them."""
        if not lines:
            return
        last = max(lines)
        for one in self._job:
            if one.line in lines:
                yield one
            if one.line >= last:
                return


def ends_whole(path: Path) -> bool:
    """Whether a file ends in a line feed, or is empty."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"
