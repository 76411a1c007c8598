"""Proves that every line of a job has exactly one record, to exactly that request, or says which do not.

A fold over `results.jsonl`, `errors.jsonl` and `attempts.jsonl` against an index of the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from batchllm.findings import SHOWN, Finding, Findings, Flaw
from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.index import State
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.manifest import Manifest
from batchllm.journal.sound_records import Broken, sound_records
from batchllm.journal.soundness import OF_THE_JOB, damage, failure_flaw, note_damage, result_flaw
from batchllm.journal.superseded import superseded
from batchllm.journal.totals import Totals, disagreements
from batchllm.sources.job_file import JobFile
from batchllm.standing import ANSWERED, CHANGED, FAILED, NONE, OTHER, Wanted, read_lines
from batchllm.types import BadLine, Json, Request


class Verification:
    """Holds one folder against one job. `run` reads everything once; `findings` and `counts` say what came of it."""

    def __init__(self, job: JobFile, folder: Path, manifest: Manifest, wanted: Wanted, findings: Findings) -> None:
        self.folder = folder
        self.findings = findings
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
        for _, record in superseded(self.folder):
            self.totals.add_record(record["batchllm"])
        for number, record in self._read(RESULTS, damage, at_work=at_work):
            self._result(number, record)
        for number, record in self._read(ERRORS, None, at_work=False):
            self._failure(number, record)
        for _, note in self._read(ATTEMPTS, note_damage, at_work=at_work):
            self._attempt(note)
        self._without_record()

    def counts(self) -> dict[str, int]:
        return self._lines.counts()

    def check_totals(self, summary: Json | None, doubt: str | None) -> None:
        """Hold `summary.json` against what was read; `doubt` says why it cannot be expected to agree."""
        doubt = doubt or self._doubt()
        if summary is None or doubt:
            why = doubt or "there is no summary.json: the last run did not reach its end"
            self.findings.add(Flaw.NOT_CHECKED, Finding(f"the totals: {why}"))
            return
        for message in (*disagreements(self.counts(), summary), *self.totals.disagreements(summary)):
            self.findings.add(Flaw.TOTALS, Finding(message, file="summary.json"))

    def _doubt(self) -> str | None:
        """The fold follows the records that are there; where some are gone, or in two places, the bill is another."""
        counts = self.findings.counts
        if self.superseded:
            return "there are superseded records"
        return "there are damaged lines" if counts[Flaw.DAMAGED] or counts[Flaw.TORN] else None

    def accept_removed(self, removed: int | None) -> None:
        """Answers to lines the job no longer has are no fault where the last run named as many of them itself."""
        counts, examples = self.findings.counts, self.findings.examples
        if removed and removed == self.removed == counts[Flaw.UNKNOWN_CUSTOM_ID]:
            counts[Flaw.REMOVED] = counts.pop(Flaw.UNKNOWN_CUSTOM_ID)
            examples[Flaw.REMOVED] = examples.pop(Flaw.UNKNOWN_CUSTOM_ID)

    def _read(self, name: str, broken: Broken | None, *, at_work: bool) -> Iterator[tuple[int, Json]]:
        # errors.jsonl is derived: what is broken in it is written anew by the next run and lost nothing.
        flaw = Flaw.DAMAGED if broken else Flaw.MALFORMED
        return sound_records(self.folder / name, broken, self.findings, flaw=flaw, growing=at_work)

    def _add(self, flaw: Flaw, file: str, at: int, message: str, *, line: int = 0, custom_id: str = "") -> None:
        self.findings.add(flaw, Finding(message, line, custom_id, file, at))

    # -- results -------------------------------------------------------------------------------------------------

    def _result(self, number: int, record: Json) -> None:
        self.results += 1
        self.totals.add_record(record["batchllm"])
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
            self._schema(number, line, custom_id, facts)
        if not self._same_as_original(facts):
            message = f"answered as line '{facts['duplicate_of'][:60]}' was, which asks something else"
            self._add(Flaw.MALFORMED, RESULTS, number, message, line=line, custom_id=custom_id)
        if facts.get("line") != line:
            message = f"asked as line {facts.get('line')}, now line {line}"
            self._add(Flaw.MOVED, RESULTS, number, message, line=line, custom_id=custom_id)

    def _same_as_original(self, facts: Json) -> bool:
        """Whether the line that a duplicate was answered by, if its own record stands before, has the same content."""
        name = facts.get("duplicate_of")
        line = self._lines.index.find(name) if type(name) is str else 0
        return not line or self._lines.marks[line] != ANSWERED or self._lines.index.same(line, facts["digest"])

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
        record = note.get("record")
        if not isinstance(record, dict):
            self.totals.add_note(note)
        elif isinstance(facts := record.get("batchllm"), dict):
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
            if self.findings.counts[flaw] < SHOWN:
                missing[line] = flaw
            self.findings.counts[flaw] += 1
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
