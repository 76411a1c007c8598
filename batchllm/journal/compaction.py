"""The one rewrite of `results.jsonl`: where lines were done anew, their superseded records are left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import RESULTS
from batchllm.journal.replay import MAX_RECORD
from batchllm.journal.storage import Storage
from batchllm.sources.raw_lines import raw_lines
from batchllm.strictjson import loads
from batchllm.types import Json


def compact(storage: Storage, folder: Path, index: JobIndex, current: Callable[[int, Json], bool]) -> int:
    """Leave out records of lines that have a later one; returns how many. New file, fsync, rename, fsync of the folder.

    The last record of a `custom_id` stays, wherever an earlier run or setting had answered it before. Records of lines
    the job no longer has stay too. A crash leaves the old file or the new one, each of which is sound.
    """
    path = folder / RESULTS
    last = _last_records(path, index)
    temporary = folder / f".{RESULTS}.new"
    dropped = 0
    fd = storage.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for number, raw in raw_lines(path, MAX_RECORD):
            assert isinstance(raw, bytes)
            if not raw:
                continue
            record = loads(raw)
            line = index.find(record["custom_id"])
            if line and (last[line] != number or (index.state(line) is State.DONE and not current(line, record))):
                dropped += 1
                continue
            view = memoryview(raw + b"\n")
            while view:
                view = view[storage.write(fd, view) :]
        storage.fsync(fd)
    finally:
        storage.close(fd)
    storage.replace(temporary, path)
    storage.fsync_folder(folder)
    return dropped


def _last_records(path: Path, index: JobIndex) -> dict[int, int]:
    """The number of the last record of each line of the job; only lines with a record take memory."""
    last: dict[int, int] = {}
    for number, raw in raw_lines(path, MAX_RECORD):
        if raw:
            assert isinstance(raw, bytes)
            line = index.find(loads(raw)["custom_id"])
            if line:
                last[line] = number
    return last
