"""CSV and TSV (RFC 4180, UTF-8), safe to open in a spreadsheet; numbers stay numbers, null is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchllm.export.shape import Column, Kind
from batchllm.sinks.formulas import neutral
from batchllm.sinks.pipe import target
from batchllm.sinks.tables import Rows, SinkOptions, Take


@contextmanager
def write_csv(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    with _written(path, columns, ",") as take:
        yield take


@contextmanager
def write_tsv(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    with _written(path, columns, "\t") as take:
        yield take


@contextmanager
def _written(path: Path, columns: tuple[Column, ...], delimiter: str) -> Iterator[Take]:
    with target(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="", write_through=True)
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        kinds = [column.kind for column in columns]

        def take(rows: Rows) -> None:
            # Column by column: what a column's kind already rules out is not asked of each cell.
            cells = [_column(kind, values) for kind, values in zip(kinds, zip(*rows, strict=True), strict=True)] if rows else []
            writer.writerows(zip(*cells, strict=True))

        try:
            writer.writerow([neutral(column.name) for column in columns])
            yield take
        finally:
            text.detach()  # the file is closed by who opened it


def _column(kind: Kind, values: tuple[Any, ...]) -> Any:
    if kind is Kind.TEXT or kind is Kind.JSON:
        return [neutral(value) if value else value for value in values]
    if kind is Kind.BOOL:
        return [None if value is None else ("true" if value else "false") for value in values]
    return values
