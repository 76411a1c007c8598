"""Tables as rows, whatever they are kept in: one file for each kind, and its line in `TABLE`.

To add one: a function `read(path, options) -> Table` in a file of this folder, a line in `TABLE`, its endings in `ENDINGS`,
and a parameter of `tests/contract/test_tables.py`. Rows stream: none of them holds a table in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Self

from batchllm.errors import ExitCode, JobError
from batchllm.types import Json

TABLE = {
    "csv": "batchllm.sources.tables.delimited:read_csv",
    "tsv": "batchllm.sources.tables.delimited:read_tsv",
    "jsonl": "batchllm.sources.tables.json_lines:read",
    "parquet": "batchllm.sources.tables.parquet:read",
    "excel": "batchllm.sources.tables.excel:read",
    "sqlite": "batchllm.sources.tables.sqlite:read",
    "duckdb": "batchllm.sources.tables.duck:read",
    "texts": "batchllm.sources.tables.text_folder:read",
    "dataset": "batchllm.sources.tables.dataset:read",
}

ENDINGS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
    ".xlsx": "excel", ".xlsm": "excel", ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb",
    ".arrow": "dataset",
}  # fmt: skip
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a path alone does not say. `format` is a name of `TABLE`; each kind of table reads what concerns it."""

    format: str | None = None
    query: str | None = None
    sheet: str | None = None
    split: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8-sig"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number among the rows of data, from 1, and its cells, JSON values all, by column."""

    number: int
    values: Json


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why, in a sentence without its number."""

    number: int
    message: str


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are the same for every row; None where each row brings its own. `rows` can be read once."""

    columns: tuple[str, ...] | None
    rows: Iterator[Row | BadRow]
    release: Callable[[], object] = _nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def open_table(source: str | Path, options: TableOptions | None = None) -> Table:
    """The table a path names; `db.sqlite?select …` names it with its query. Raises `JobError` (2, 65)."""
    given = options or TableOptions()
    path, query = _parted(str(source))
    if query is not None:
        if given.query:
            raise JobError(ExitCode.USAGE, f"{path}: there are two queries, one behind '?' and one in --query; keep one")
        given = TableOptions(given.format, query, given.sheet, given.split, given.delimiter, given.encoding)
    if path != STDIN and not path.exists():
        raise JobError(ExitCode.BAD_DATA, f"{path}: there is no such file or folder")
    name = given.format or _format(path)
    if name not in TABLE:
        raise JobError(ExitCode.USAGE, f"there is no kind of table '{name}'; there are {', '.join(TABLE)}")
    module, attribute = TABLE[name].split(":")
    read: Callable[[Path, TableOptions], Table] = getattr(import_module(module), attribute)
    try:
        return read(path, given)
    except OSError as error:
        raise unreadable(path, error.strerror or error) from None


def unreadable(path: Path, why: object) -> JobError:
    return JobError(ExitCode.BAD_DATA, f"{path}: cannot be read: {' '.join(str(why).split())[:300]}")


def missing(package: str, what: str) -> JobError:
    """The sentence for an optional package that is not installed."""
    return JobError(ExitCode.USAGE, f"{what} needs {package}: pip install 'batchllm[tables]'")


def _parted(source: str) -> tuple[Path, str | None]:
    path, sign, query = source.partition("?")
    if not sign or Path(source).exists():
        return Path(source), None
    return Path(path), query


def _format(path: Path) -> str:
    if path == STDIN:
        raise JobError(ExitCode.USAGE, "what kind of table comes through the pipe? Say --format csv or --format jsonl")
    if path.is_dir():
        from batchllm.sources.tables.dataset import is_dataset

        return "dataset" if is_dataset(path) else "texts"
    endings = [ending.lower() for ending in path.suffixes]
    if endings[-1:] == [".gz"]:
        endings.pop()
    found = ENDINGS.get(endings[-1]) if endings else None
    if found is None:
        raise JobError(ExitCode.USAGE, f"{path}: its name does not say what it is; say --format {'|'.join(TABLE)}")
    return found
