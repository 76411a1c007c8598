"""`batchllm build`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import orjson

from batchllm.cli.remote import local_output, local_table
from batchllm.cloud.address import Remote
from batchllm.errors import ExitCode, JobError
from batchllm.prompting.building import Built, Choice, build
from batchllm.prompting.lines import Recipe
from batchllm.prompting.template import PromptTemplate, inline, load_template
from batchllm.prompting.variants import assignments, variants
from batchllm.sinks.replacement import replacement
from batchllm.sources.tables import STDIN, TableOptions, open_table
from batchllm.terminal import say


def main(args: Namespace) -> int:
    with local_output(args) as at:
        built = write_job(args, local_table(args.table), args.output, args.limit, strict=args.strict)
    job = at or args.output
    if args.json:
        say(orjson.dumps({"job": str(job), **built.as_json()}).decode())
    else:
        tell(built, args.table, job)
    return int(ExitCode.SOME_FAILED if built.bad_rows else ExitCode.OK)


def write_job(args: Namespace, table: str, job: Path, limit: int | None, *, strict: bool) -> Built:
    """Write the whole job or leave the old one. Raises `JobError` (2, 65, 74)."""
    recipe = recipe_of(args)
    choice = Choice(limit, args.sample, args.seed)

    def made(take: Callable[[bytes], object]) -> Built:
        with open_table(table, reading_of(args)) as opened:
            built = build(opened, recipe, choice, take)
        if not built.lines or (strict and built.bad_rows):
            tell(built, table, None)
            why = "--strict refuses a table with bad rows" if built.lines else f"{table}: no row of it can be asked"
            raise JobError(ExitCode.BAD_DATA, f"{why}; nothing was written")
        return built

    if job == STDIN:
        if strict:
            raise JobError(ExitCode.USAGE, "--strict needs a file to write to: what went into a pipe cannot be taken back")
        built = made(sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return built
    if job.exists() and Path(table).exists() and job.samefile(table):
        raise JobError(ExitCode.USAGE, f"-o {job} is the table itself; write the job to another file")
    with replacement(job) as temporary, temporary.open("wb", buffering=1 << 20) as file:
        built = made(file.write)
        file.flush()
    return built


def recipe_of(args: Namespace) -> Recipe:
    return Recipe(
        _template_of(args),
        variants(args.sweep, args.repeat),
        assignments(args.set),
        args.id_column,
        tuple(args.image_column),
        tuple(args.keep),
    )


def _template_of(args: Namespace) -> PromptTemplate:
    if (args.template is None) == (args.prompt is None):
        raise JobError(ExitCode.USAGE, "say with --template FILE or --prompt TEXT what is asked of each row, with one of them")
    if args.template is not None:
        return load_template(args.template, args.system)
    return inline(args.prompt, args.system)


def reading_of(args: Namespace) -> TableOptions:
    return TableOptions(args.format, args.query, args.sheet, args.split, args.delimiter, args.encoding)


def tell(built: Built, table: str, job: Path | Remote | None) -> None:
    """How many rows and lines, and which rows are bad and why."""
    where = "" if job is None else f" → {job}: {built.lines:,} lines"
    say(f"{table}: {built.rows:,} rows, {built.bad_rows:,} bad{where}")
    for one in built.bad:
        say(f"  row {one.number}: {one.message}")
    if built.bad_rows > len(built.bad):
        say(f"  … and {built.bad_rows - len(built.bad):,} more")
