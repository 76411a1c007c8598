"""The book's tables and what is read from and written to them. Plain functions of a connection, inside a transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass

import orjson

from batchllm.gateway.objects import OPEN, StoredFile
from batchllm.types import Json

Book = sqlite3.Connection
SCHEMA = (
    """CREATE TABLE files (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, filename TEXT NOT NULL,
        bytes INTEGER NOT NULL, lines INTEGER NOT NULL, purpose TEXT NOT NULL, created_at INTEGER NOT NULL,
        expires_at INTEGER)""",
    "CREATE INDEX files_of ON files (tenant, seq)",
    "CREATE INDEX files_end ON files (expires_at) WHERE expires_at IS NOT NULL",
    """CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, status TEXT NOT NULL,
        lines INTEGER NOT NULL, keep_s INTEGER, idempotency TEXT, object TEXT NOT NULL)""",
    "CREATE INDEX batches_of ON batches (tenant, seq)",
    "CREATE INDEX batches_in ON batches (status)",
    "CREATE UNIQUE INDEX batches_once ON batches (tenant, idempotency) WHERE idempotency IS NOT NULL",
)
_FILE = "id, tenant, filename, bytes, lines, purpose, created_at, expires_at"
_OPEN = ", ".join(f"'{state}'" for state in OPEN)


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch in the book. `object` is what the API shows; `keep_s` how long its files are kept, None for ever."""

    id: str
    tenant: str
    lines: int
    keep_s: int | None
    object: Json

    @property
    def status(self) -> str:
        return str(self.object["status"])


def add_file(book: Book, file: StoredFile) -> None:
    book.execute(f"INSERT INTO files ({_FILE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(file))  # noqa: S608 - our own names


def file_of(book: Book, tenant: str, file_id: str, now: int) -> StoredFile | None:
    """The tenant's file; None where there is none, it has expired, or it is somebody else's."""
    where = "id = ? AND tenant = ? AND (expires_at IS NULL OR expires_at > ?)"
    row = book.execute(f"SELECT {_FILE} FROM files WHERE {where}", (file_id, tenant, now)).fetchone()  # noqa: S608 - constants
    return None if row is None else StoredFile(*row)


def files_of(
    book: Book, tenant: str, now: int, limit: int, *, after: str | None, purpose: str | None, newest_first: bool
) -> list[StoredFile] | None:
    """A page of the tenant's files and one more, if there is one; None where `after` is no file of theirs."""
    where, values = "tenant = ? AND (expires_at IS NULL OR expires_at > ?)", [tenant, now]
    if purpose is not None:
        where, values = where + " AND purpose = ?", [*values, purpose]
    if after is not None:
        seq = _place(book, "files", tenant, after)
        if seq is None:
            return None
        where, values = where + f" AND seq {'<' if newest_first else '>'} ?", [*values, seq]
    order = "DESC" if newest_first else "ASC"
    query = f"SELECT {_FILE} FROM files WHERE {where} ORDER BY seq {order} LIMIT ?"  # noqa: S608 - constants
    return [StoredFile(*row) for row in book.execute(query, (*values, limit + 1))]


def _place(book: Book, table: str, tenant: str, name: str) -> int | None:
    row = book.execute(f"SELECT seq FROM {table} WHERE id = ? AND tenant = ?", (name, tenant)).fetchone()  # noqa: S608 - constants
    return None if row is None else int(row[0])


def bytes_of(book: Book, tenant: str) -> int:
    """What the tenant's files take up."""
    return int(book.execute("SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?", (tenant,)).fetchone()[0])


def remove_file(book: Book, tenant: str, file_id: str) -> bool:
    """Whether there was such a file of theirs."""
    return book.execute("DELETE FROM files WHERE id = ? AND tenant = ?", (file_id, tenant)).rowcount > 0


def remove_expired(book: Book, now: int) -> list[str]:
    """The ids of files whose time was over; they are no longer in the book."""
    rows = book.execute("SELECT id FROM files WHERE expires_at <= ?", (now,)).fetchall()
    book.execute("DELETE FROM files WHERE expires_at <= ?", (now,))
    return [str(row[0]) for row in rows]


def file_ids(book: Book) -> set[str]:
    """Every file there is, whoever's."""
    return {str(row[0]) for row in book.execute("SELECT id FROM files")}


def add_batch(book: Book, entry: Entry, idempotency: str | None) -> None:
    book.execute(
        "INSERT INTO batches (id, tenant, status, lines, keep_s, idempotency, object) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.id, entry.tenant, entry.status, entry.lines, entry.keep_s, idempotency, orjson.dumps(entry.object).decode()),
    )


def move_batch(book: Book, value: Json) -> None:
    """Write where a batch stands now."""
    book.execute(
        "UPDATE batches SET status = ?, object = ? WHERE id = ?",
        (value["status"], orjson.dumps(value).decode(), value["id"]),
    )


_BATCH = "id, tenant, lines, keep_s, object"


def _entry(row: tuple[str, str, int, int | None, str]) -> Entry:
    return Entry(*row[:4], orjson.loads(row[4]))


def batch_of(book: Book, tenant: str, batch_id: str) -> Entry | None:
    """The tenant's batch; None where there is none or it is somebody else's."""
    row = book.execute(f"SELECT {_BATCH} FROM batches WHERE id = ? AND tenant = ?", (batch_id, tenant)).fetchone()  # noqa: S608 - constants
    return None if row is None else _entry(row)


def batch_once(book: Book, tenant: str, idempotency: str) -> Entry | None:
    """The batch that this key made earlier."""
    query = f"SELECT {_BATCH} FROM batches WHERE tenant = ? AND idempotency = ?"  # noqa: S608 - constants
    row = book.execute(query, (tenant, idempotency)).fetchone()
    return None if row is None else _entry(row)


def batches_of(book: Book, tenant: str, limit: int, after: str | None) -> list[Entry] | None:
    """A page of the tenant's batches, newest first, and one more, if there is one; None where `after` is none of theirs."""
    seq = _place(book, "batches", tenant, after) if after is not None else 1 << 62
    if seq is None:
        return None
    query = f"SELECT {_BATCH} FROM batches WHERE tenant = ? AND seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - constants
    return [_entry(row) for row in book.execute(query, (tenant, seq, limit + 1))]


def unfinished(book: Book) -> list[Entry]:
    """Every batch that is not at its end, oldest first."""
    return [_entry(row) for row in book.execute(f"SELECT {_BATCH} FROM batches WHERE status IN ({_OPEN}) ORDER BY seq")]  # noqa: S608


def taken_by(book: Book, tenant: str) -> tuple[int, int]:
    """Unfinished batches of the tenant, and the lines in them."""
    query = f"SELECT count(*), coalesce(sum(lines), 0) FROM batches WHERE tenant = ? AND status IN ({_OPEN})"  # noqa: S608 - constants
    count, lines = book.execute(query, (tenant,)).fetchone()
    return int(count), int(lines)


def by_status(book: Book) -> dict[str, int]:
    return {str(status): int(count) for status, count in book.execute("SELECT status, count(*) FROM batches GROUP BY status")}
