"""`batchllm run TABLE --template T`: what of it comes before the run."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path


def asked_for(args: Namespace) -> bool:
    """Whether `run` got a table rather than a job."""
    return args.template is not None or args.prompt is not None


def job_for_run(args: Namespace, folder: Path) -> tuple[Path, int]:
    """Build the job beside the output folder and tell what became of the rows; gives the job, and how many rows are bad.

    The same table and template make the same job, byte by byte, so that running again goes on where it stopped.
    """
    from batchllm.cli.build_command import tell, write_job  # a run of a job does not pay for it

    job, table = folder.with_name(folder.name + ".jsonl"), str(args.job)
    built = write_job(args, table, job, None, strict=bool(args.strict))
    if built.bad_rows or not args.quiet:
        tell(built, table, job)
    return job, built.bad_rows
