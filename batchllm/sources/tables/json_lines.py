"""JSONL: one object a line, each with columns of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from batchllm.sources.raw_lines import TooLong, raw_lines
from batchllm.sources.tables import STDIN, BadRow, Row, Table, TableOptions
from batchllm.strictjson import loads

LONGEST_LINE = 1 << 28


def read(path: Path, options: TableOptions) -> Table:
    return Table(None, _rows(path))


def _lines(path: Path) -> Iterator[bytes | TooLong]:
    if path == STDIN:
        yield from sys.stdin.buffer
    else:
        for _, line in raw_lines(path, LONGEST_LINE):
            yield line


def _rows(path: Path) -> Iterator[Row | BadRow]:
    number = 0
    for line in _lines(path):
        if isinstance(line, bytes) and (not line or line.isspace()):
            continue
        number += 1
        yield _row(number, line)


def _row(number: int, line: bytes | TooLong) -> Row | BadRow:
    if isinstance(line, TooLong):
        return BadRow(number, f"it is {line:,} bytes long")
    try:
        values = loads(line)
    except ValueError as error:
        return BadRow(number, str(error)[:200])
    return Row(number, values) if type(values) is dict else BadRow(number, "it is no JSON object")
