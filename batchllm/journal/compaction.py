"""The one rewrite of `results.jsonl`: where lines were done anew, their superseded records are left out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from batchllm.journal.append_file import AppendFile
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import RESULTS
from batchllm.journal.replay import MAX_RECORD, damaged
from batchllm.journal.storage import Storage, whole_file
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json

SUPERSEDED = "results.superseded.jsonl"
"""Answers to what a line asked before it was changed, where the changed line has failed: paid for, so kept, but no result."""


def compact(storage: Storage, folder: Path, index: JobIndex, current: Callable[[int, Json], bool]) -> int:
    """Leave out records of lines that have a later one; returns how many. New file, fsync, rename, fsync of the folder.

    The last record of a `custom_id` stays, wherever an earlier run or setting had answered it before; unless the line
    has failed since, whose one record stands in `errors.jsonl`. Records of lines the job no longer has stay too. A crash
    leaves the old file or the new one, each of which is sound.
    """
    path = folder / RESULTS
    last = _last_records(path, index)
    superseded: AppendFile | None = None
    dropped = 0
    try:
        with whole_file(storage, path) as take:
            for number, raw, record in _records(path):
                line = index.find(record["custom_id"])
                if not line or (last[line] == number and index.state(line) is not State.FAILED and current(line, record)):
                    take(raw + b"\n")
                    continue
                dropped += 1
                if last[line] == number:
                    superseded = superseded or AppendFile(storage, folder / SUPERSEDED)
                    superseded.append(raw + b"\n")
            if superseded is not None:
                superseded.sync()
    finally:
        if superseded is not None:
            superseded.close()
    return dropped


def _last_records(path: Path, index: JobIndex) -> array[int]:
    """For each line of the job the number of its last record, 0 for none; eight bytes a line."""
    last = array("q", bytes(8 * (index.last_line + 1)))
    for number, _, record in _records(path):
        last[index.find(record["custom_id"])] = number
    return last


def _records(path: Path) -> Iterator[tuple[int, bytes, Json]]:
    for number, raw in raw_lines(path, MAX_RECORD):
        if raw:
            record = _record(raw)
            if record is None:
                raise damaged(path, number)
            assert isinstance(raw, bytes)
            yield number, raw, record


def _record(raw: bytes | TooLong) -> Json | None:
    try:
        record = loads(raw) if isinstance(raw, bytes) else None
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("custom_id"), str) else None
