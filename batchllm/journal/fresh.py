"""`--fresh`: the old output folder gets a name with its time; nothing is ever deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batchllm.journal.lock import FolderLock
from batchllm.journal.storage import Storage, cannot_write


def move_aside(folder: Path, storage: Storage) -> None:
    """Rename the folder, if there is one with anything in it. Raises `JobError`: 75 if a run holds it, 74 if it cannot be."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        lock = FolderLock(storage, folder)  # a run that is still writing keeps its folder
        aside = folder.with_name(f"{folder.name}.{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%f')}")
        try:
            storage.replace(folder, aside)
            storage.fsync_folder(folder.parent)
        finally:
            lock.close()
    except OSError as error:
        raise cannot_write(folder, error) from None
