"""The file in which the processes of one user keep shared limits: SQLite, a row, a short transaction for every visit.

It is a memory of a minute and needs no fsync: SQLite's journal makes a visit that was cut off by a kill undone. Its name
bears the machine's boot, since the monotonic clock that the state counts in begins anew with each.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import orjson

from batchllm.errors import ExitCode, JobError
from batchllm.throttle.pool import Ask
from batchllm.throttle.shared import Answer, Report, Shared

T = TypeVar("T")
BUSY_S = 2.0
"""How long a visit waits for those of others; each takes a fraction of a millisecond, but on a busy machine."""
AGAIN_S = 5.0
"""Where the file failed: seconds until it is tried again."""
OLD_S = 2 * 86400.0
VERSION = 1
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Ledger:
    """One member's way to the file. Blocking: for a thread of its own.

    Where the file fails the member goes on alone, with its part of the limits as there were members last, and `fault` says
    why; it comes back by itself. Raises `JobError` (2) where the file cannot be made at all.
    """

    def __init__(self, folder: Path, name: str, clock: Callable[[], float]) -> None:
        self.member = uuid4().hex[:12]
        self.fault: str | None = None
        self._path = folder / f"{name}.{_boot()}.sqlite3"
        self._clock = clock
        self._book: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None
        self._others = 0
        self._alone = Shared()
        self._again_at = 0.0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(folder)
            _remove_old(folder, name)
            self._visit(lambda shared, now: None)
        except (OSError, sqlite3.Error) as error:
            raise JobError(ExitCode.USAGE, f"limits.share: {self._path} cannot be used: {_reason(error)}") from None

    def exchange(self, report: Report) -> Answer:
        """Tell and be told."""
        if self.fault is not None and self._clock() < self._again_at:
            return self._by_itself(report)
        try:
            answer = self._visit(lambda shared, now: shared.exchange(self.member, report, now))
        except Exception as error:  # whatever is in that file, the run goes on
            self._fail(error)
            return self._by_itself(report)
        self.fault, self._others = None, answer.others
        return answer

    def leave(self, report: Report) -> None:
        """The last visit. What cannot be told any more is over in a second anyway."""
        with suppress(Exception):
            self._visit(lambda shared, now: shared.leave(self.member, report, now))
        self._close()

    def _visit(self, work: Callable[[Shared, float], T]) -> T:
        book = self._opened()
        book.execute("BEGIN IMMEDIATE")
        try:
            now = self._clock()
            row = book.execute("SELECT state FROM shared").fetchone()
            shared = Shared.restored(orjson.loads(row[0]) if row else None, now)
            done = work(shared, now)
            book.execute("REPLACE INTO shared (id, state) VALUES (1, ?)", (orjson.dumps(shared.as_json()),))
            book.execute("COMMIT")
        except BaseException:
            if book.in_transaction:
                book.execute("ROLLBACK")
            raise
        return done

    def _opened(self) -> sqlite3.Connection:
        """The open file, unless somebody removed it or put another in its place."""
        if self._book is not None and self._file is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(follow_symlinks=False), self._file):
                    return self._book
            self._close()
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self._file = self._path.stat(follow_symlinks=False)
        book = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
        try:
            book.execute("PRAGMA synchronous = OFF")
            version = book.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"it is of version {version}, this is {VERSION}")
            if not version:
                book.execute("CREATE TABLE IF NOT EXISTS shared (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL)")
                book.execute(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            book.close()
            raise
        self._book = book
        return book

    def _close(self) -> None:
        if self._book is not None:
            self._book.close()
            self._book = None

    def _fail(self, error: Exception) -> None:
        self._close()
        self.fault = f"{self._path} cannot be used: {_reason(error)}"
        self._again_at = self._clock() + AGAIN_S

    def _by_itself(self, report: Report) -> Answer:
        part = self._others + 1
        asked = replace(report, requests=_part(report.requests, part), tokens=_part(report.tokens, part))
        return self._alone.exchange(self.member, asked, self._clock())


def state_folder() -> Path:
    """The same for a login, for cron and for a service of this user, where the runtime folder is not."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "batchllm" / "limits"


def _part(ask: Ask, of: int) -> Ask:
    return replace(ask, limit=None if ask.limit is None else ask.limit / of)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _boot() -> str:
    try:
        return _BOOT.read_text().strip().replace("-", "")[:12]
    except OSError:
        return socket.gethostname().partition(".")[0] or "here"


def _refuse_foreign(folder: Path) -> None:
    """Raises OSError for a folder in which others may write: they could stop this user's runs."""
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(1, "its folder has to be yours, and writable by nobody else")


def _remove_old(folder: Path, name: str) -> None:
    """The files of earlier boots."""
    for path in folder.glob(f"{name}.*.sqlite3"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - OLD_S and path.name != f"{name}.{_boot()}.sqlite3":
                path.unlink()
