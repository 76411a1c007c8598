"""`batchllm run - -o DIR`: a job out of a pipe, kept beside its output folder first, since it is read more than once."""

from __future__ import annotations

import sys
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import FolderLock
from batchllm.journal.storage import Storage, whole_file

BLOCK = 1 << 20


def spooled(job: Path, output: Path | None) -> Path:
    """The job itself, or for `-` the file that standard input was written to. The same input again goes on as ever.

    Raises `JobError`: 2 without an output folder, 75 if a run is using it, 74 if the disk does not take the job.
    """
    if str(job) != "-":
        return job
    if output is None:
        raise JobError(ExitCode.USAGE, "a job from standard input needs -o DIR: there is no name to take the folder's from")
    storage, path = Storage(), output.with_name(f"{output.name}.stdin.jsonl")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(storage, output) if output.exists() else None
        try:
            with whole_file(storage, path) as take:
                while block := sys.stdin.buffer.read(BLOCK):
                    take(block)
        finally:
            if lock is not None:
                lock.close()
    except OSError as error:
        raise JobError(ExitCode.DISK, f"{path}: cannot be written: {error.strerror or error}; nothing was sent") from None
    return path
