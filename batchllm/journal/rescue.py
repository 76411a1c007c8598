"""Where answers go when a file can no longer be trusted: after a failed fsync, into a new file, taken back by the next run.

Linux reports a failed fsync once and then calls the pages clean, so neither the file's end nor a second fsync of it can be
believed. A new file has new pages: what its own fsync confirms is there. `.rescue` holds, for each file, how much of it
was confirmed, and every line behind that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import orjson

from batchllm.journal.append_file import AppendFile, whole_documents
from batchllm.journal.storage import Storage, whole_file

NAME = ".rescue"


def put_aside(storage: Storage, folder: Path, files: Iterable[AppendFile], unwritten: Iterable[tuple[AppendFile, bytes]]) -> None:
    """Write down what the files' own pages may have lost, and what was never written. Raises OSError if this fails too."""
    lines = [(file, line) for file in files for line in _behind(file)]
    confirmed = {file.path.name: max(0, file.synced) for file in files}
    with whole_file(storage, folder / NAME) as take:
        take(orjson.dumps(confirmed) + b"\n")
        for file, line in (*lines, *unwritten):
            take(file.path.name.encode() + b" " + line)


def _behind(file: AppendFile) -> list[bytes]:
    try:
        return list(whole_documents(file.unsynced()))
    except OSError:
        return []


def take_back(storage: Storage, folder: Path) -> str | None:
    """Cut each file to what was confirmed and append the rescued lines; says so in words, None where there are none.

    Dying in between is harmless: the next run begins again at the same confirmed ends.
    """
    path = folder / NAME
    try:
        header, *lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    for name, confirmed in orjson.loads(header).items():
        prefix = name.encode() + b" "
        file = AppendFile(storage, folder / name)
        try:
            file.cut(confirmed)
            for line in lines:
                if line.startswith(prefix):
                    file.append(line[len(prefix) :])
            file.sync()
        finally:
            file.close()
    with contextlib.suppress(FileNotFoundError):
        storage.unlink(path)
    storage.fsync_folder(folder)
    return f"{len(lines)} lines were taken back that the last run could not force to disk"
