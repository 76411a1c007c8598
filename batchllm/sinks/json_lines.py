"""JSONL: one flat object a row; columns of JSON hold what they say, not its text. The one format that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from batchllm.export.shape import Column, Kind
from batchllm.sinks.pipe import target
from batchllm.sinks.tables import Rows, SinkOptions, Take
from batchllm.strictjson import dumps


@contextmanager
def write(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    names = [column.name for column in columns]
    nested = [at for at, column in enumerate(columns) if column.kind is Kind.JSON]
    with target(path) as file:

        def take(rows: Rows) -> None:
            for row in rows:
                for at in nested:
                    if row[at] is not None:
                        row[at] = orjson.Fragment(row[at])
                file.write(dumps(dict(zip(names, row, strict=True))) + b"\n")

        yield take
