"""Where the record of each line stands: about 12 bytes a line for results, as many again for failures where there are any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchllm.errors import JobError
from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.journal.replay import damaged
from batchllm.journal.soundness import OF_THE_JOB
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json

LONGEST = 1 << 28
_HEAD, _MIDDLE, _ID_AT = b'{"id":"batch_req_', b'","custom_id":"', 56
"""How a record of ours begins: an id of 24 hex digits, then the custom_id."""
_FACTS = b',"batchllm":{"line":'


class Spots:
    """For each line the offset and length of its record in one file; the last one entered counts."""

    def __init__(self) -> None:
        self._at = array("q", [-1])
        self._length = array("I", [0])

    def put(self, line: int, at: int, length: int) -> None:
        missing = line + 1 - len(self._at)
        if missing > 0:
            grown = max(missing, len(self._at) // 8)
            self._at.extend(array("q", [-1]) * grown)
            self._length.extend(array("I", [0]) * grown)
        self._at[line] = at
        self._length[line] = length

    def get(self, line: int) -> tuple[int, int] | None:
        if line >= len(self._at) or self._at[line] < 0:
            return None
        return self._at[line], self._length[line]

    def __len__(self) -> int:
        """One more than the last line that may have a spot."""
        return len(self._at)


@dataclass(slots=True)
class Places:
    """Which record belongs to which line. Without the job, lines count as they did when they were asked."""

    index: JobIndex | None
    answers: Spots = field(default_factory=Spots)
    failures: Spots = field(default_factory=Spots)
    bad: Spots = field(default_factory=Spots)
    failed_now: bytearray = field(default_factory=bytearray)
    removed: int = 0
    last_line: int = 0
    _own: JobIndex = field(default_factory=JobIndex)

    def line_of(self, raw: bytes) -> int:
        """The line a record belongs to; 0 for one that the job no longer has. Raises `ValueError` for what is no record."""
        custom_id = id_of(raw)
        if self.index is not None:
            line = self.index.find(custom_id)
            self.removed += not line
            return line
        return self._settled(custom_id, recorded_line(raw))

    def _settled(self, custom_id: str, line: int) -> int:
        """A place of its own for every id, also where two of them say the same line: the job has changed in between."""
        known = self._own.find(custom_id)
        if known:
            return known
        if line < 1 or (line <= self._own.last_line and self._own.state(line)):
            line = max(self._own.last_line, line) + 1
        self._own.add(line, custom_id, "")
        self.last_line = max(self.last_line, line)
        return line

    def is_failed_now(self, line: int) -> bool:
        return line < len(self.failed_now) and bool(self.failed_now[line])


def id_of(raw: bytes) -> str:
    """A record's `custom_id`: cut out where the record is written as we write it, parsed otherwise."""
    if raw.startswith(_HEAD) and raw[41:_ID_AT] == _MIDDLE:
        found = raw[_ID_AT : raw.find(b'"', _ID_AT)]
        if b"\\" not in found:
            return found.decode()
    record = loads(raw)
    if not isinstance(record, dict) or not isinstance(record.get("custom_id"), str):
        raise ValueError("no record")
    return str(record["custom_id"])


def recorded_line(raw: bytes) -> int:
    if raw.count(_FACTS) == 1:
        at = raw.find(_FACTS) + len(_FACTS)
        digits = raw[at : at + 12].split(b",", 1)[0].split(b"}", 1)[0]
        if digits.isdigit():
            return int(digits)
    record = loads(raw)
    facts: Any = record.get("batchllm") or record.get("record", {}).get("batchllm") or {}
    return int(facts.get("line") or record.get("line") or 0)


def located(folder: Path, job: Path | None) -> Places:
    """Read the folder, and the job if it is there, once. Raises `JobError` (65) for a damaged folder or job."""
    invalid, bad_at = _invalid_lines(folder)
    places = Places(None if job is None else _job_index(job, invalid))
    if places.index is not None:
        places.last_line = places.index.last_line
    for line, at, length in bad_at:
        places.bad.put(line, at, length)
        places.last_line = max(places.last_line, line)
        if places.index is None:
            places._own.mark_invalid(line)  # its number is taken
    _enter_answers(places, folder / RESULTS)
    attempts = folder / ATTEMPTS
    for at, raw in _whole_lines(attempts):
        if b'"record":' in raw:
            _enter_failure(places, attempts, at, raw)
    _mark_failed(folder, places)
    return places


def _enter_answers(places: Places, path: Path) -> None:
    line_of, put = places.line_of, places.answers.put
    for at, raw in _whole_lines(path):
        try:
            line = line_of(raw)
        except (ValueError, AttributeError, TypeError):
            raise _damaged_at(path, at) from None
        if line:
            put(line, at, len(raw))


def _enter_failure(places: Places, path: Path, at: int, raw: bytes) -> None:
    try:
        note = loads(raw)
        record = note.get("record")
        custom_id = note["custom_id"]
        asked = int(note.get("line") or 0)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise _damaged_at(path, at) from None
    if not isinstance(record, dict):
        return
    line = places.index.find(custom_id) if places.index is not None else places._settled(custom_id, asked)
    if line:
        places.failures.put(line, at, len(raw))


def _damaged_at(path: Path, at: int) -> JobError:
    with path.open("rb") as file:
        return damaged(path, file.read(at).count(b"\n") + 1)


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each finished line; the last one may still be in the writing."""
    try:
        file = path.open("rb", buffering=1 << 20)
    except FileNotFoundError:
        return
    at = 0
    with file:
        for raw in file:
            if raw.endswith(b"\n") and len(raw) > 1:
                yield at, raw
            at += len(raw)


def _invalid_lines(folder: Path) -> tuple[frozenset[int], list[tuple[int, int, int]]]:
    """The lines of the job that are none, by number: several of them may have the same id."""
    found = []
    for at, raw in _whole_lines(folder / ERRORS):
        record = _loaded(raw)
        if record and record["error"]["code"] in OF_THE_JOB:
            found.append((int(record["batchllm"]["line"]), at, len(raw)))
    return frozenset(line for line, _, _ in found), found


def _mark_failed(folder: Path, places: Places) -> None:
    """What the last run told as failed: where a line has an answer too, that answer was to other content."""
    for _, raw in _whole_lines(folder / ERRORS):
        record = _loaded(raw)
        if record and record["error"]["code"] not in OF_THE_JOB:
            line = places.index.find(record["custom_id"]) if places.index is not None else places._own.find(record["custom_id"])
            places.failed_now.extend(bytes(max(0, line + 1 - len(places.failed_now))))
            places.failed_now[line] = 1 if line else 0


def _loaded(raw: bytes) -> Json | None:
    """A line of errors.jsonl, which is derived: what is broken in it is passed over."""
    try:
        record = loads(raw)
        return record if record["error"]["code"] and record["batchllm"]["line"] else None
    except (ValueError, KeyError, TypeError):
        return None


_JOB_HEADS = (b'{"custom_id":"', b'{"custom_id": "')


def _job_index(job: Path, invalid: frozenset[int]) -> JobIndex:
    index = JobIndex()
    for number, raw in raw_lines(job, LONGEST):
        if isinstance(raw, TooLong) or not raw or raw.isspace() or number in invalid:
            continue
        custom_id = job_line_id(raw, number)
        if custom_id:
            index.add(number, custom_id, "")
    return index


def job_line_id(raw: bytes, number: int) -> str:
    """The id of a job's line; empty for a line that has none."""
    for head in _JOB_HEADS:
        if raw.startswith(head) and raw.count(b'"custom_id"') == 1:
            found = raw[len(head) : raw.find(b'"', len(head))]
            if b"\\" not in found:
                try:
                    return found.decode()
                except UnicodeDecodeError:
                    return ""
    try:
        values = loads(raw)
        custom_id = values.get("custom_id", f"line-{number}") if isinstance(values, dict) else ""
    except ValueError:
        return ""
    return custom_id if isinstance(custom_id, str) else ""
