"""The rows of the input table beside their answers: in step while both go forward, from a temporary file where they do not."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import Row, Table
from batchllm.strictjson import dumps, loads
from batchllm.types import Json

Open = Callable[[], Table]


class Companion:
    """Finds the row an answer belongs to: by its number, or by the column `on` that holds the `custom_id`."""

    def __init__(self, open_input: Open, on: str | None) -> None:
        self._open, self._on = open_input, on
        self._table = None if on else open_input()
        self._current: Row | None = None
        self._at = 0
        self._store: _Store | None = None

    def row(self, record: Json) -> Json | None:
        """The input's cells for a record; None where it has no such row."""
        if self._on is not None:
            return self._stored().get(str(record.get("custom_id")))
        facts = record.get("batchllm")
        metadata = facts.get("metadata") if isinstance(facts, dict) else None
        number = metadata.get("row") if isinstance(metadata, dict) else None
        if type(number) is not int or number < 1:
            return None
        if self._store is not None or (self._current is not None and number < self._at):
            return self._stored().get(str(number))  # it goes back: from now on by look-up
        return self._ahead(number)

    def _ahead(self, number: int) -> Json | None:
        assert self._table is not None
        while self._at < number:
            row = next(self._table.rows, None)
            if row is None:
                return None
            self._at = row.number
            self._current = row if isinstance(row, Row) else None
        return self._current.values if self._current is not None and self._at == number else None

    def _stored(self) -> _Store:
        if self._store is None:
            with self._open() as table:
                self._store = _Store(table, self._on)
        return self._store

    def close(self) -> None:
        if self._table is not None:
            self._table.release()
        if self._store is not None:
            self._store.close()


class _Store:
    """A whole table by key, on the disk."""

    def __init__(self, table: Table, on: str | None) -> None:
        if on is not None and table.columns is not None and on not in table.columns:
            raise JobError(ExitCode.USAGE, f"the input has no column '{on}'; it has {', '.join(table.columns)[:200]}")
        self._folder = tempfile.TemporaryDirectory(prefix="batchllm-export-")
        self._base = sqlite3.connect(Path(self._folder.name) / "input.db", isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -16384"):
            self._base.execute(f"pragma {pragma}")
        self._base.execute("create table rows (key text primary key, cells blob) without rowid")
        self._base.execute("begin")
        rows = (row for row in table.rows if isinstance(row, Row))
        # The first of rows with the same id counts: the later ones had no line of their own.
        self._base.executemany("insert or ignore into rows values (?, ?)", ((_key(row, on), dumps(row.values)) for row in rows))
        self._base.execute("commit")

    def get(self, key: str) -> Json | None:
        asked = (_sayable(key),)
        found = self._base.execute("select cells from rows where key = ?", asked).fetchone()
        return None if found is None else loads(found[0])

    def close(self) -> None:
        self._base.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def _key(row: Row, on: str | None) -> str:
    if on is None:
        return str(row.number)
    value: Any = row.values.get(on)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _sayable(str(value).strip())


def _sayable(text: str) -> str:
    """A text SQLite takes: without lone surrogates."""
    return text.encode("utf-8", "replace").decode()
