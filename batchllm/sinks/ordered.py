"""`--ordered`: the results once more, in the job's order, streamed through an index of offsets."""

from __future__ import annotations

from array import array
from pathlib import Path

from batchllm.journal.errors_file import NAME as ERRORS
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import RESULTS
from batchllm.journal.storage import Storage, whole_file
from batchllm.strictjson import loads

NAME = "results.ordered.jsonl"


def write_ordered(storage: Storage, folder: Path, index: JobIndex) -> None:
    """Every record of the job, answered or failed, by line number. Eight bytes of memory a line; the file is replaced whole."""
    offsets = array("q", bytes(8 * (index.last_line + 1)))
    with (folder / RESULTS).open("rb") as results, (folder / ERRORS).open("rb") as errors:
        sources = (results, errors)
        for source, file in enumerate(sources):
            at = 0
            for raw in file:
                record = loads(raw)
                line = index.find(record["custom_id"]) or record["batchllm"]["line"]
                if 0 < line <= index.last_line:
                    offsets[line] = (at << 1 | source) + 1
                at += len(raw)
        with whole_file(storage, folder / NAME) as take:
            for place in offsets:
                if place:
                    file = sources[(place - 1) & 1]
                    file.seek((place - 1) >> 1)
                    take(file.readline())
