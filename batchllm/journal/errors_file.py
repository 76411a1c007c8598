"""`errors.jsonl`: one line per request that is failed now, made anew from the attempts each time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from batchllm.journal.index import JobIndex, State
from batchllm.journal.journal import ATTEMPTS
from batchllm.journal.replay import records
from batchllm.journal.storage import Storage, whole_file
from batchllm.records import Record
from batchllm.strictjson import dumps
from batchllm.types import BadLine, Json

NAME = "errors.jsonl"


def write_errors(storage: Storage, folder: Path, index: JobIndex, bad: Iterable[BadLine]) -> None:
    """Replace the file as a whole: bad lines first, then failed ones in the order they failed, the last word of each."""
    with whole_file(storage, folder / NAME) as take:
        for line in _lines(folder, index, bad):
            take(line)


def _lines(folder: Path, index: JobIndex, bad: Iterable[BadLine]) -> Iterable[bytes]:
    for one in bad:
        facts: Json = {"line": one.line, "retryable": False}
        yield Record(one.line, one.custom_id, "", code=one.code, message=one.message, facts=facts).to_json()
    if not index.count(State.FAILED):
        return
    last = {_line(note, index): number for number, note in records(folder / ATTEMPTS) if "record" in note}
    for number, note in records(folder / ATTEMPTS):
        line = _line(note, index)
        if last.get(line) == number and index.state(line) is State.FAILED:
            yield dumps(note["record"]) + b"\n"


def _line(note: Json, index: JobIndex) -> int:
    custom_id = note.get("custom_id")
    return index.find(custom_id) if isinstance(custom_id, str) else 0


def read_errors(folder: Path) -> Iterable[Json]:
    """The records of `errors.jsonl`, none if there is no such file."""
    try:
        data = (folder / NAME).open("rb")
    except FileNotFoundError:
        return
    with data:
        for line in data:
            yield orjson.loads(line)
