"""`batchllm report`, and the page at the end of a run."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from pathlib import Path

from batchllm.cli.remote import local_output, output_to_read
from batchllm.errors import ExitCode, JobError
from batchllm.journal.journal import ATTEMPTS, RESULTS
from batchllm.terminal import say

UNASKED_BYTES = 2 << 30
"""Folders larger than this get their page when somebody asks for it: reading one takes about 5 s for each gigabyte."""


def main(args: Namespace) -> int:
    from batchllm.reports.html import NAME, compare, report, write_page

    first = output_to_read(args.folder)
    with local_output(args) as at:
        if args.other is None:
            path, page = args.output or first.beside(NAME), report(first.folder)
        else:
            path = args.output or Path("comparison.html")
            page = compare(first.folder, output_to_read(args.other).folder)
        try:
            write_page(path, page)
        except OSError as error:
            raise JobError(ExitCode.DISK, f"{path}: cannot be written: {error.strerror or error}") from None
    print(at or path)
    return int(ExitCode.OK)


def leave_report(folder: Path, *, quiet: bool) -> None:
    """Make the page of a run that has just ended. Whatever stands in its way, the run's own end stays what it is."""
    try:
        if sum(_size(folder / name) for name in (RESULTS, ATTEMPTS)) > UNASKED_BYTES:
            if not quiet:
                say(f"  report    none by itself, the folder is large; `batchllm report {folder}` makes one")
            return
        from batchllm.reports.html import write_report

        path = write_report(folder)
    except KeyboardInterrupt:
        say("  report    left out")
    except (JobError, OSError) as error:
        say(f"  report    could not be written: {error}")
    except Exception as error:  # a page is never worth a run
        logging.getLogger("batchllm").debug("the report", exc_info=True)
        say(f"  report    could not be made ({type(error).__name__}); please report this")
    else:
        if not quiet:
            say(f"  report    {path}")


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
