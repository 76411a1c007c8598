"""SQLite, opened for reading only: what a query gives, or the one table there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import BadRow, Row, Table, TableOptions, unreadable
from batchllm.sources.tables.cells import headings, plain
from batchllm.sources.tables.queries import refused, sole_table

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


def _rows(path: Path, cursor: sqlite3.Cursor, columns: tuple[str, ...]) -> Iterator[Row | BadRow]:
    number = 0
    try:
        for cells in cursor:
            number += 1
            yield Row(number, {name: plain(cell) for name, cell in zip(columns, cells, strict=True)})
    except sqlite3.Error as error:
        raise unreadable(path, f"damaged after row {number}: {error}") from None
