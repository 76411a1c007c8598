"""Excel workbooks: one sheet, its first row the header; formulas count as what they last came to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import BadRow, Row, Table, TableOptions, missing, unreadable
from batchllm.sources.tables.cells import headings, plain


def read(path: Path, options: TableOptions) -> Table:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise missing("openpyxl", f"reading {path.name}") from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, BadZipFile, KeyError, ValueError) as error:
        raise unreadable(path, error) from None
    if options.sheet is not None and options.sheet not in book.sheetnames:
        book.close()
        raise JobError(ExitCode.USAGE, f"{path} has no sheet '{options.sheet}'; it has {', '.join(book.sheetnames)}")
    lines = book[options.sheet or book.sheetnames[0]].iter_rows(values_only=True)
    try:
        columns = headings(_without_tail(list(next(lines))))
    except StopIteration:
        book.close()
        raise unreadable(path, "the sheet is empty, there is not even a header") from None
    except ValueError as error:
        book.close()
        raise unreadable(path, error) from None
    return Table(columns, _rows(lines, columns), book.close)


def _without_tail(cells: list[Any]) -> list[Any]:
    """A header without the empty cells behind it, which some programs write by the thousand."""
    while len(cells) > 1 and cells[-1] is None:
        cells.pop()
    return cells


def _rows(lines: Iterator[tuple[Any, ...]], columns: tuple[str, ...]) -> Iterator[Row | BadRow]:
    number, width = 0, len(columns)
    for cells in lines:
        if all(cell is None for cell in cells):
            continue
        number += 1
        if any(cell is not None for cell in islice(cells, width, None)):
            yield BadRow(number, f"it has cells beyond the {width} columns of the header")
            continue
        padded = [plain(cell) for cell in cells[:width]] + [None] * (width - len(cells))
        yield Row(number, dict(zip(columns, padded, strict=True)))
