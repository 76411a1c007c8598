"""A table in a DuckDB file, replaced in one transaction; the other tables of the file are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.export.shape import Column, Kind
from batchllm.sinks.arrow import Batches
from batchllm.sinks.tables import Rows, SinkOptions, Take, missing

_TYPES = {Kind.BOOL: "boolean", Kind.INT: "bigint", Kind.FLOAT: "double"}
MODE = 0o600


@contextmanager
def write(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    try:
        import duckdb
        import pyarrow as pa
    except ImportError:
        raise missing("duckdb and pyarrow", path.name) from None
    to_batch = Batches(columns)
    new = not path.exists()
    try:
        connection = duckdb.connect(str(path))
    except duckdb.Error as error:
        raise _refused(path, error) from None
    if new:
        path.chmod(MODE)
    table = _quoted(options.table)

    def take(rows: Rows) -> None:
        if rows:
            connection.register("batch", pa.Table.from_batches([to_batch(rows)]))
            connection.execute(f"insert into {table} select * from batch")  # noqa: S608 - quoted
            connection.unregister("batch")

    done = False
    try:
        connection.execute("begin")
        names = zip(to_batch.schema.names, columns, strict=True)
        fields = ", ".join(f"{_quoted(name)} {_TYPES.get(column.kind, 'varchar')}" for name, column in names)
        connection.execute(f"create or replace table {table} ({fields})")
        yield take
        connection.execute("commit")
        done = True
    except duckdb.Error as error:
        raise _refused(path, error) from None
    finally:
        connection.close()  # without a commit, nothing of it stays
        if new and not done:
            path.unlink(missing_ok=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _refused(path: Path, error: Exception) -> JobError:
    return JobError(ExitCode.DISK, f"{path}: {' '.join(str(error).split())[:300]}")
