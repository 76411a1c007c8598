"""Where the gateway keeps what: one folder for the content of files, one for the jobs of batches, one for their journals."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal.lock import FolderLock, take_folder
from batchllm.journal.storage import Storage, cannot_write, make_folder


@dataclass(frozen=True, slots=True)
class Places:
    """The folders below `--data`. Names in them are ids made here: nothing a client sends becomes a path."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def incoming(self) -> Path:
        """Uploads on their way; whatever is here at a start is nobody's."""
        return self.root / "incoming"

    @property
    def jobs(self) -> Path:
        """A second name for the input of each unfinished batch, so that its file may be deleted meanwhile."""
        return self.root / "jobs"

    @property
    def journals(self) -> Path:
        return self.root / "batches"

    @property
    def damaged(self) -> Path:
        """Journals that could not be read any more: for a person."""
        return self.root / "damaged"

    def file(self, file_id: str) -> Path:
        return self.files / file_id

    def job(self, batch_id: str) -> Path:
        return self.jobs / f"{batch_id}.jsonl"

    def journal(self, batch_id: str) -> Path:
        return self.journals / batch_id

    def take(self) -> FolderLock:
        """Make the folders and hold them: one gateway at a time. Raises `JobError` (74, 75)."""
        storage = Storage()
        try:
            lock, _ = take_folder(storage, self.root)
            for folder in (self.files, self.incoming, self.jobs, self.journals):
                make_folder(storage, folder)
        except OSError as error:
            raise cannot_write(self.root, error) from None
        except JobError as error:
            raise JobError(error.exit_code, str(error).replace("another run", "another gateway")) from None
        return lock

    def keep(self, upload: Path, file_id: str) -> None:
        """An upload becomes a file, on the disk before anybody is told. Blocking."""
        storage = Storage()
        storage.replace(upload, self.file(file_id))
        storage.fsync_folder(self.files)

    def give(self, file_id: str, batch_id: str) -> None:
        """The file becomes a batch's job as well. Raises FileNotFoundError where it was deleted just now. Blocking."""
        os.link(self.file(file_id), self.job(batch_id))
        Storage().fsync_folder(self.jobs)

    def remove_files(self, ids: list[str]) -> None:
        for name in ids:
            with suppress(OSError):
                self.file(name).unlink()

    def remove_batch(self, batch_id: str) -> None:
        """What a batch needed while it ran. Blocking."""
        with suppress(OSError):
            self.job(batch_id).unlink()
        shutil.rmtree(self.journal(batch_id), ignore_errors=True)

    def set_aside(self, batch_id: str) -> None:
        """A journal that is damaged. Blocking. Raises OSError."""
        make_folder(Storage(), self.damaged)
        if self.journal(batch_id).exists():
            Storage().replace(self.journal(batch_id), self.damaged / batch_id)

    def sweep(self, files: set[str], batches: set[str]) -> int:
        """Remove what no book names: the rest of what was under way at a kill. How many things that were. Blocking."""
        swept = 0
        for path in [*self.incoming.iterdir(), *(path for path in self.files.iterdir() if path.name not in files)]:
            path.unlink()
            swept += 1
        left = {path.name.removesuffix(".jsonl") for path in (*self.jobs.iterdir(), *self.journals.iterdir())} - batches
        for name in left:
            self.remove_batch(name)
        return swept + len(left)

    def check(self) -> None:
        """Raises `JobError` (65) where the data folder is not a gateway's: it holds other things."""
        others = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        known = {".lock", "files", "incoming", "jobs", "batches", "damaged"}
        strange = sorted(name for name in others - known if not name.startswith("gateway.sqlite3"))
        if strange:
            raise JobError(ExitCode.BAD_DATA, f"{self.root} holds '{strange[0]}', which is no gateway's; name another --data")
