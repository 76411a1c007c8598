"""DuckDB, opened for reading only: what a query gives, streamed in batches, or the one table there is."""

from __future__ import annotations

from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import Table, TableOptions, missing
from batchllm.sources.tables.arrow import BATCH_ROWS, rows_of
from batchllm.sources.tables.cells import headings
from batchllm.sources.tables.queries import refused, sole_table

_TABLES = "select table_name from information_schema.tables order by table_name"


def read(path: Path, options: TableOptions) -> Table:
    try:
        import duckdb
        import pyarrow  # noqa: F401 - what comes out of it is Arrow
    except ImportError:
        raise missing("duckdb and pyarrow", f"reading {path.name}") from None
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise refused(path, TableOptions(), error) from None
    try:
        query = options.query or sole_table(path, [name for (name,) in connection.execute(_TABLES).fetchall()])
        relation = connection.sql(query)
        if relation is None:
            raise JobError(ExitCode.USAGE, f"{path}: the query gives no rows; it has to be a SELECT")
        stream = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader  # its name before DuckDB 1.4
        batches = stream(BATCH_ROWS)
        columns = headings(list(batches.schema.names))
    except (duckdb.Error, ValueError) as error:
        connection.close()
        raise refused(path, options, error) from None
    except JobError:
        connection.close()
        raise
    return Table(columns, rows_of(path, batches), connection.close)
