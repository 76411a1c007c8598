"""What several kinds of tables share: Arrow record batches as rows, and Parquet files as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from batchllm.sources.tables import BadRow, Row, Table, missing, unreadable
from batchllm.sources.tables.cells import plain

BATCH_ROWS = 2048


def parquet_files(path: Path, files: Sequence[Path]) -> Table:
    try:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException
    except ImportError:
        raise missing("pyarrow", f"reading {path.name}") from None
    try:
        columns = tuple(pq.read_schema(files[0]).names)
    except (ArrowException, ValueError) as error:
        raise unreadable(path, error) from None
    return Table(columns, rows_of(path, _batches(files)))


def _batches(files: Sequence[Path]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as opened:
            yield from opened.iter_batches(BATCH_ROWS, use_threads=False)


def rows_of(path: Path, batches: Iterator[Any]) -> Iterator[Row | BadRow]:
    """The rows of Arrow record batches. Also of a query's, or of a dataset's."""
    from pyarrow import ArrowException

    number = 0
    try:
        for batch in batches:
            columns = _columns(batch)
            for cells in zip(*columns.values(), strict=True):
                number += 1
                yield Row(number, dict(zip(columns, cells, strict=True)))
    except (ArrowException, OSError, ValueError) as error:
        raise unreadable(path, f"damaged after row {number}: {error}") from None


def _columns(batch: Any) -> dict[str, list[Any]]:
    """Cells by column; texts and whole numbers, which nearly all are, go through as they come."""
    import pyarrow.types as kinds

    made = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        cells = column.to_pylist()
        as_is = kinds.is_string(column.type) or kinds.is_large_string(column.type) or kinds.is_integer(column.type)
        made[name] = cells if as_is else [plain(cell) for cell in cells]
    return made
