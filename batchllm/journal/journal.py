"""What a run writes as it goes: results and attempts, each a whole line at once, forced to disk in groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal.append_file import AppendFile
from batchllm.journal.group_sync import Durability, GroupSync
from batchllm.journal.lock import LOCK_NAME, FolderLock
from batchllm.journal.storage import Storage

RESULTS = "results.jsonl"
ATTEMPTS = "attempts.jsonl"
RESERVE = ".reserve"
RESERVE_BYTES = 1 << 20


class Journal:
    """The two append-only files of an output folder, under its lock.

    Constructing takes the lock; `open` repairs torn tails and tries the disk. `result` and `attempt` are plain calls that
    return with the bytes handed to the kernel: nothing can come between a paid answer and its record. They never raise
    for a full disk: the line is kept in memory, `fault` is set, `on_fault` called once, and `settle` tries again.
    Raises `JobError`: 75 if another run holds the folder, 74 if it cannot be written.
    """

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder = folder
        self.fault: OSError | None = None
        self.on_fault: Callable[[], None] = lambda: None
        self._storage = storage
        self._unwritten: list[tuple[AppendFile, bytes]] = []
        self._files: list[AppendFile] = []
        self._sync: GroupSync | None = None
        self._each = False
        self._dead = False
        self._new = not folder.exists()
        try:
            storage.mkdir(folder)
            self._lock: FolderLock | None = FolderLock(storage, folder)
        except OSError as error:
            raise _cannot_write(folder, error) from None

    def open(self, durability: Durability) -> list[str]:
        """Make the files ready for appending; says in words what had to be repaired."""
        try:
            self._results, results_repair = self._open(RESULTS)
            self._attempts, attempts_repair = self._open(ATTEMPTS)
            self._probe()
        except OSError as error:
            raise _cannot_write(self.folder, error) from None
        self._each = durability == "each"
        if durability == "batch":
            self._sync = GroupSync(self._sync_both, self._sync_failed)
        return [one for one in (results_repair, attempts_repair) if one]

    def _open(self, name: str) -> tuple[AppendFile, str | None]:
        file = AppendFile(self._storage, self.folder / name)
        self._files.append(file)
        return file, file.repair()

    def _probe(self) -> None:
        """Write, sync and keep a small reserve: proof that the disk takes data, and room for what is in flight when it is full."""
        path = self.folder / RESERVE
        fd = self._storage.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            missing = RESERVE_BYTES - os.fstat(fd).st_size
            if missing > 0:
                os.lseek(fd, 0, os.SEEK_END)
                _write_all(self._storage, fd, bytes(missing))
                self._storage.fsync(fd)
        finally:
            self._storage.close(fd)
        self._storage.fsync_folder(self.folder)

    def result(self, line: bytes) -> None:
        self._append(self._results, line)

    def attempt(self, line: bytes) -> None:
        self._append(self._attempts, line)

    def _append(self, file: AppendFile, line: bytes) -> None:
        if self._unwritten or self._dead:
            self._unwritten.append((file, line))
            return
        try:
            file.append(line)
        except OSError as error:
            self._full(error)
            self._unwritten.append((file, line))
            self._write_pending()
            return
        if self._sync is not None:
            self._sync.wrote()
        elif self._each:
            self._sync_now()

    def _full(self, error: OSError) -> None:
        """The disk takes no more: stop the run, and give up the reserve so that what is in flight still fits."""
        if self.fault is None:
            self.fault = error
            self.on_fault()
        try:
            self._storage.unlink(self.folder / RESERVE)
        except OSError:
            return

    def _write_pending(self) -> None:
        while self._unwritten and not self._dead:
            file, line = self._unwritten[0]
            try:
                file.append(line)
            except OSError:
                return
            del self._unwritten[0]

    def _sync_both(self) -> None:
        self._results.sync()
        self._attempts.sync()

    def _sync_failed(self, error: OSError) -> None:
        """Final: the kernel has dropped pages and will not say so twice, so nothing is appended behind them."""
        self._dead = True
        if self.fault is None:
            self.fault = error
            self.on_fault()

    def _sync_now(self) -> None:
        try:
            self._sync_both()
        except OSError as error:
            self._sync_failed(error)

    @property
    def unwritten(self) -> int:
        """Lines that the disk has not taken."""
        return len(self._unwritten)

    def settle(self) -> None:
        """Stop the syncing thread, write what is still unwritten, sync. Raises `JobError` (74) if the disk refuses."""
        if self._sync is not None:
            self._sync.close()
            if self._sync.error is not None:
                self._sync_failed(self._sync.error)
            self._sync = None
        self._write_pending()
        if not self._dead:
            self._sync_now()
        if self.fault is not None:
            raise JobError(ExitCode.DISK, self._fault_text(self.fault))

    def _fault_text(self, fault: OSError) -> str:
        lost = f"; {len(self._unwritten)} answers could not be written and will be asked again" if self._unwritten else ""
        return (
            f"{self.folder}: the disk failed: {fault.strerror or fault}{lost}; "
            "free some space or mend it, then run the same command again"
        )

    def sizes(self) -> tuple[int, int]:
        """Bytes of results and of attempts written so far."""
        return self._results.size, self._attempts.size

    def close(self) -> None:
        """Release the folder. Safe to call twice."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None
        if self._files:
            with contextlib.suppress(OSError):
                self._storage.unlink(self.folder / RESERVE)
        for file in self._files:
            file.close()
        self._files.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def abandon(self) -> None:
        """Release the folder before anything was sent; a folder made for this run goes again."""
        if self._new:
            for name in (LOCK_NAME, RESULTS, ATTEMPTS, RESERVE):
                with contextlib.suppress(OSError):
                    self._storage.unlink(self.folder / name)
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        self.close()


def _write_all(storage: Storage, fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[storage.write(fd, view) :]


def _cannot_write(folder: Path, error: OSError) -> JobError:
    return JobError(ExitCode.DISK, f"{folder}: cannot be written: {error.strerror or error}; nothing was sent")
