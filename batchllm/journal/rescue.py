"""Where answers go when a file can no longer be trusted or may not grow: into a new file, taken back by the next run.

Linux reports a failed fsync once and then calls the pages clean, so neither the file's end nor a second fsync of it can be
believed. A new file has new pages: what its own fsync confirms is there. `.rescue` holds, for each file, how much of it
was confirmed, and every line behind that.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.journal.append_file import AppendFile, whole_documents
from batchllm.journal.storage import Storage, whole_file

NAME = ".rescue"
MOST = 1 << 28
"""Above so many bytes behind the last sync (`durability = "none"` in a large run) they are left to the cache."""


def put_aside(
    storage: Storage, folder: Path, files: Iterable[AppendFile], unwritten: Iterable[tuple[AppendFile, bytes]]
) -> None:
    """Write down what the files' own pages may have lost, and what was never written. Raises OSError if this fails too."""
    confirmed, lines = {}, []
    for file in files:
        confirmed[file.path.name], behind = _behind(file)
        lines += [(file, line) for line in behind]
    with whole_file(storage, folder / NAME) as take:
        take(orjson.dumps(confirmed) + b"\n")
        for file, line in (*lines, *unwritten):
            take(file.path.name.encode() + b" " + line)


def _behind(file: AppendFile) -> tuple[int, list[bytes]]:
    """How much of a file is beyond doubt, and the lines behind that."""
    if file.size - file.synced > MOST:
        return file.size, []
    try:
        return file.synced, list(whole_documents(file.unsynced()))
    except OSError:
        return file.size, []


def take_back(storage: Storage, folder: Path) -> str | None:
    """Cut each file to what was confirmed and append the rescued lines; says so in words, None where there are none.

    Dying in between is harmless: the next run begins again at the same confirmed ends. Raises OSError, and `JobError`
    (65) for a file that is not what `put_aside` wrote.
    """
    path = folder / NAME
    try:
        header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    except FileNotFoundError:
        return None
    try:
        ends = {str(name): int(end) for name, end in orjson.loads(header).items() if "/" not in name}
    except (ValueError, AttributeError, TypeError):
        raise JobError(ExitCode.BAD_DATA, f"{path} is damaged; it holds answers that the last run could not write") from None
    for name, end in ends.items():
        prefix = name.encode() + b" "
        _append_behind(storage, folder / name, end, [line[len(prefix) :] for line in lines if line.startswith(prefix)])
    storage.unlink(path)
    storage.fsync_folder(folder)
    return f"{len(lines)} lines were taken back that the last run could not force to disk"


def _append_behind(storage: Storage, path: Path, end: int, lines: list[bytes]) -> None:
    file = AppendFile(storage, path)
    try:
        file.cut(end)
        for line in lines:
            file.append(line + b"\n")
        file.sync()
    finally:
        file.close()
