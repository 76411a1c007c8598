"""SQLite, opened for reading only: what a query gives, or the one table there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import BadRow, Row, Table, TableOptions, unreadable
from batchllm.sources.tables.cells import headings, plain

_TABLES = "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%' order by name"


def read(path: Path, options: TableOptions) -> Table:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        query = options.query or sole_table(path, [name for (name,) in connection.execute(_TABLES)])
        cursor = connection.execute(query)
        if cursor.description is None:
            raise JobError(ExitCode.USAGE, f"{path}: the query gives no rows; it has to be a SELECT")
        columns = headings([name for name, *_ in cursor.description])
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        connection.close()
        raise refused(path, options, error) from None
    except JobError:
        connection.close()
        raise
    return Table(columns, _rows(path, cursor, columns), connection.close)


def sole_table(path: Path, names: list[str]) -> str:
    """A query for the only table of a database. Raises `JobError` (2) where there is a choice to make."""
    if len(names) != 1:
        listed = ", ".join(names)[:200] or "none"
        raise JobError(ExitCode.USAGE, f"{path} has {len(names)} tables ({listed}); say which rows with --query")
    quoted = names[0].replace('"', '""')
    return f'select * from "{quoted}"'  # noqa: S608 - the user's own database, its own table's name


def refused(path: Path, options: TableOptions, error: Exception) -> JobError:
    """A query that is wrong is the user's (2); a file that is no database is not (65)."""
    if options.query:
        return JobError(ExitCode.USAGE, f"{path}: the query failed: {' '.join(str(error).split())[:300]}")
    return unreadable(path, error)


def _rows(path: Path, cursor: sqlite3.Cursor, columns: tuple[str, ...]) -> Iterator[Row | BadRow]:
    number = 0
    try:
        for cells in cursor:
            number += 1
            yield Row(number, {name: plain(cell) for name, cell in zip(columns, cells, strict=True)})
    except sqlite3.Error as error:
        raise unreadable(path, f"damaged after row {number}: {error}") from None
