"""`batchllm export`."""

from __future__ import annotations

import gc
from argparse import Namespace
from pathlib import Path

import orjson

from batchllm.cli.build_command import reading_of
from batchllm.cli.remote import Output, local_job, local_output, local_table, output_to_read
from batchllm.cloud.address import Remote
from batchllm.errors import ExitCode, JobError
from batchllm.export.exporting import Exported, OpenSink, Wish, export
from batchllm.journal.manifest import Manifest, read_manifest
from batchllm.sinks.tables import STDOUT, SinkOptions, sink_for
from batchllm.sources.tables import open_table
from batchllm.terminal import say

DEFAULT_NAME = "export.csv"


def main(args: Namespace) -> int:
    gc.set_threshold(100_000, 50, 1000)  # rows by the thousand, none of them in a cycle: looking for one costs a tenth
    args.input = None if args.input is None else local_table(args.input)
    args.job = None if args.job is None else local_job(args.job)
    source = output_to_read(args.folder)
    args.folder = source.folder
    with local_output(args) as at:
        return _export(args, source, at)


def _export(args: Namespace, source: Output, at: Remote | None) -> int:
    path = args.output or source.beside(DEFAULT_NAME)
    write, options = sink_for(path, args.to), SinkOptions(args.table)
    wish = _wish(args, path)
    open_sink: OpenSink = lambda columns: write(path, columns, options)  # noqa: E731
    try:
        exported = export(wish, open_sink)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise JobError(ExitCode.DISK, f"{error.filename or args.folder}: cannot be read: {error.strerror or error}") from None
    if args.json:
        say(orjson.dumps({"output": str(at or path), **exported.as_json()}).decode())
    else:
        _tell(exported, wish, source, at or path)
    return int(ExitCode.OK)


def _wish(args: Namespace, path: Path) -> Wish:
    manifest = _manifest(args.folder)
    job = _job(args, manifest)
    if args.all and job is None:
        raise JobError(ExitCode.USAGE, "--all needs the job, and it is not where job.json says; name it with --job")
    if args.on is not None and args.input is None:
        raise JobError(ExitCode.USAGE, "--on names a column of the input; name the input with --input TABLE")
    open_input = None
    if args.input is not None:
        if path != STDOUT and path.exists() and Path(args.input).exists() and path.samefile(args.input):
            raise JobError(ExitCode.USAGE, f"-o {path} is the input itself; write the table to another file")
        reading = reading_of(args)
        open_input = lambda: open_table(args.input, reading)  # noqa: E731
    return Wish(args.folder, manifest, job, open_input, args.on, args.explode, args.all, path == STDOUT)


def _manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise JobError(ExitCode.BAD_DATA, f"{folder} is no output folder of batchllm: there is no job.json in it")
    return manifest


def _job(args: Namespace, manifest: Manifest) -> Path | None:
    """The job file: as named, or as job.json names it if it is still there."""
    if args.job is not None:
        if not args.job.is_file():
            raise JobError(ExitCode.BAD_DATA, f"{args.job}: there is no such file")
        return Path(args.job)
    named = Path(str(manifest.job.get("path", "")))
    return named if named.is_file() else None


def _tell(done: Exported, wish: Wish, source: Output, path: Path | Remote) -> None:
    mark = "SIMULATED · " if wish.manifest.simulated else ""
    rows = f"{done.rows:,} rows, {len(done.columns)} columns"
    say(f"{mark}{source.at or wish.folder} → {path}: {rows}; {done.answered:,} answered, {done.failed:,} failed")
    if done.pending:
        say(f"  note      {done.pending:,} lines have no record yet" + ("" if wish.everything else "; --all writes them too"))
    if done.removed:
        say(f"  note      {done.removed:,} records belong to lines the job no longer has; they are left out")
    if done.outdated:
        say(f"  note      {done.outdated:,} answers were made with other settings; they are left out")
    if wish.job is None:
        say("  note      the job is not where job.json says: lines are counted as they were when they were asked")
