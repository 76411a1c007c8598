"""Holds results of another tool, in the Batch API's form, against a job: by `custom_id` alone, since they tell no more."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.findings import SHOWN, Finding, Findings, Flaw
from batchllm.journal.index import JobIndex
from batchllm.journal.sound_records import sound_records
from batchllm.journal.soundness import parsed
from batchllm.sources.batch_output import no_outcome, outcome
from batchllm.sources.raw_lines import raw_lines
from batchllm.types import Json

MAX_LINE = 1 << 30


class ForeignVerification:
    """One job against one or more files that belong together, such as OpenAI's output and error file."""

    def __init__(self, job: Path, files: Sequence[Path]) -> None:
        for file in files:
            if not file.is_file():
                raise JobError(ExitCode.BAD_DATA, f"{file}: there is no such file")
        self.findings = Findings()
        self.failures: Counter[str] = Counter()
        self.records = self.answered = self.failed = 0
        self._job = job
        self._files = files
        self._index = JobIndex()
        self._lines = 0

    def run(self) -> None:
        self._read_job()
        # Which record each line has: its number, and in a byte of its own the file.
        self._at = array("I", bytes(4 * (self._index.last_line + 1)))
        self._in = bytearray(len(self._at))
        for place, file in enumerate(self._files):
            for number, record in sound_records(file, no_outcome, self.findings):
                self._record(place, number, record)
        self._missing()

    def counts(self) -> dict[str, int]:
        pending = self._lines - self.answered - self.failed
        invalid = self.findings.counts[Flaw.BAD_JOB_LINE]
        return {"total": self._lines, "completed": self.answered, "failed": self.failed, "pending": pending,
                "invalid_lines": invalid}  # fmt: skip

    def _read_job(self) -> None:
        for number, raw in raw_lines(self._job, MAX_LINE):
            if not raw or (isinstance(raw, bytes) and raw.isspace()):
                continue
            self._lines += 1
            try:
                custom_id = parsed(raw).get("custom_id", f"line-{number}")
            except ValueError as error:
                self.findings.add(Flaw.BAD_JOB_LINE, Finding(str(error), number))
                continue
            if type(custom_id) is not str:
                self.findings.add(Flaw.BAD_JOB_LINE, Finding("custom_id is no text", number))
                continue
            earlier = self._index.add(number, custom_id, "")
            if earlier:
                message = f"its custom_id is already taken by line {earlier}"
                self.findings.add(Flaw.BAD_JOB_LINE, Finding(message, number, custom_id))
        if not self._lines:
            raise JobError(ExitCode.BAD_DATA, f"{self._job} has no usable line: it is empty")

    def _record(self, place: int, number: int, record: Json) -> None:
        self.records += 1
        said = outcome(record)
        name = self._files[place].name
        line = self._index.find(said.custom_id)
        if not line:
            finding = Finding("the job has no such line", 0, said.custom_id, name, number)
            self.findings.add(Flaw.UNKNOWN_CUSTOM_ID, finding)
            return
        if self._at[line]:
            message = f"beside record {self._at[line]} of {self._files[self._in[line]].name}"
            self.findings.add(Flaw.TWICE, Finding(message, line, said.custom_id, name, number))
            return
        self._at[line], self._in[line] = number, place
        if said.answered:
            self.answered += 1
        else:
            self.failed += 1
            self.failures[said.code if len(self.failures) < 100 else "…"] += 1

    def _missing(self) -> None:
        missing = len(self._index) - self.answered - self.failed
        if not missing:
            return
        self.findings.counts[Flaw.PENDING] = missing
        for number, raw in raw_lines(self._job, MAX_LINE):
            if number >= len(self._at) or len(self.findings.examples.get(Flaw.PENDING, ())) >= SHOWN:
                return
            if raw and not self._at[number]:
                self._show(number, raw)

    def _show(self, number: int, raw: bytes | int) -> None:
        try:
            custom_id = parsed(raw).get("custom_id", f"line-{number}")  # type: ignore[arg-type]
        except ValueError:
            return
        if type(custom_id) is str and self._index.find(custom_id) == number:
            self.findings.show(Flaw.PENDING, Finding("no record", number, custom_id))
