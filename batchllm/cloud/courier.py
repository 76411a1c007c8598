"""A thread that ships a journal while its run goes: whole lines that are on the disk, in segments, and a listing of them.

The run never waits for it, and what it cannot upload stays where it is: in the local folder, to be tried again. It holds
one segment in memory at a time.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from batchllm.cloud.bucket import Bucket, TakenError, unreachable, why
from batchllm.cloud.lease import Lease
from batchllm.cloud.listing import SHIPPED, Segment, digest
from batchllm.cloud.register import Register
from batchllm.cloud.restore import Known, write_own
from batchllm.errors import ExitCode, JobError
from batchllm.journal.storage import Storage
from batchllm.settings import Cloud
from batchllm.types import Json

LOOK_S = 1.0
"""Seconds between looks at the files."""
BACKOFF_S, BACKOFF_MOST_S = 1.0, 60.0
AT_THE_END_MOST_S = 5.0
"""The longest pause between two tries once the run has ended."""
PASS = 8
"""Segments of a file between two listings."""
DERIVED = ("errors.jsonl", "results.ordered.jsonl", "report.html", "summary.json", "job.json")
"""Files that are uploaded whole once the run has ended."""


class Courier:
    """`start`, then `finish` when the run has ended. `tell` gets a sentence when uploads begin to fail, and when they go again."""

    def __init__(
        self,
        bucket: Bucket,
        folder: Path,
        storage: Storage,
        known: Known,
        lease: Lease,
        terms: Cloud,
        tell: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bucket, self._folder, self._storage, self._terms = bucket, folder, storage, terms
        self._lease, self._tell, self._owner, self._sleep = lease, tell, known.owner, sleep
        self._register = Register(bucket, known, folder / "job.json")
        self._checked: dict[str, int] = {}
        """The inode under which each file was found to begin with what was shipped of it."""
        self._again: set[str] = set()
        """Files that were rewritten and are shipped anew: until they are there as a whole, the old segments count."""
        self._shipped_at = {file: time.monotonic() for file in SHIPPED}
        self._ending = Event()
        self._deadline = float("inf")
        self._failures = self._tries = 0
        self._thread = Thread(target=self._work, name="batchllm-courier", daemon=True)
        self.error: str | None = None
        self.complete = False
        self.on_lost: Callable[[JobError], object] = lambda ending: None

    def start(self) -> None:
        """Take the address. Raises `JobError` (69, 75, 77) where that fails; then nothing was sent."""
        try:
            self._lease.take()
            write_own(self._storage, self._folder, self._bucket.at, self._owner)
            self._register.begin()
        except TakenError:
            raise JobError(
                ExitCode.TRY_LATER, f"{self._bucket.at} was taken by another run just now; nothing was sent"
            ) from None
        except JobError:
            raise
        except Exception as error:
            raise unreachable(self._bucket.at, error) from None
        self._thread.start()

    def finish(self) -> Json:
        """Ship what is left, for as long as `cloud.patience` allows. What came of it, for the summary."""
        if self._thread.is_alive():
            self._deadline = time.monotonic() + self._terms.patience
            self._ending.set()
            self._thread.join(self._terms.patience + LOOK_S)
        committed = self._register.committed
        shipped = sum(committed.shipped(file) for file in SHIPPED)
        return {
            "to": str(self._bucket.at),
            "complete": self.complete,
            "segments": sum(len(segments) for segments in committed.files.values()),
            "bytes": shipped,
            "bytes_left": max(0, sum(_size(self._folder / file) for file in SHIPPED) - shipped),
            "failed_tries": self._failures,
            "error": None if self.complete else self.error or f"it took longer than {self._terms.patience:g} s",
        }

    # -- the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self.complete:
            try:
                self._lease.renew()
                behind = self._ship(everything=self._ending.is_set())
                self._well()
            except TakenError:
                self._lose()
                return
            except Exception as error:  # whatever a library makes of a bad line: it is tried again
                self._ill(error)
                behind = False
            if time.monotonic() > self._deadline:
                return
            if not behind and not self.complete:
                self._rest()

    def _rest(self) -> None:
        pause = LOOK_S
        if self._tries:
            pause = min(BACKOFF_MOST_S, BACKOFF_S * 2.0 ** min(self._tries - 1, 16)) * random.uniform(0.5, 1.0)
        if self._ending.is_set():
            self._sleep(max(0.0, min(pause if self._tries else 0.0, AT_THE_END_MOST_S, self._deadline - time.monotonic())))
        else:
            self._ending.wait(pause)

    def _well(self) -> None:
        if self._tries:
            self._tell(f"{self._bucket.at}: uploads go again")
        self._tries, self.error = 0, None

    def _ill(self, error: Exception) -> None:
        self._failures += 1
        self._tries += 1
        self.error = why(error)
        if self._tries == 1:
            self._tell(f"{self._bucket.at}: {self.error}; the run goes on, and uploads are tried again")

    def _lose(self) -> None:
        self.error = "another run took it"
        with suppress(Exception):  # one that it took again on waking up, after the other had ended
            self._lease.release()
        self.on_lost(
            JobError(ExitCode.TRY_LATER, f"{self._bucket.at} was taken by another run; what is here is in {self._folder}")
        )

    def _ship(self, *, everything: bool) -> bool:
        """Upload what is due, list it, and say whether there is more at once."""
        try:
            behind = [self._ship_file(file, everything=everything) for file in SHIPPED]
        finally:  # also where the next upload failed: what is listed is not lost with this machine
            if self._register.has_news and not self._again:
                self._register.commit()
        if everything and not any(behind):
            self._leave_derived()
            self._register.commit(complete=True)
            self._lease.release()
            self.complete = True
        return any(behind)

    def _leave_derived(self) -> None:
        for name in DERIVED:
            if (self._folder / name).is_file():
                self._bucket.put(name, self._folder / name)

    def _ship_file(self, file: str, *, everything: bool) -> bool:
        try:
            fd = os.open(self._folder / file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            self._check(file, fd)
            for _ in range(PASS):
                left = os.fstat(fd).st_size - self._register.draft.shipped(file)
                if not left or not (everything or file in self._again or self._is_due(file, left)):
                    self._again.discard(file)
                    return False
                data = _whole_lines(fd, self._register.draft.shipped(file), self._terms.segment)
                if not data:
                    self._again.discard(file)
                    return False
                os.fsync(fd)  # nothing is elsewhere that a power cut could take from here
                self._add(file, data)
        finally:
            os.close(fd)
        return True

    def _is_due(self, file: str, left: int) -> bool:
        return left >= self._terms.segment or time.monotonic() >= self._shipped_at[file] + self._terms.every

    def _add(self, file: str, data: bytes) -> None:
        self._register.add(file, data)
        self._shipped_at[file] = time.monotonic()
        self._tries = min(self._tries, 1)  # it is slow going, but going

    def _check(self, file: str, fd: int) -> None:
        """Where the file is not what was shipped of it (rewritten, cut, put back by hand), ship it anew under other names."""
        found = os.fstat(fd)
        if self._checked.get(file) == found.st_ino and found.st_size >= self._register.draft.shipped(file):
            return
        if not _begins_with(fd, self._register.draft.files.get(file, ())):
            self._register.forget(file)
            self._again.add(file)
        self._checked[file] = found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _begins_with(fd: int, segments: tuple[Segment, ...]) -> bool:
    at = 0
    for one in segments:
        if digest(os.pread(fd, one.bytes, at)) != one.sha256:
            return False
        at += one.bytes
    return True


def _whole_lines(fd: int, at: int, most: int) -> bytes:
    """The lines from there on, of about so many bytes but one line at least; empty where no line has ended."""
    while data := os.pread(fd, most, at):
        end = data.rfind(b"\n") + 1
        if end or len(data) < most:
            return data[:end]
        most *= 2
    return b""
