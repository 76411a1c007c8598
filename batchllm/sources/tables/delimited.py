"""CSV and TSV: the first row names the columns, every cell is text."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import STDIN, BadRow, Row, Table, TableOptions, unreadable
from batchllm.sources.tables.cells import headings

LARGEST_CELL = 64 << 20
"""Characters. A quotation mark that is never closed would otherwise swallow the rest of the file."""


def read_csv(path: Path, options: TableOptions) -> Table:
    return _read(path, options, options.delimiter or ",")


def read_tsv(path: Path, options: TableOptions) -> Table:
    return _read(path, options, options.delimiter or "\t")


def _read(path: Path, options: TableOptions, delimiter: str) -> Table:
    if len(delimiter) != 1:
        raise JobError(ExitCode.USAGE, f"--delimiter is one character, not {delimiter!r}")
    csv.field_size_limit(LARGEST_CELL)
    text = _text(path, options.encoding)
    release = text.detach if path == STDIN else text.close
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        columns = headings(next(reader))
    except StopIteration:
        release()
        raise unreadable(path, "it is empty, not even a header") from None
    except (csv.Error, ValueError, OSError, EOFError, zlib.error) as error:
        release()
        raise unreadable(path, error) from None
    return Table(columns, _rows(path, reader, columns), release)


def _text(path: Path, encoding: str) -> io.TextIOWrapper:
    """Bytes that are not the encoding become lone surrogates: they spoil their own row only."""
    opened = gzip.open if path.suffix == ".gz" else open
    binary: Any = sys.stdin.buffer if path == STDIN else opened(path, "rb")
    try:
        return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")
    except LookupError:
        raise JobError(ExitCode.USAGE, f"there is no encoding '{encoding}'") from None


def _rows(path: Path, reader: Iterator[list[str]], columns: tuple[str, ...]) -> Iterator[Row | BadRow]:
    number, width = 0, len(columns)
    try:
        for cells in reader:
            if not cells:
                continue  # a blank line
            number += 1
            if len(cells) == width:
                yield Row(number, dict(zip(columns, cells, strict=True)))
            else:
                yield BadRow(number, f"it has {len(cells)} cells, the header has {width}")
    except (csv.Error, ValueError, OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"damaged after row {number}: {error}") from None
