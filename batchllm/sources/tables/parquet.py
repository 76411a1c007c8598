"""Parquet, a batch of rows at a time; in a folder, every file of it in the order of their names."""

from __future__ import annotations

from pathlib import Path

from batchllm.sources.tables import Table, TableOptions
from batchllm.sources.tables.arrow import parquet_files


def read(path: Path, options: TableOptions) -> Table:
    return parquet_files(path, sorted(path.glob("**/*.parquet")) if path.is_dir() else [path])
