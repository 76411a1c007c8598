"""The one rewrite of `results.jsonl`: where lines were done anew, their superseded records are moved aside."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from batchllm.journal.append_file import AppendFile
from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import RESULTS
from batchllm.journal.replay import MAX_RECORD, damaged
from batchllm.journal.storage import Storage, whole_file
from batchllm.journal.superseded import NAME as SUPERSEDED
from batchllm.journal.superseded import mark, superseded
from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json


def compact(storage: Storage, folder: Path, index: JobIndex, current: Callable[[int, Json], bool]) -> int:
    """Move records of lines that have a later one aside; returns how many. New file, fsync, rename, fsync of the folder.

    The last record of a `custom_id` stays, wherever an earlier run or setting had answered it before; unless the line
    has failed since, whose one record stands in `errors.jsonl`. Records of lines the job no longer has stay too. What
    goes is on the disk in `results.superseded.jsonl` before the results lose it. A crash leaves the old file or the new
    one, each of which is sound.
    """
    path = folder / RESULTS
    last = _last_records(path, index)
    moved = {one for one, _ in superseded(folder)}
    dropped = 0
    aside = AppendFile(storage, folder / SUPERSEDED)
    try:
        aside.repair()
        with whole_file(storage, path) as take:
            for number, raw, record in _records(path):
                line = index.find(record["custom_id"])
                if not line or (last[line] == number and index.state(line) is not State.FAILED and current(line, record)):
                    take(raw + b"\n")
                    continue
                dropped += 1
                if mark(raw) not in moved:
                    aside.append(raw + b"\n")
            aside.sync()
    finally:
        aside.close()
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
