"""`report.html`: a run as one page that opens without a network, and two runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from batchllm.journal.storage import Storage, whole_file
from batchllm.reports.html.changes import changes
from batchllm.reports.html.comparison import comparison_page
from batchllm.reports.html.fold import picture
from batchllm.reports.html.page import run_page
from batchllm.reports.html.prompts import add_prompts

NAME = "report.html"


def report(folder: Path) -> Iterator[bytes]:
    """The page of the runs into this folder, in pieces. Raises `JobError` (65) where there were none."""
    seen = picture(folder)
    prompts = add_prompts(seen.rows, seen.manifest.job)
    return run_page(seen, prompts=prompts)


def write_report(folder: Path) -> Path:
    """Make `report.html` anew. Raises `JobError` (65), and `OSError` where it cannot be written."""
    path = folder / NAME
    write_page(path, report(folder))
    return path


def write_page(path: Path, pieces: Iterable[bytes]) -> None:
    """Replace a page as a whole. Raises `OSError` where it cannot be written."""
    with whole_file(Storage(), path) as take:
        for piece in pieces:
            take(piece)


def compare(before: Path, after: Path) -> Iterator[bytes]:
    """The page of two runs side by side. Raises `JobError` (65) where one of the folders holds none."""
    return comparison_page(picture(before), picture(after), changes(before, after))
