"""Excel: one sheet, and another for each further million rows. No cell is a formula, whatever it begins with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchllm.export.shape import Column, Kind
from batchllm.sinks.formulas import runs
from batchllm.sinks.replacement import replacement
from batchllm.sinks.tables import Rows, SinkOptions, Take, missing, whole
from batchllm.terminal import say

SHEET_ROWS = 1_048_576
LONGEST = 32_767
EXACT = 1 << 53
"""Excel keeps fifteen digits of a number; a larger one is written as text."""


@contextmanager
def write(path: Path, columns: tuple[Column, ...], options: SinkOptions) -> Iterator[Take]:
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    except ImportError:
        raise missing("openpyxl", path.name) from None
    book = Workbook(write_only=True)
    sheet: Any = None
    written = cut = 0

    def text(value: str) -> Any:
        """A cell of type text, marked as such where Excel would take an edited copy of it for a formula."""
        nonlocal cut
        value = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", whole(value))
        if len(value) > LONGEST:
            cut += 1
            value = value[: LONGEST - 1] + "…"
        made = WriteOnlyCell(sheet, value)
        made.data_type = "s"  # whatever openpyxl took it for: a formula, an error, a date
        if runs(value):
            made.quotePrefix = True
        return made

    def begin() -> None:
        nonlocal sheet, written
        sheet = book.create_sheet(f"results {len(book.worksheets) + 1}" if book.worksheets else "results")
        sheet.append([text(column.name) for column in columns])
        written = 1

    def take(rows: Rows) -> None:
        for row in rows:
            if written >= SHEET_ROWS:
                begin()
            _append(row)

    def _append(row: list[Any]) -> None:
        nonlocal written
        cells = zip(row, columns, strict=True)
        sheet.append([_value(value, column.kind, text) for value, column in cells])
        written += 1

    with replacement(path) as temporary, _put_away(book):
        begin()
        yield take
        book.save(temporary)
    if cut:
        say(f"{path}: {cut:,} cells are longer than Excel's {LONGEST:,} characters and were cut; other formats keep them whole")


@contextmanager
def _put_away(book: Any) -> Iterator[None]:
    """Close and remove openpyxl's own temporary files where a block does not come to saving the book."""
    try:
        yield
    except BaseException:
        for sheet in book.worksheets:
            with contextlib.suppress(Exception):
                sheet.close()
                sheet._writer.cleanup()
        raise


def _value(value: Any, kind: Kind, text: Any) -> Any:
    if value is None or kind in (Kind.BOOL, Kind.FLOAT):
        return value
    if kind is Kind.INT:
        return value if -EXACT <= value <= EXACT else text(str(value))
    return text(value)
