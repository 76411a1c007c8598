"""The journal of a finished batch in the Batch API's form: its output file and its error file. Blocking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchllm.gateway.objects import new_id
from batchllm.journal.errors_file import read_errors
from batchllm.journal.index import JobIndex
from batchllm.journal.journal import RESULTS
from batchllm.journal.replay import whole_lines
from batchllm.journal.storage import Storage, closing, write_all
from batchllm.records import record_id
from batchllm.sources.job_file import JobFile
from batchllm.strictjson import dumps, loads
from batchllm.types import Json

_FACTS = b',"error":null,"batchllm":'
_END = b',"error":null}\n'
_BUFFER = 1 << 18


@dataclass(frozen=True, slots=True)
class Made:
    """A file that is on the disk under its id, and not in the book yet."""

    id: str
    bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class Unasked:
    """What the error file says of lines that were never answered: `batch_expired` or `batch_cancelled`."""

    code: str
    message: str


EXPIRED = Unasked("batch_expired", "This request could not be executed before the completion window expired.")
CANCELLED = Unasked("batch_cancelled", "This request was not executed: the batch was cancelled.")


def output_file(folder: Path, files: Path) -> Made | None:
    """The answered lines, in the order they came; None where there are none, as an empty file has no id."""
    return _made(files, (line for _, _, line in whole_lines(folder / RESULTS, batch_form)))


def error_file(folder: Path, files: Path, job: JobFile, index: JobIndex, unasked: Unasked) -> Made | None:
    """The lines that failed, then those that were never asked."""
    return _made(files, _errors(folder, job, index, unasked))


def batch_form(raw: bytes) -> bytes:
    """A record as the API writes it: without our own facts. Raises ValueError for a line that is no record."""
    if raw.count(_FACTS) == 1 and raw.endswith(b"}}"):
        return raw[: raw.find(_FACTS)] + _END
    record = loads(raw)
    if type(record) is not dict or "custom_id" not in record:
        raise ValueError("no record")
    return dumps({name: record.get(name) for name in ("id", "custom_id", "response", "error")}) + b"\n"


def _errors(folder: Path, job: JobFile, index: JobIndex, unasked: Unasked) -> Iterator[bytes]:
    for record in read_errors(folder):
        yield dumps(_failed(record)) + b"\n"
    error: Json = {"code": unasked.code, "message": unasked.message}
    for batch in job.pending(index.wanted, index.last_line):
        for one in batch:
            name = record_id(one.custom_id, one.digest)
            yield dumps({"id": name, "custom_id": one.custom_id, "response": None, "error": error}) + b"\n"


def _failed(record: Json) -> Json:
    """A refusal that came as an HTTP reply stands in `response` alone; everything else in `error`, beside what there is."""
    response = record.get("response")
    body = response.get("body") if response else None
    refused = response is not None and isinstance(body, dict) and response["status_code"] >= 400
    if response is not None and not isinstance(body, dict):
        response = None
    return {
        "id": record["id"], "custom_id": record["custom_id"], "response": response,
        "error": None if refused else record["error"],
    }  # fmt: skip


def _made(files: Path, lines: Iterable[bytes]) -> Made | None:
    """A new file under a new id. Raises OSError for a disk that takes no more; then nothing is left behind."""
    storage, made = Storage(), new_id("file-")
    path = files / made
    fd = storage.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with closing(storage, fd):
            size, count = _written(lines, lambda data: write_all(storage, fd, data))
            storage.fsync(fd)
    except BaseException:
        with suppress(OSError):
            storage.unlink(path)
        raise
    if not count:
        storage.unlink(path)
        return None
    storage.fsync_folder(files)
    return Made(made, size, count)


def _written(lines: Iterable[bytes], write: Callable[[bytes], None]) -> tuple[int, int]:
    size = count = 0
    waiting = bytearray()
    for line in lines:
        waiting += line
        count += 1
        if len(waiting) >= _BUFFER:
            size += len(waiting)
            write(bytes(waiting))
            waiting.clear()
    write(bytes(waiting))
    return size + len(waiting), count
