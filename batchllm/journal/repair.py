"""`verify --repair`: moves damaged lines of the two append-only files aside, so that a run can go on over them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from batchllm.errors import ExitCode, JobError
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.rescue import take_back
from batchllm.journal.sound_records import Broken
from batchllm.journal.soundness import damage, note_damage, parsed
from batchllm.journal.storage import Storage, whole_file
from batchllm.journal.totals import Totals
from batchllm.types import Json


@dataclass(slots=True)
class Repair:
    """What was done to one file. `totals` adds up its sound results, to tell what a lost one may cost."""

    name: str
    moved: int = 0
    moved_bytes: int = 0
    completed: bool = False
    """The last line lacked nothing but its line feed."""
    aside: str = ""
    totals: Totals = field(default_factory=Totals)

    def in_words(self) -> str:
        if not self.moved:
            return f"{self.name}: the last line lacked its line feed; it was complete and is kept"
        return f"{self.name}: {self.moved} damaged lines ({self.moved_bytes:,} bytes) were moved to {self.aside}{self._price()}"

    def _price(self) -> str:
        """What asking again would cost: as much as the sound answers did on average."""
        if self.name != RESULTS or not self.totals.records:
            return ""
        share = self.moved / self.totals.records
        usage = self.totals.usage
        tokens = (usage["prompt_tokens"] or 0) + (usage["completion_tokens"] or 0)
        text = f"; asked again they take about {round(tokens * share):,} tokens"
        if self.totals.cost_known and self.totals.cost_usd:
            text += f", ${self.totals.cost_usd * share:.4f}"
        return text


def repair(storage: Storage, folder: Path) -> list[str]:
    """Mend both files of a folder whose lock is held; says what was done, nothing where nothing had to be.

    Nothing is deleted: what a file loses is on the disk elsewhere before the file is replaced. Raises `JobError` (74).
    """
    notices: list[str] = []
    try:
        rescued = take_back(storage, folder)  # it counts on offsets in the files as they are
        notices = [rescued] if rescued else []
        done = [_mend(storage, folder / RESULTS, damage), _mend(storage, folder / ATTEMPTS, note_damage)]
    except OSError as error:
        message = f"{folder}: the disk failed: {error.strerror or error}; the old files are untouched"
        raise JobError(ExitCode.DISK, message) from None
    return [*notices, *(one.in_words() for one in done if one.moved or one.completed)]


def _mend(storage: Storage, path: Path, broken: Broken) -> Repair:
    found = Repair(path.name)
    if not path.is_file():
        return found
    with path.open("rb") as file:
        for line, whole in _lines(file):
            _judge(found, line, whole, broken)
    if not found.moved and not found.completed:
        return found
    stamp = time.strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{stamp}-{path.stat().st_size}")
    if found.moved:
        found.aside = aside.name
        _copy(storage, path, aside, broken, sound=False)
    _copy(storage, path, path, broken, sound=True)
    return found


def _judge(found: Repair, line: bytes, whole: bool, broken: Broken) -> None:
    record = _record(line, whole, broken)
    if record is None:
        found.moved += line.endswith(b"\n") or len(line) < MAX_RECORD
        found.moved_bytes += len(line)
        return
    if not line.endswith(b"\n"):
        found.completed = True
    facts = record.get("batchllm")
    if isinstance(facts, dict):
        found.totals.add_record(facts)


def _record(line: bytes, whole: bool, broken: Broken) -> Json | None:
    """The record of a line, {} for a blank one, None for a damaged one."""
    if not whole:
        return None
    text = line.rstrip(b"\r\n")
    if not text:
        return {}
    try:
        record = parsed(text)
    except ValueError:
        return None
    return None if broken(record) else record


def _copy(storage: Storage, path: Path, target: Path, broken: Broken, *, sound: bool) -> None:
    """Replace `target` as a whole by the sound lines of a file, or by the others."""
    with path.open("rb") as file, whole_file(storage, target) as take:
        for line, whole in _lines(file):
            if (_record(line, whole, broken) is not None) is sound:
                take(line if line.endswith(b"\n") or not sound else line + b"\n")


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Lines with their ends; one above the cap comes in pieces, none of which is whole."""
    inside = False
    while piece := file.readline(MAX_RECORD):
        ends = piece.endswith(b"\n") or len(piece) < MAX_RECORD
        yield piece, ends and not inside
        inside = not ends
