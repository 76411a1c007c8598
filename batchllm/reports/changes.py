"""What a run would find to do in a folder: the job as it is now against what earlier runs left. Nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from batchllm.journal.envelope import id_and_facts
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.manifest import Manifest
from batchllm.journal.replay import records, whole_lines
from batchllm.sources.raw_lines import open_job
from batchllm.survey import Survey
from batchllm.types import BadLine, Json, Request

NONE, ANSWERED, FAILED, RETRYABLE, CHANGED, OUTDATED = range(6)
"""What a line has: no record, an answer that counts, a failure for good, one that may pass, a record of other content, one
made with other settings."""
EXAMPLES = 5
BLOCK = 1 << 20


@dataclass(slots=True)
class Standing:
    """Marks for each line of the job, one byte a line, and what belongs to no line any more."""

    index: JobIndex
    marks: bytearray
    removed: int = 0
    removed_examples: list[str] = field(default_factory=list)

    def lines(self, *marks: int) -> list[int]:
        """The first few lines with one of these marks."""
        found = []
        for line in range(1, len(self.marks)):
            if self.marks[line] in marks and self.index.wanted(line):
                found.append(line)
                if len(found) == EXAMPLES:
                    break
        return found

    def count(self, mark: int, first: int = 1, last: int | None = None) -> int:
        """Good lines of the job with this mark, from `first` to `last`."""
        end = len(self.marks) if last is None else last + 1
        if mark != NONE:
            return self.marks.count(mark, first, end)
        return sum(self.marks[line] == NONE and self.index.wanted(line) for line in range(first, end))


def standing(found: Survey, folder: Path, accepted: frozenset[str]) -> Standing:
    """Fold the folder over the index of the job: the last word on each line counts. Raises `JobError` (65) for damage."""
    index = found.index
    made = Standing(index, bytearray(found.last_line + 1))
    for _, _, (custom_id, facts) in whole_lines(folder / RESULTS, id_and_facts):
        line = index.find(custom_id)
        if line:
            made.marks[line] = _mark(index, line, facts, accepted, ANSWERED)
            continue
        made.removed += 1
        if len(made.removed_examples) < EXAMPLES:
            made.removed_examples.append(custom_id)
    for _, note in records(folder / ATTEMPTS):
        record, named_id = note.get("record"), note.get("custom_id")
        line = index.find(named_id) if isinstance(named_id, str) else 0
        if line and isinstance(record, dict) and made.marks[line] != ANSWERED:
            facts = record.get("batchllm") or {}
            made.marks[line] = _mark(index, line, facts, accepted, RETRYABLE if facts.get("retryable") else FAILED)
    return made


def _mark(index: JobIndex, line: int, facts: Json, accepted: frozenset[str], mark: int) -> int:
    digest = facts.get("digest")
    if not isinstance(digest, str) or not index.same(line, digest):
        return CHANGED
    return mark if facts.get("settings") in accepted else OUTDATED


def appended_after(job: Path, manifest: Manifest) -> int | None:
    """The last line that the job had at its last run, where nothing but new lines behind it was added; None elsewhere."""
    size, digest = manifest.job.get("bytes"), manifest.job.get("sha256")
    if job.suffix == ".gz" or not isinstance(size, int) or job.stat().st_size < size:
        return None
    return _lines_of(job, size, digest)


def _lines_of(job: Path, size: int, digest: object) -> int | None:
    """How many lines the first `size` bytes are, if they have this hash and end a line."""
    made, lines, last = hashlib.sha256(), 0, b"\n"
    with open_job(job) as file:
        left = size
        while left and (block := file.read(min(BLOCK, left))):
            made.update(block)
            lines += block.count(b"\n")
            last, left = block[-1:], left - len(block)
    if left or made.hexdigest() != digest:
        return None
    return lines + (last != b"\n")


def named(job: Iterable[Request | BadLine], lines: Iterable[int], show: Callable[[int, str], None]) -> None:
    """Call `show` with the number and id of each of these lines: the index does not keep ids."""
    wanted = set(lines)
    if not wanted:
        return
    last = max(wanted)
    for one in job:
        if one.line in wanted:
            show(one.line, one.custom_id)
        if one.line >= last:
            return
