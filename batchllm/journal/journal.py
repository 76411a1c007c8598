"""What a run writes as it goes: results and attempts, each a whole line at once, forced to disk in groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.journal import rescue
from batchllm.journal.append_file import AppendFile
from batchllm.journal.filesystem import network_warning
from batchllm.journal.group_sync import Durability, GroupSync
from batchllm.journal.lock import LOCK_NAME, take_folder
from batchllm.journal.storage import Storage, cannot_write, closing, write_all

RESULTS = "results.jsonl"
ATTEMPTS = "attempts.jsonl"
RESERVE = ".reserve"
RESERVE_BYTES = 1 << 20
_NOISE = os.urandom(1 << 17)
"""What fills the reserve: zeros, or anything repeated at a shorter distance, would take no room on a disk that packs them."""


class Journal:
    """The two append-only files of an output folder, under its lock.

    Constructing takes the lock and takes back what an earlier run rescued; `open` repairs torn tails and tries the disk.
    `result` and `attempt` are plain calls that return with the bytes handed to the kernel: nothing can come between a paid
    answer and its record. They never raise for a full disk: the line is kept in memory, `fault` is set, `on_fault` called
    once, and every later line and `settle` try again. Raises `JobError`: 75 if another run holds the folder, 74 if it
    cannot be written.
    """

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder = folder
        self.fault: OSError | None = None
        self.on_fault: Callable[[], None] = _nothing
        self._storage = storage
        self._unwritten: list[tuple[AppendFile, bytes]] = []
        self._files: list[AppendFile] = []
        self._sync: GroupSync | None = None
        self._each = False
        self._dead = False
        self._reserved = False
        self._rescued = 0
        try:
            self._lock, self._new = take_folder(storage, folder)
        except OSError as error:
            raise cannot_write(folder, error) from None
        self._held = True
        try:
            self._taken_back = rescue.take_back(storage, folder)
        except OSError as error:
            self.close()
            raise cannot_write(folder, error) from None
        except JobError:
            self.close()
            raise

    def open(self, durability: Durability) -> list[str]:
        """Make the files ready for appending; says in words what had to be repaired, and what to beware of."""
        try:
            self._remove_unfinished()
            self._results, results_repair = self._open(RESULTS)
            self._attempts, attempts_repair = self._open(ATTEMPTS)
            self._probe()
        except OSError as error:
            raise cannot_write(self.folder, error) from None
        self._each = durability == "each"
        if durability == "batch":
            self._sync = GroupSync(self._sync_both, self._sync_failed)
        said = (self._taken_back, results_repair, attempts_repair, network_warning(self.folder))
        return [one for one in said if one]

    def _remove_unfinished(self) -> None:
        """What a run was rewriting when it died; the old file is still the good one."""
        for path in self.folder.glob(".*.new"):
            self._storage.unlink(path)

    def _open(self, name: str) -> tuple[AppendFile, str | None]:
        file = AppendFile(self._storage, self.folder / name)
        self._files.append(file)
        repaired = file.repair()
        file.sync()  # a killed run may not have come to it, and what counts as done from now on must stay
        return file, repaired

    def _probe(self) -> None:
        """Write, sync and keep a reserve: proof that the disk takes data, and room for what is in flight when it is full."""
        fd = self._storage.open(self.folder / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._reserved = True
        with closing(self._storage, fd):
            missing = RESERVE_BYTES - os.fstat(fd).st_size
            if missing > 0:
                write_all(self._storage, fd, (_NOISE * (RESERVE_BYTES // len(_NOISE)))[:missing])
                self._storage.fsync(fd)
        self._storage.fsync_folder(self.folder)

    def result(self, line: bytes) -> None:
        self._append(self._results, line)

    def results(self, lines: Sequence[bytes]) -> None:
        """Several results in one piece; one by one where the disk does not take them all, so that what fits is kept."""
        if len(lines) > 1 and not self._dead and not self._unwritten:
            try:
                self._results.append(b"".join(lines))
            except OSError:  # nothing of it stands there
                pass
            else:
                self._wrote(len(lines))
                return
        for line in lines:
            self.result(line)

    def attempt(self, line: bytes) -> None:
        self._append(self._attempts, line)

    def _append(self, file: AppendFile, line: bytes) -> None:
        if self._dead:
            self._unwritten.append((file, line))
            return
        try:
            file.append(line)
        except OSError as error:
            self._unwritten.append((file, line))
            self._full(error)
            return
        if self._unwritten:
            self._write_pending()
        self._wrote(1)

    def _wrote(self, records: int) -> None:
        if self._sync is not None:
            self._sync.wrote(records)
        elif self._each:
            self._sync_now()

    def _full(self, error: OSError) -> None:
        """The disk takes no more: stop the run, and give up the reserve so that what is in flight still fits."""
        self._failed(error)
        if self._reserved:
            self._give_up_reserve()
            self._write_pending()

    def _give_up_reserve(self) -> None:
        self._reserved = False
        with contextlib.suppress(OSError):
            self._storage.unlink(self.folder / RESERVE)

    def _write_pending(self) -> None:
        """Try every line that is still unwritten: behind one that does not fit there may be one that does."""
        waiting, self._unwritten = self._unwritten, []
        for file, line in waiting:
            try:
                file.append(line)
            except OSError:
                self._unwritten.append((file, line))

    def _sync_both(self) -> None:
        for file in self._files:
            file.sync()

    def _sync_failed(self, error: OSError) -> None:
        """Final: the kernel has dropped pages and will not say so twice, so nothing is appended behind them."""
        self._dead = True
        self._failed(error)

    def _failed(self, error: OSError) -> None:
        if self.fault is None:
            self.fault = error
            with contextlib.suppress(RuntimeError):  # the loop it is told to may have ended already
                self.on_fault()

    def _sync_now(self) -> None:
        try:
            self._sync_both()
        except OSError as error:
            self._sync_failed(error)

    def force(self) -> None:
        """Sync now: what is about to be said elsewhere rests on it. A refusal shows in `fault`, as ever. Blocking."""
        self._sync_now()

    @property
    def unwritten(self) -> int:
        """Lines that the disk has not taken."""
        return len(self._unwritten)

    def settle(self) -> None:
        """Stop the syncing thread, write what is still unwritten, sync. Raises `JobError` (74) if the disk refused anything."""
        self.on_fault = _nothing
        self._stop_syncing()
        if not self._dead:
            self._write_pending()
            self._sync_now()
        if self._dead or self._unwritten:
            self._rescue()
        if self.fault is not None:
            raise JobError(ExitCode.DISK, self._fault_text(self.fault))

    def _stop_syncing(self) -> None:
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    def _rescue(self) -> None:
        """What was not confirmed or did not fit, into a new file: where one file may not grow, another still may."""
        self._give_up_reserve()
        try:
            rescue.put_aside(self._storage, self.folder, self._files, self._unwritten)
        except OSError:
            return
        self._rescued = len(self._unwritten)
        self._unwritten.clear()

    def _fault_text(self, fault: OSError) -> str:
        lost = f"; {len(self._unwritten)} answers could not be written and will be asked again" if self._unwritten else ""
        kept = f"; {self._rescued} answers are in {rescue.NAME} and will be taken back" if self._rescued else ""
        return (
            f"{self.folder}: the disk failed: {fault.strerror or fault}{lost}{kept}; "
            "free some space or mend it, then run the same command again"
        )

    def sizes(self) -> tuple[int, int]:
        """Bytes of results and of attempts written so far."""
        return self._results.size, self._attempts.size

    def close(self) -> None:
        """Release the folder. Safe to call twice, and whatever the disk says."""
        self._stop_syncing()
        if self._reserved:
            self._give_up_reserve()
        for file in self._files:
            file.close()
        self._files.clear()
        if self._held:
            self._held = False
            self._lock.close()

    def abandon(self) -> None:
        """Release the folder before anything was sent; a folder made for this run goes again, unless it holds anything."""
        if self._new and not self._has_records():
            self._reserved = False
            for name in (RESULTS, ATTEMPTS, RESERVE, "job.json", LOCK_NAME):
                with contextlib.suppress(OSError):
                    self._storage.unlink(self.folder / name)
            with contextlib.suppress(OSError):
                self._storage.rmdir(self.folder)
        self.close()

    def _has_records(self) -> bool:
        return any(path.stat().st_size for path in self.folder.glob("*.jsonl"))


def _nothing() -> None:
    return
