"""What the databases share: which rows are meant, and whose mistake a failed query is."""

from __future__ import annotations

from pathlib import Path

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import TableOptions, unreadable


def sole_table(path: Path, names: list[str]) -> str:
    """A query for the only table of a database. Raises `JobError` (2) where there is a choice to make."""
    if len(names) != 1:
        listed = ", ".join(names)[:200] or "none"
        raise JobError(ExitCode.USAGE, f"{path} has {len(names)} tables ({listed}); say which rows with --query")
    quoted = names[0].replace('"', '""')
    return f'select * from "{quoted}"'  # noqa: S608 - the user's own database, its own table's name


def refused(path: Path, options: TableOptions, error: Exception) -> JobError:
    """A query that is wrong is the user's (2); a file that is no database is not (65)."""
    if options.query:
        return JobError(ExitCode.USAGE, f"{path}: the query failed: {' '.join(str(error).split())[:300]}")
    return unreadable(path, error)
