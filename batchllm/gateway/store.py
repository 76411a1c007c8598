"""The gateway's book in SQLite: which files and batches there are, whose they are, where they stand. One thread holds it."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from batchllm.errors import ExitCode, JobError
from batchllm.gateway.rows import SCHEMA
from batchllm.journal.storage import FILE_MODE

T = TypeVar("T")
NAME = "gateway.sqlite3"
VERSION = 1
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class Store:
    """`call` runs a function of a connection in the book's own thread, as one transaction: all of it is on the disk when
    it returns, or nothing is. Raises OSError for a disk that takes no more, `JobError` (65) for a book of another kind.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        self._thread = ThreadPoolExecutor(1, "batchllm-book")
        try:
            self._book = self._thread.submit(_opened, path).result()
        except sqlite3.DatabaseError as error:
            self._thread.shutdown()
            raise JobError(ExitCode.BAD_DATA, f"{path}: cannot be used: {error}; another --data begins anew") from None
        except BaseException:
            self._thread.shutdown()
            raise

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in one transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _transaction(self._book):
            return work(self._book)

    def close(self) -> None:
        """Wait for what is being written, and end the thread."""
        self._thread.submit(self._book.close).result()
        self._thread.shutdown()


@contextmanager
def _transaction(book: sqlite3.Connection) -> Iterator[None]:
    try:
        book.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if book.in_transaction:
                book.execute("ROLLBACK")
            raise
        book.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if book.in_transaction:  # a COMMIT that found no room
            book.execute("ROLLBACK")
        if error.sqlite_errorcode & 0xFF in _FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def _opened(path: Path) -> sqlite3.Connection:
    book = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        book.execute("PRAGMA journal_mode = WAL")
        book.execute("PRAGMA synchronous = FULL")
        version = book.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, this is {VERSION}")
        if not version:
            with _transaction(book):
                for statement in SCHEMA:
                    book.execute(statement)
                book.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        book.close()
        raise
    return book
