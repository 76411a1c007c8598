"""A folder of texts: one row for each file, with `name` (without its ending), `path` (below the folder) and `text`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from batchllm.sources.tables import BadRow, Row, Table, TableOptions
from batchllm.sources.tables.cells import headings

LARGEST = 64 << 20
COLUMNS = headings(["name", "path", "text"])


def read(path: Path, options: TableOptions) -> Table:
    return Table(COLUMNS, _rows(path, options.encoding))


def _files(folder: Path) -> Iterator[Path]:
    """Every regular file below, folder by folder in the order of names; hidden ones and symbolic links are left out."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder / entry.name)
        elif entry.is_file(follow_symlinks=False):
            yield folder / entry.name


def _rows(folder: Path, encoding: str) -> Iterator[Row | BadRow]:
    for number, file in enumerate(_files(folder), 1):
        name = file.relative_to(folder).as_posix()
        try:
            if file.stat().st_size > LARGEST:
                yield BadRow(number, f"{name} has more than {LARGEST >> 20} MiB")
                continue
            text = file.read_bytes().decode(encoding)
        except UnicodeDecodeError as error:
            yield BadRow(number, f"{name} is no text: not valid {encoding.removesuffix('-sig')} at byte {error.start + 1}")
        except OSError as error:
            yield BadRow(number, f"{name} cannot be read: {error.strerror}")
        else:
            yield Row(number, {"name": file.stem, "path": name, "text": text})
