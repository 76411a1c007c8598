"""Parquet (zstd), every column typed, also where all of its cells are null."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchllm.export.shape import Column
from batchllm.sinks.arrow import Batches
from batchllm.sinks.replacement import replacement
from batchllm.sinks.tables import Rows, SinkOptions, Take, missing

GROUP_ROWS = 65_536


@contextmanager
def write(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise missing("pyarrow", path.name) from None
    to_batch = Batches(columns)
    with replacement(path) as temporary, pq.ParquetWriter(temporary, to_batch.schema, compression="zstd") as writer:
        group: list[Any] = []

        def take(rows: Rows) -> None:
            if rows:
                group.append(to_batch(rows))
            if sum(batch.num_rows for batch in group) >= GROUP_ROWS:
                flush()

        def flush() -> None:
            import pyarrow as pa

            writer.write_table(pa.Table.from_batches(group, to_batch.schema), row_group_size=GROUP_ROWS)
            group.clear()

        yield take
        if group:
            flush()
