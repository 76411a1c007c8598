"""Where a table is written to: one file for each format, and its line in `TABLE`.

To add one: a context manager `write(path, columns, options)` in a file of this folder, a line in `TABLE`, and a parameter of
`tests/contract/test_table_sinks.py`. What it gives takes rows a few thousand at a time; a block that fails leaves nothing.
Each cell is None, or a value of its column's kind: JSON columns hold JSON as text.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.export.shape import Column

TABLE = {
    "csv": "batchllm.sinks.delimited:write_csv",
    "tsv": "batchllm.sinks.delimited:write_tsv",
    "jsonl": "batchllm.sinks.json_lines:write",
    "parquet": "batchllm.sinks.parquet:write",
    "xlsx": "batchllm.sinks.excel:write",
    "duckdb": "batchllm.sinks.duck:write",
}
STDOUT = Path("-")
_PIPED = ("csv", "tsv", "jsonl")

Rows = list[list[Any]]
Take = Callable[[Rows], object]


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What a path alone does not say: the name of the table in a database."""

    table: str = "results"


Write = Callable[[Path, tuple[Column, ...], SinkOptions], AbstractContextManager[Take]]


def sink_for(path: Path, name: str | None = None) -> Write:
    """The sink for a path's ending, or of this name. Raises `JobError` (2)."""
    chosen = name or ("csv" if path == STDOUT else path.suffix.lower().removeprefix("."))
    if chosen not in TABLE:
        raise JobError(ExitCode.USAGE, f"{path}: its ending does not say what to write; say --to {'|'.join(TABLE)}")
    if path == STDOUT and chosen not in _PIPED:
        raise JobError(ExitCode.USAGE, f"{chosen} does not go into a pipe; say -o FILE, or --to {'|'.join(_PIPED)}")
    module, attribute = TABLE[chosen].split(":")
    write: Write = getattr(import_module(module), attribute)
    return write


def missing(package: str, what: str) -> JobError:
    return JobError(ExitCode.USAGE, f"writing {what} needs {package}: pip install 'batchllm[tables]'")


def whole(text: str) -> str:
    """A text that UTF-8 can say: a lone surrogate, half of a character, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
