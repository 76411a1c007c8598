"""`--ordered`: the results once more, in the job's order, streamed through an index of offsets."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import RESULTS
from batchllm.journal.storage import Storage
from batchllm.strictjson import loads

NAME = "results.ordered.jsonl"


def write_ordered(storage: Storage, folder: Path, index: JobIndex) -> None:
    """Every record of the job, answered or failed, by line number. Eight bytes of memory a line; the file is replaced whole."""
    offsets = array("q", bytes(8 * (index.last_line + 1)))
    sources = [(folder / RESULTS).open("rb"), (folder / ERRORS).open("rb")]
    temporary = folder / f".{NAME}.new"
    fd = storage.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for source, file in enumerate(sources):
            at = 0
            for raw in file:
                record = loads(raw)
                line = index.find(record["custom_id"]) or record["batchllm"]["line"]
                if 0 < line <= index.last_line:
                    offsets[line] = (at << 1 | source) + 1
                at += len(raw)
        for place in offsets:
            if place:
                file = sources[(place - 1) & 1]
                file.seek((place - 1) >> 1)
                view = memoryview(file.readline())
                while view:
                    view = view[storage.write(fd, view) :]
        storage.fsync(fd)
    finally:
        storage.close(fd)
        for file in sources:
            file.close()
    storage.replace(temporary, folder / NAME)
    storage.fsync_folder(folder)
